/-
tries: an instance argument that nobody can give
source: facts 2.7 #12, where it is added after the statement was frozen
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
class Three (a : Nat) : Prop where
  out : a = 3
theorem t (a : Nat) : a = 3 := sorry
--- attack
class Three (a : Nat) : Prop where
  out : a = 3
theorem t (a : Nat) [h : Three a] : a = 3 := h.out
--- twin
class Three (a : Nat) : Prop where
  out : a = 3
theorem help (a : Nat) [h : Three a] : a = 3 := h.out
theorem t (a : Nat) : a = 3 := sorry
