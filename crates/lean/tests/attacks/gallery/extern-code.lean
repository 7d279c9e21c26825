/-
tries: a definition whose compiled code is a C symbol
source: facts 2.7 #10
alone: accepted, axioms clean
stopped by: policy
-/
--- asked
theorem t : (4 : Nat) = 4 := sorry
--- attack
@[extern "system"] def run (n : Nat) : Nat := n
theorem t : (4 : Nat) = 4 := rfl
--- twin
def run (n : Nat) : Nat := n
theorem t : (4 : Nat) = 4 := rfl
