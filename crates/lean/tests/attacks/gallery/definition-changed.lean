/-
tries: the definition in the statement is another
source: comparator simple_mismatch; SafeVerify Def
alone: accepted, axioms clean
stopped by: statement
expects: t, Even definition
-/
--- asked
def Even (n : Nat) : Prop := ∃ k, n = k + k
theorem t : Even 4 := sorry
--- attack
def Even (n : Nat) : Prop := ∃ k, n = k
theorem t : Even 4 := ⟨4, rfl⟩
--- twin
def Even (m : Nat) : Prop := ∃ j, m = j + j
theorem t : Even 4 := ⟨2, rfl⟩
