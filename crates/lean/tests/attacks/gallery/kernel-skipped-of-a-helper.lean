/-
tries: the same of an auxiliary lemma with a name that Lean might have made up, which the theorem then uses in good faith
source: facts 2.7 #1
alone: accepted, axioms clean
stopped by: kernel
-/
--- asked
theorem t : ∃ n : Nat, n = 1 ∧ n < 2 := sorry
--- attack
set_option debug.skipKernelTC true in
theorem t._proof_1 : (1 : Nat) = 2 := by decide +kernel
theorem t : ∃ n : Nat, n = 1 ∧ n < 2 := absurd t._proof_1 (by decide)
--- twin
set_option debug.skipKernelTC true in
theorem t._proof_1 : (1 : Nat) < 2 := by decide +kernel
theorem t : ∃ n : Nat, n = 1 ∧ n < 2 := ⟨1, rfl, t._proof_1⟩
