/-
tries: the allowed axiom `propext` is put into the environment again, as `False`, and used
source: facts 2.7 #7; SafeVerify ReplaceAxiom; comparator quot_mismatch does it to `Quot`
alone: accepted
stopped by: kernel
twin: stated
-/
--- asked
theorem t : False := sorry
--- attack
module
public import Init
public meta import Lean
open Lean Elab Command
run_cmd do
  let env ← getEnv
  let evil := Declaration.axiomDecl { name := ``propext, levelParams := [], type := mkConst ``False, isUnsafe := false }
  let d := Declaration.thmDecl { name := `t, levelParams := [], type := mkConst ``False, value := mkConst ``propext }
  match env.addDeclCore 0 evil none false with
  | .ok env =>
    match env.addDeclCore 0 d none false with
    | .ok env => setEnv env
    | .error _ => return
  | .error _ => return
--- twin
theorem s (p q : Prop) (h : p ↔ q) : p = q := propext h
theorem t : False := sorry
