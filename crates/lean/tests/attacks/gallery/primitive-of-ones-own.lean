/-
tries: a `Nat.add` in a namespace of one's own, which the statement then means
source: facts 2.7 #6
alone: accepted, axioms clean
stopped by: statement
twin: stated
expects: N.t
-/
--- asked
namespace N
theorem t : Nat.add 1 1 = 0 := sorry
end N
--- attack
namespace N
def Nat.add (_ _ : Nat) : Nat := 0
theorem t : Nat.add 1 1 = 0 := rfl
end N
--- twin
namespace N
def Nat.plus (_ _ : Nat) : Nat := 0
theorem t : Nat.add 1 1 = 0 := sorry
end N
