/-
tries: a function that does not end, of an inhabited type
source: facts 2.7 #11; SafeVerify refuses the same
alone: accepted
stopped by: policy
-/
--- asked
theorem t : True := sorry
--- attack
module
public import Init
public section
partial def loop (n : Nat) : Nat := loop (n + 1)
theorem t : True := trivial
end
--- twin
def halve (n : Nat) : Nat := if n < 2 then 0 else halve (n - 2) + 1
theorem t : True := trivial
