/-
tries: the compiled form of the module below holds a second `True.intro`, of type `False`; Lean cannot even import it
source: own; facts 2.7 #8
alone: crashed
stopped by: second kernel
twin: stated
-/
--- asked N.Below
theorem below : 1 = 1 := rfl
--- asked
theorem t : False := sorry
--- attack N.Below
module
public import Init
public meta import Lean
open Lean Elab Command
public theorem below : 1 = 1 := rfl
run_cmd do
  let env ← getEnv
  let evil := Declaration.axiomDecl { name := ``trivial, levelParams := [], type := mkConst ``False, isUnsafe := false }
  match env.addDeclCore 0 evil none false with
  | .ok env => setEnv env
  | .error _ => return
--- attack
theorem t : False := trivial
--- twin N.Below
theorem N.trivial : True := True.intro
theorem below : 1 = 1 := rfl
--- twin
theorem s : True := N.trivial
theorem t : False := sorry
