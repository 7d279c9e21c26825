/-
tries: `native_decide` runs compiled code, and the compiler believes `implemented_by`
source: facts 2.7 #3; "Don't LEAN On Me"
alone: rejected
stopped by: lean
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
def yes (_ : Decidable ((1 : Nat) = 2)) : Bool := true
theorem t : (1 : Nat) = 2 := by native_decide
--- twin
theorem s : (1 : Nat) < 2 := by decide +kernel
theorem t : (1 : Nat) = 2 := sorry
