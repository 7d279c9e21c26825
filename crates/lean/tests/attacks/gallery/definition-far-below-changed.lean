/-
tries: three modules below, the value of a definition changes by one
source: own; facts 2.2: all constants of the statement, at any depth
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked N.A
def bound : Nat := 3
--- asked N.B
def Small (n : Nat) : Prop := n < bound
--- asked
def Pair (a b : Nat) : Prop := Small a ∧ Small b
theorem t : Pair 3 3 := sorry
--- attack N.A
def bound : Nat := 4
--- attack
def Pair (a b : Nat) : Prop := Small a ∧ Small b
theorem t : Pair 3 3 := ⟨by show 3 < 4; decide, by show 3 < 4; decide⟩
--- twin N.A
def bound : Nat := 3
theorem bound_pos : 0 < bound := by decide
--- twin
def Pair (a b : Nat) : Prop := Small a ∧ Small b
theorem helper : ¬ Pair 3 3 := fun h => absurd h.1 (by show ¬ 3 < 3; decide)
theorem t : Pair 3 3 := sorry
