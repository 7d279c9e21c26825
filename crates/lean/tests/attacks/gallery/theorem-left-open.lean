/-
tries: `sorry`
source: comparator theorem_hole_issue; facts 2.7 #11
alone: accepted, axioms sorryAx
stopped by: sorry
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
set_option warn.sorry false in
theorem t : (1 : Nat) = 2 := sorry
--- twin
set_option warn.sorry false in
theorem t : (1 : Nat) = 2 := sorry
