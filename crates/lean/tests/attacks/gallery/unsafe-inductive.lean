/-
tries: a type that is not positive, which only `unsafe` allows
source: SafeVerify AddFalseConstr
alone: accepted
stopped by: policy
-/
--- asked
theorem t : True := sorry
--- attack
unsafe inductive Bad | mk (f : Bad → False)
unsafe def Bad.no (b : Bad) : False := match b with | .mk f => f b
theorem t : True := trivial
--- twin
inductive Good | mk (f : Nat → Good) | leaf
theorem t : True := trivial
