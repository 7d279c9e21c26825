/-
tries: an axiom whose name looks like a proof that Lean has split off, so that a report leaves it out
source: own; facts 2.7 #16
alone: accepted, axioms t._proof_1
stopped by: policy
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
axiom t._proof_1 : (1 : Nat) = 2
theorem t : (1 : Nat) = 2 := t._proof_1
--- twin
theorem t._proof_1 : (1 : Nat) ≠ 2 := by decide
theorem t : (1 : Nat) = 2 := sorry
