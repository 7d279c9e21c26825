/-
tries: the theorem itself is declared as an axiom
source: comparator simple_kind_mismatch; SafeVerify Thm
alone: accepted, axioms t
stopped by: policy
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
axiom t : (1 : Nat) = 2
--- twin
theorem s : ∀ (axiom' : (1 : Nat) = 2), (1 : Nat) = 2 := fun h => h
theorem t : (1 : Nat) = 2 := sorry
