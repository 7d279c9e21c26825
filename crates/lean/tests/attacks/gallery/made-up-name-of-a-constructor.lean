/-
tries: the constructor of a type in the statement has such a name, and asks for something else
source: own
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
inductive Small : Nat → Prop
  | match_1 (n : Nat) (h : n < 3) : Small n
theorem t : Small 7 := sorry
--- attack
inductive Small : Nat → Prop
  | match_1 (n : Nat) (h : n < 8) : Small n
theorem t : Small 7 := .match_1 7 (by decide)
--- twin
inductive Small : Nat → Prop
  | match_1 (n : Nat) (h : n < 3) : Small n
theorem s : Small 2 := .match_1 2 (by decide)
theorem t : Small 7 := sorry
