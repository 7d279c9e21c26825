/-
tries: the helper is left open in a module below
source: facts 2.7 #11
alone: accepted, axioms sorryAx
stopped by: sorry
expects: t, stated stated
-/
--- asked N.Below
theorem stated (n : Nat) : n < n + 1 := sorry
--- asked
theorem t : (1 : Nat) < 2 := sorry
--- attack N.Below
theorem stated (n : Nat) : n < n + 1 := sorry
theorem help : (1 : Nat) = 2 := sorry
--- attack
theorem t : (1 : Nat) < 2 := absurd help (by decide)
--- twin
theorem t : (1 : Nat) < 2 := stated 1
