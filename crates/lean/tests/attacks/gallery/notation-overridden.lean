/-
tries: a notation gives `≤` another meaning where the theorem stands
source: facts 2.7 #5
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
theorem t (a b : Nat) : a ≤ b := sorry
--- attack
local macro_rules | `($a ≤ $b) => `(Nat.le 0 ($a + $b))
theorem t (a b : Nat) : a ≤ b := Nat.zero_le _
--- twin
local infix:50 " ⊑ " => fun (a b : Nat) => Nat.le 0 (a + b)
theorem s (a b : Nat) : a ⊑ b := Nat.zero_le _
theorem t (a b : Nat) : a ≤ b := sorry
