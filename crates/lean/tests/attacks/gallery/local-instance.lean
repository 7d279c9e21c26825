/-
tries: a local instance makes `+` of naturals a constant
source: facts 2.7 #5; SafeVerify OverwrittenTypeclass
alone: accepted, axioms clean
stopped by: statement
-/
--- asked
theorem t (a b : Nat) : a + b = b + a := sorry
--- attack
local instance : HAdd Nat Nat Nat := ⟨fun _ _ => 0⟩
theorem t (a b : Nat) : a + b = b + a := rfl
--- twin
structure V where
  x : Nat
local instance : HAdd V V V := ⟨fun a b => ⟨a.x + b.x⟩⟩
theorem t (a b : Nat) : a + b = b + a := by omega
