/-
tries: the numeral 2 is given another value by an instance
source: facts 2.7 #5
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
theorem t : (2 : Nat) = 3 := sorry
--- attack
local instance (priority := high) two : OfNat Nat 2 := ⟨3⟩
theorem t : (2 : Nat) = 3 := rfl
--- twin
inductive Z | three
local instance (priority := high) two : OfNat Z 2 := ⟨.three⟩
theorem two_eq : (2 : Z) = .three := rfl
theorem t : (2 : Nat) = 3 := sorry
