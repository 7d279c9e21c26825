/-
tries: the axiom stands in the module below, where nobody asked for anything
source: facts 2.7 #4: reviewers miss what is imported
alone: accepted, axioms cheat
stopped by: policy
twin: stated
-/
--- asked N.Below
theorem below : 1 = 1 := rfl
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack N.Below
axiom cheat : (1 : Nat) = 2
theorem below : 1 = 1 := rfl
--- attack
theorem t : (1 : Nat) = 2 := cheat
--- twin N.Below
theorem cheat : (1 : Nat) ≠ 2 := by decide
theorem below : 1 = 1 := rfl
--- twin
theorem s : ¬ (1 : Nat) = 2 := cheat
theorem t : (1 : Nat) = 2 := sorry
