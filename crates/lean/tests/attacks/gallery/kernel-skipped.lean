/-
tries: `debug.skipKernelTC` keeps the kernel from looking at an ill-typed proof
source: facts 2.7 #1; lean-ja, SkipKernelTC
alone: accepted, axioms clean
stopped by: kernel
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
set_option debug.skipKernelTC true in
theorem t : (1 : Nat) = 2 := by decide +kernel
--- twin
set_option debug.skipKernelTC true in
theorem s : (1 : Nat) < 2 := by decide +kernel
theorem t : (1 : Nat) = 2 := sorry
