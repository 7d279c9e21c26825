/-
tries: a name of one part that is written like the expected name of two
source: comparator numeric_namespace; own
alone: accepted
stopped by: declaration
expects: N.t
-/
--- asked
theorem N.t : (1 : Nat) = 1 := sorry
--- attack
theorem «N.t» : (1 : Nat) = 1 := rfl
--- twin
theorem «N.t» : (1 : Nat) = 1 := rfl
theorem N.t : (1 : Nat) = 1 := «N.t»
