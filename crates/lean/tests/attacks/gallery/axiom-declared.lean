/-
tries: an axiom that says what was to be proved, under another name
source: SafeVerify AddFalse; comparator simple_axiom_issue; facts 2.7 #11
alone: accepted, axioms cheat
stopped by: policy
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
axiom cheat : (1 : Nat) = 2
theorem t : (1 : Nat) = 2 := cheat
--- twin
theorem cheat (h : (1 : Nat) = 2) : (1 : Nat) = 2 := h
theorem t : (1 : Nat) = 2 := sorry
