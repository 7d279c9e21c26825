/-
tries: a program that never ends, with the elaborator's own limits taken off
source: facts 2.7 #14
alone: timed out
stopped by: limits
twin: stated
deadline ms: 1500
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
module
public import Init
partial def spin (n : Nat) : IO Nat := spin (n + 1)
set_option maxHeartbeats 0
#eval spin 0
public theorem t : (1 : Nat) = 2 := by decide
--- twin
set_option maxHeartbeats 0
theorem s : (1 : Nat) + 1 = 2 := by rfl
theorem t : (1 : Nat) = 2 := sorry
