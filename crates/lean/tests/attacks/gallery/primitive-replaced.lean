/-
tries: `Nat.add`, which kernels compute by themselves, is put into the environment again as something else
source: facts 2.7 #6; comparator primitive_issue, char_ofnat_issue
alone: accepted
stopped by: second kernel
twin: stated
-/
--- asked
theorem t : Nat.add 1 1 = 0 := sorry
--- attack
module
public import Init
public meta import Lean
open Lean Elab Command
run_cmd do
  let env ← getEnv
  let nat := mkConst ``Nat
  let evil := Declaration.defnDecl {
    name := ``Nat.add, levelParams := [], type := .forallE `a nat (.forallE `b nat nat .default) .default,
    value := .lam `a nat (.lam `b nat (mkRawNatLit 0) .default) .default, hints := .abbrev, safety := .safe }
  let lit (n : Nat) := mkApp3 (mkConst ``OfNat.ofNat [0]) nat (mkRawNatLit n) (mkApp (mkConst ``instOfNatNat) (mkRawNatLit n))
  let sum := mkApp2 (mkConst ``Nat.add) (lit 1) (lit 1)
  let d := Declaration.thmDecl {
    name := `t, levelParams := [], type := mkApp3 (mkConst ``Eq [1]) nat sum (lit 0),
    value := mkApp2 (mkConst ``Eq.refl [1]) nat (lit 0) }
  match env.addDeclCore 0 evil none false with
  | .ok env =>
    match env.addDeclCore 0 d none false with
    | .ok env => setEnv env
    | .error _ => return
  | .error _ => return
--- twin
theorem s : Nat.add 1 1 = 2 := rfl
theorem t : Nat.add 1 1 = 0 := sorry
