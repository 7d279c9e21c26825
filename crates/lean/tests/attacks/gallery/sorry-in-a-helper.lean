/-
tries: the helper is left open, and private
source: facts 2.7 #11
alone: accepted, axioms sorryAx
stopped by: sorry
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
private theorem help : (1 : Nat) = 2 := sorry
theorem t : (1 : Nat) = 2 := help
--- twin
private theorem help : (1 : Nat) + 1 = 2 := rfl
theorem s : (1 : Nat) + 1 = 2 := help
theorem t : (1 : Nat) = 2 := sorry
