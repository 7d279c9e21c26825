/-
tries: a definition in place of the theorem, which others could then unfold
source: comparator simple_kind_mismatch
alone: accepted, axioms clean
stopped by: statement
-/
--- asked
theorem t : 1 = 1 := sorry
--- attack
def t : 1 = 1 := rfl
--- twin
theorem t : 1 = 1 := rfl
