/-
tries: a definition in the statement has a name that Lean gives to proofs which it splits off
source: own
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
def bound.proof_1 : Nat := 3
theorem t : 7 < bound.proof_1 := sorry
--- attack
def bound.proof_1 : Nat := 8
theorem t : 7 < bound.proof_1 := by show 7 < 8; decide
--- twin
def bound.proof_1 : Nat := 3
theorem s : 2 < bound.proof_1 := by show 2 < 3; decide
theorem t : 7 < bound.proof_1 := sorry
