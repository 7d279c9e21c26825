/-
tries: a field of a type with a name that Lean might have made up is left open, and the statement speaks of the type only
source: own; facts 2.7 #11
alone: accepted, axioms sorryAx
stopped by: sorry
expects: t stated
says: the statement of `t` rests on `sorry`
-/
--- attack
structure N._Good (n : Nat) : Prop where
  small : n < (sorry : Nat)
theorem t : N._Good 7 := sorry
--- twin
structure N._Good (n : Nat) : Prop where
  small : n < 3
theorem t : N._Good 7 := sorry
