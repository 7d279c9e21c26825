/-
tries: the theorem is proved for small types only
source: own
alone: accepted, axioms clean
stopped by: statement
-/
--- asked
universe u
theorem t (α : Type u) (x : α) : ∃ y : α, y = x := sorry
--- attack
theorem t (α : Type) (x : α) : ∃ y : α, y = x := ⟨x, rfl⟩
--- twin
universe u
theorem t (α : Type u) (x : α) : ∃ y : α, y = x := ⟨x, rfl⟩
