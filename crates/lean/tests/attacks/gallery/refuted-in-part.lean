/-
tries: the negation is stated under the binder, where it says less
source: SafeVerify DisproofValid, turned round
alone: accepted, axioms clean
stopped by: statement
expects: t_refuted negates t
-/
--- asked
theorem t : ∀ n : Nat, n = n + 0 → n = 3 := sorry
--- attack
theorem t_refuted : ∀ n : Nat, ¬ (n = n + 1 → n = 3) → True := fun _ _ => trivial
--- twin
theorem t_refuted : ¬ ∀ n : Nat, n = n + 0 → n = 3 := fun h => absurd (h 0 rfl) (by decide)
