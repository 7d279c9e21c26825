/-
tries: the theorem is there, under a name that is private
source: own
alone: accepted
stopped by: declaration
-/
--- asked
theorem t : (1 : Nat) = 1 := sorry
--- attack
private theorem t : (1 : Nat) = 1 := rfl
--- twin
private theorem s : (1 : Nat) = 1 := rfl
theorem t : (1 : Nat) = 1 := s
