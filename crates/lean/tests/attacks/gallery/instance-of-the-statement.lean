/-
tries: an instance that the statement uses is given another value
source: facts 2.7 #5
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
structure V where
  x : Nat
instance : Add V := ⟨fun a b => ⟨a.x + b.x⟩⟩
theorem t (a b : V) : (a + b).x = a.x + a.x := sorry
--- attack
structure V where
  x : Nat
instance : Add V := ⟨fun a _ => ⟨a.x + a.x⟩⟩
theorem t (a b : V) : (a + b).x = a.x + a.x := rfl
--- twin
structure V where
  x : Nat
instance : Add V := ⟨fun a b => ⟨a.x + b.x⟩⟩
instance : Mul V := ⟨fun a _ => ⟨a.x + a.x⟩⟩
theorem help (a b : V) : (a * b).x = a.x + a.x := rfl
theorem t (a b : V) : (a + b).x = a.x + a.x := sorry
