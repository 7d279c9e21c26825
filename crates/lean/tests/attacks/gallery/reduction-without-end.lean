/-
tries: the kernel's own reduction is made to run without end, where no heartbeat is counted
source: facts 2.7 #14
alone: timed out
stopped by: limits
deadline ms: 1500
-/
--- asked
theorem t : True := sorry
--- attack
def tower : Nat → Nat
  | 0 => 1
  | n + 1 => tower n + tower n
set_option maxHeartbeats 0
set_option maxRecDepth 1000000
theorem big : Nat.rec (motive := fun _ => Nat) 0 (fun _ n => n + 0) (tower 40) = 0 := by decide +kernel
theorem t : True := trivial
--- twin
def tower : Nat → Nat
  | 0 => 1
  | n + 1 => tower n + tower n
set_option maxHeartbeats 0
theorem small : tower 4 = 16 := by decide +kernel
theorem t : True := trivial
