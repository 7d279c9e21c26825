/-
tries: the constructor `Quot.mk` is put into the environment again, as `False`, and used
source: comparator quot_mismatch
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
  let evil := Declaration.axiomDecl { name := ``Quot.mk, levelParams := [], type := mkConst ``False, isUnsafe := false }
  let d := Declaration.thmDecl { name := `t, levelParams := [], type := mkConst ``False, value := mkConst ``Quot.mk }
  match env.addDeclCore 0 evil none false with
  | .ok env =>
    match env.addDeclCore 0 d none false with
    | .ok env => setEnv env
    | .error _ => return
  | .error _ => return
--- twin
theorem s (α : Type) (r : α → α → Prop) (a b : α) (h : r a b) : Quot.mk r a = Quot.mk r b := Quot.sound h
theorem t : False := sorry
