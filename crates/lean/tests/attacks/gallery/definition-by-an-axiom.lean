/-
tries: a definition whose value is an axiom
source: comparator def_hole_axiom_issue
alone: accepted, axioms cheat
stopped by: policy
expects: answer definition
-/
--- attack
axiom cheat : Nat
def answer : Nat := cheat
--- twin
def answer : Nat := Classical.choice ⟨42⟩
