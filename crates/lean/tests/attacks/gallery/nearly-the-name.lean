/-
tries: several theorems of nearly the expected name, of which none says what was asked
source: own
alone: accepted
stopped by: statement
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
namespace t
theorem t : (1 : Nat) = 1 := rfl
end t
private theorem t' : (1 : Nat) = 1 := rfl
theorem t : (1 : Nat) = 1 := t'
--- twin
namespace t
theorem t : (1 : Nat) = 1 := rfl
end t
theorem t : (1 : Nat) = 2 := sorry
