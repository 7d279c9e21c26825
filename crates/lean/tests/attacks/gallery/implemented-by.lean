/-
tries: compiled code of a definition that is another function
source: SafeVerify ImpBy; facts 2.7 #3
alone: accepted, axioms clean
stopped by: policy
-/
--- asked
theorem t : (4 : Nat) = 4 := sorry
--- attack
def fast : Nat := 3
@[implemented_by fast] def slow : Nat := 4
theorem t : slow = 4 := rfl
--- twin
def fast : Nat := 3
def slow : Nat := 4
theorem t : (4 : Nat) = 4 := rfl
