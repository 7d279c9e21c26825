/-
tries: an opaque constant of the theorem's type, whose value nobody could unfold
source: comparator simple_kind_mismatch; issue: opaque where a theorem is asked
alone: accepted, axioms clean
stopped by: statement
-/
--- asked
theorem t : Nat → Nat → True := sorry
--- attack
opaque t : Nat → Nat → True
--- twin
opaque s : Nat → Nat → True
theorem t : Nat → Nat → True := s
