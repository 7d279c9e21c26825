/-
tries: `autoImplicit` turns a name of the statement into a variable
source: own
alone: accepted, axioms clean
stopped by: statement
-/
--- asked
def zero : Nat := 0
theorem t : zero = 0 := sorry
--- attack
set_option autoImplicit true in
theorem t : zero = zero := rfl
--- twin
def zero : Nat := 0
set_option autoImplicit true in
theorem s (x : α) : x = x := rfl
theorem t : zero = 0 := rfl
