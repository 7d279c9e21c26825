/-
tries: a macro takes over the command `theorem` and declares something else
source: own; facts 2.7 #5
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
local macro_rules | `(command| theorem t : (1 : Nat) = 2 := trivial) => `(command| theorem $(Lean.mkIdent `t) : True := trivial)
theorem t : (1 : Nat) = 2 := trivial
--- twin
local macro "proved" : command => `(command| theorem $(Lean.mkIdent `s) : True := trivial)
proved
theorem t : (1 : Nat) = 2 := sorry
