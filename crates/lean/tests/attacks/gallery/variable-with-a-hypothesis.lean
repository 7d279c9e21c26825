/-
tries: a `variable` far above adds a hypothesis to the statement
source: own
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
theorem t (a : Nat) : a = 3 := sorry
--- attack
section
variable (h : False)
include h
theorem t (a : Nat) : a = 3 := h.elim
end
--- twin
section
variable (h : False)
include h
theorem help (a : Nat) : a = 3 := h.elim
end
theorem t (a : Nat) : a = 3 := sorry
