/-
tries: the conclusion is weaker
source: comparator simple_mismatch; SafeVerify Thm
alone: accepted, axioms clean
stopped by: statement
-/
--- asked
theorem t (a b : Nat) (h : a < b) : a + 1 ≤ b ∧ a ≠ b := sorry
--- attack
theorem t (a b : Nat) (h : a < b) : a + 1 ≤ b ∨ a ≠ b := .inl h
--- twin
theorem t (a b : Nat) (lt : a < b) : a + 1 ≤ b ∧ a ≠ b := ⟨lt, Nat.ne_of_lt lt⟩
