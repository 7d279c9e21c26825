/-
tries: an axiom that is private to the module
source: own
alone: accepted
stopped by: policy
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
private axiom cheat : (1 : Nat) = 2
theorem t : (1 : Nat) = 2 := cheat
--- twin
private theorem cheat : (1 : Nat) ≠ 2 := by decide
theorem s : (1 : Nat) ≠ 2 := cheat
theorem t : (1 : Nat) = 2 := sorry
