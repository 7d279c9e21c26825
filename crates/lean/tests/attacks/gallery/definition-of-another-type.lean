/-
tries: a definition of another type than the frozen one
source: comparator def_hole_type_mismatch
alone: accepted, axioms clean
stopped by: statement
expects: answer definition
-/
--- asked
def answer : Nat := 42
--- attack
def answer : Fin 43 := 42
--- twin
def small : Fin 43 := 42
def answer : Nat := 42
theorem same : small.val = answer := rfl
