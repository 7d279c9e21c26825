/-
tries: the axiom behind `native_decide`, called by hand with a hypothesis-free trick: trusting the compiler is an axiom too
source: facts 2.7 #3, #4
alone: accepted, axioms Lean.trustCompiler
stopped by: axioms
-/
--- asked
theorem t : True := sorry
--- attack
theorem t : True := Lean.trustCompiler
--- twin
theorem t : True := Classical.choice ⟨trivial⟩
