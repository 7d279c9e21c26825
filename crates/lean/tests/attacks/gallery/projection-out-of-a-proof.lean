/-
tries: a projection takes the witness out of `∃`, so that two proofs of one proposition have different values
source: comparator proj_trick
alone: accepted, axioms clean
stopped by: kernel
-/
--- asked
theorem t : True := sorry
--- attack
module
public import Init
public meta import Lean
open Lean Elab Command
run_cmd do
  let env ← getEnv
  let nat := mkConst ``Nat
  let d := Declaration.defnDecl {
    name := `witness, levelParams := [], hints := .abbrev, safety := .safe,
    type := .forallE `h (mkApp2 (mkConst ``Exists [1]) nat (.lam `n nat (mkConst ``True) .default)) nat .default,
    value := .lam `h (mkApp2 (mkConst ``Exists [1]) nat (.lam `n nat (mkConst ``True) .default)) (.proj ``Exists 0 (.bvar 0)) .default }
  match env.addDeclCore 0 d none false with
  | .ok env => setEnv env
  | .error _ => return
public theorem t : True := trivial
--- twin
theorem witness (h : ∃ n : Nat, n = 3) : ∃ n : Nat, n + 1 = 4 := h.elim fun n e => ⟨n, by rw [e]⟩
theorem t : True := trivial
