/-
tries: the compiled module holds a second `trivial`, of type `False`; nobody could import it any more
source: own; facts 2.7 #8
alone: accepted
stopped by: second kernel
-/
--- attack
module
public import Init
public meta import Lean
open Lean Elab Command
public theorem t : 1 = 1 := rfl
run_cmd do
  let env ← getEnv
  let evil := Declaration.axiomDecl { name := ``trivial, levelParams := [], type := mkConst ``False, isUnsafe := false }
  match env.addDeclCore 0 evil none false with
  | .ok env => setEnv env
  | .error _ => return
--- twin
namespace N
theorem trivial : True := True.intro
end N
theorem t : 1 = 1 := rfl
