/-
tries: a command puts a theorem into the environment itself, past the kernel
source: facts 2.7 #2; comparator issue 43
alone: accepted, axioms clean
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
  let d := Declaration.thmDecl { name := `t, levelParams := [], type := mkConst ``False, value := mkConst ``True.intro }
  match env.addDeclCore 0 d none false with
  | .ok env => setEnv env
  | .error _ => return
--- twin
module
public import Init
public meta import Lean
open Lean Elab Command
run_cmd do
  let env ← getEnv
  let d := Declaration.thmDecl { name := `s, levelParams := [], type := mkConst ``True, value := mkConst ``True.intro }
  match env.addDeclCore 0 d none false with
  | .ok env => setEnv env
  | .error _ => return
public theorem t : False := sorry
