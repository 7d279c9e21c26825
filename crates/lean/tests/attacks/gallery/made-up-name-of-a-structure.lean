/-
tries: a structure in the statement has a name that begins as Lean's own do; a field of it says less
source: own
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
structure N._Good (n : Nat) : Prop where
  small : n < 3
theorem t : N._Good 7 := sorry
--- attack
structure N._Good (n : Nat) : Prop where
  small : n < 8
theorem t : N._Good 7 := ⟨by decide⟩
--- twin
structure N._Good (n : Nat) : Prop where
  small : n < 3
theorem s : N._Good 2 := ⟨by decide⟩
theorem t : N._Good 7 := sorry
