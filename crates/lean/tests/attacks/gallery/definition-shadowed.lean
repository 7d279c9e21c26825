/-
tries: a definition of the same last name in an opened namespace comes before the one that was meant
source: facts 2.7 #5
alone: accepted, axioms clean
stopped by: statement
twin: stated
-/
--- asked
def Even (n : Nat) : Prop := ∃ k, n = k + k
theorem t (n : Nat) (h : n = 3) : Even n := sorry
--- attack
def Even (n : Nat) : Prop := ∃ k, n = k + k
namespace Mine
def Even (_ : Nat) : Prop := True
theorem _root_.t (n : Nat) (h : n = 3) : Even n := trivial
end Mine
--- twin
def Even (n : Nat) : Prop := ∃ k, n = k + k
namespace Mine
def Even (_ : Nat) : Prop := True
theorem s (n : Nat) : Even n := trivial
theorem _root_.t (n : Nat) (h : n = 3) : _root_.Even n := sorry
end Mine
