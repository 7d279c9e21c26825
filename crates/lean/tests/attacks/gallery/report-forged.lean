/-
tries: `#print axioms` is taken over by a macro and says what a text search wants to hear
source: facts 2.7 #16
alone: accepted, axioms sorryAx
stopped by: sorry
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
local macro_rules | `(command| #print axioms t) => `(command| #check "'t' does not depend on any axioms")
theorem t : (1 : Nat) = 2 := sorry
#print axioms t
--- twin
local macro_rules | `(command| #print axioms s) => `(command| #check "a theorem")
theorem s : (1 : Nat) = 1 := rfl
#print axioms s
theorem t : (1 : Nat) = 2 := sorry
