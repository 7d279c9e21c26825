/-
tries: a theorem where a definition is asked for
source: comparator def_hole_kind_mismatch
alone: accepted, axioms clean
stopped by: declaration
expects: answer definition
-/
--- attack
theorem answer : ∃ n : Nat, n = 42 := ⟨42, rfl⟩
--- twin
theorem there_is_one : ∃ n : Nat, n = 42 := ⟨42, rfl⟩
def answer : Nat := there_is_one.choose
