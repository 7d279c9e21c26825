/-
tries: an axiom that ends in the name of an allowed one, and is called by that name
source: facts 2.7 #7; SafeVerify ReplaceAxiom
alone: accepted, axioms N.propext
stopped by: policy
expects: N.t
twin: stated
-/
--- asked
theorem N.t : (1 : Nat) = 2 := sorry
--- attack
namespace N
axiom propext : False
theorem t : (1 : Nat) = 2 := propext.elim
end N
--- twin
namespace N
theorem propext : ¬ False := id
theorem t : (1 : Nat) = 2 := sorry
end N
