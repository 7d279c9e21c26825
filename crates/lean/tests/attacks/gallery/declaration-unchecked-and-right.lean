/-
tries: nothing beyond what it says: a false helper is put past the kernel beside a right theorem which does not use it
source: facts 2.7 #2
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
  let d := Declaration.thmDecl { name := `idle, levelParams := [], type := mkConst ``False, value := mkConst ``True.intro }
  match env.addDeclCore 0 d none false with
  | .ok env => setEnv env
  | .error _ => return
public theorem t : True := trivial
--- twin
module
public import Init
public meta import Lean
open Lean Elab Command
run_cmd do
  let env ← getEnv
  let d := Declaration.thmDecl { name := `t, levelParams := [], type := mkConst ``True, value := mkConst ``True.intro }
  match env.addDeclCore 0 d none false with
  | .ok env => setEnv env
  | .error _ => return
