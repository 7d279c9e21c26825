/-
tries: a definition with a hole, to be filled with what makes the theorem trivial
source: comparator def_hole; facts 2.7 #13. There is no hole to fill here: a definition is whole when it is frozen
alone: accepted, axioms sorryAx
stopped by: sorry
expects: answer definition
-/
--- attack
def answer : Nat := sorry
--- twin
def answer : Nat := 42
