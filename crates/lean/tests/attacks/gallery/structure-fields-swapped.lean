/-
tries: the fields of a structure in the statement change places, so that `p.1` means the other
source: comparator proj_trick
alone: accepted, axioms clean
stopped by: statement
-/
--- asked
structure P where
  low : Nat
  high : Nat
def P.ok (p : P) : Prop := p.1 ≤ 3
theorem t (p : P) (h : p.low ≤ 3) : p.ok := sorry
--- attack
structure P where
  high : Nat
  low : Nat
def P.ok (p : P) : Prop := p.2 ≤ 3
theorem t (p : P) (h : p.low ≤ 3) : p.ok := h
--- twin
structure P where
  low : Nat
  high : Nat
def P.ok (p : P) : Prop := p.1 ≤ 3
theorem P.high_le (p : P) : p.high ≤ p.high := Nat.le_refl _
theorem t (p : P) (h : p.low ≤ 3) : p.ok := h
