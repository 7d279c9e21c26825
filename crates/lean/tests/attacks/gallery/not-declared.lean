/-
tries: nothing is proved, and nothing is wrong
source: facts 2.8: a build is no gate
alone: accepted
stopped by: declaration
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
theorem s : (1 : Nat) = 1 := rfl
--- twin
theorem s : (1 : Nat) = 1 := rfl
theorem t : (1 : Nat) = 2 := sorry
