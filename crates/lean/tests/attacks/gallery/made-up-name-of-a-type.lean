/-
tries: a type in the statement has a name of the kind that Lean gives to what it splits off, and is looked through; its constructor asks for something else
source: own
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
inductive Small.match_1 : Nat → Prop
  | mk (n : Nat) (h : n < 3) : Small.match_1 n
theorem t : Small.match_1 7 := sorry
--- attack
inductive Small.match_1 : Nat → Prop
  | mk (n : Nat) (h : n < 8) : Small.match_1 n
theorem t : Small.match_1 7 := .mk 7 (by decide)
--- twin
inductive Small.match_1 : Nat → Prop
  | mk (n : Nat) (h : n < 3) : Small.match_1 n
theorem s : Small.match_1 2 := .mk 2 (by decide)
theorem t : Small.match_1 7 := sorry
