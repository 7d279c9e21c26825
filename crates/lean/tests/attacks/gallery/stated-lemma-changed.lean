/-
tries: a lemma that may stay open is made to say something false, from which the theorem follows
source: own; facts 2.7 #11
alone: accepted, axioms sorryAx
stopped by: statement
expects: t, low stated
-/
--- asked
theorem low (n : Nat) : n < n + 1 := sorry
theorem t (n : Nat) : n < n + 2 := sorry
--- attack
theorem low (n : Nat) : n < n := sorry
theorem t (n : Nat) : n < n + 2 := absurd (low n) (Nat.lt_irrefl n)
--- twin
theorem low (n : Nat) : n < n + 1 := sorry
theorem t (n : Nat) : n < n + 2 := Nat.lt_succ_of_lt (low n)
