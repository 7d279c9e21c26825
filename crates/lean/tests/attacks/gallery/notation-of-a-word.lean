/-
tries: the word `Nat` becomes a notation for a type with one element
source: facts 2.7 #5
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
theorem t (a b : Nat) : a = b := sorry
--- attack
local notation "Nat" => Unit
theorem t (a b : Nat) : a = b := rfl
--- twin
local notation "ℕ" => Nat
theorem same (a : ℕ) : a = a := rfl
theorem t (a b : Nat) : a = b := sorry
