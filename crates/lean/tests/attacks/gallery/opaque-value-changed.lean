/-
tries: the value of an opaque constant is another
source: comparator opaque_value
alone: accepted, axioms clean
stopped by: statement
-/
--- asked
opaque secret : Nat := 3
theorem t : secret = secret := sorry
--- attack
opaque secret : Nat := 4
theorem t : secret = secret := rfl
--- twin
opaque secret : Nat := 3
theorem t : secret = secret := by simp
