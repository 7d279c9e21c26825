/-
tries: a `csimp` lemma that rests on a false axiom makes the compiler replace a function
source: facts 2.7 #4; lean4 issue 7463
alone: accepted, axioms clean
stopped by: policy
-/
--- asked
theorem t : (4 : Nat) = 4 := sorry
--- attack
def slow (n : Nat) : Nat := n
def fast (_ : Nat) : Nat := 0
axiom same : @slow = @fast
attribute [csimp] same
theorem t : (4 : Nat) = 4 := rfl
--- twin
def slow (n : Nat) : Nat := n
def fast (n : Nat) : Nat := n
theorem same : @slow = @fast := rfl
attribute [csimp] same
theorem t : (4 : Nat) = 4 := rfl
