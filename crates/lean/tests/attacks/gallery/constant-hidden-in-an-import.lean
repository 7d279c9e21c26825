/-
tries: the module below hands the kernel one theorem and its importers another of the same name
source: own; facts 2.7 #8
alone: accepted
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
run_cmd do
  let env ← getEnv
  let good := Declaration.thmDecl { name := `below, levelParams := [], type := mkConst ``True, value := mkConst ``True.intro }
  let evil := Declaration.thmDecl { name := `below, levelParams := [], type := mkConst ``False, value := mkConst ``True.intro }
  match env.addDeclCore 0 good none false with
  | .ok env =>
    match env.addDeclCore 0 evil none false with
    | .ok env => setEnv env
    | .error _ => return
  | .error _ => return
--- attack
theorem t : False := below
--- twin N.Below
module
public import Init
public meta import Lean
open Lean Elab Command
run_cmd do
  let env ← getEnv
  let good := Declaration.thmDecl { name := `below, levelParams := [], type := mkConst ``True, value := mkConst ``True.intro }
  match env.addDeclCore 0 good none false with
  | .ok env => setEnv env
  | .error _ => return
--- twin
theorem s : True := below
theorem t : False := sorry
