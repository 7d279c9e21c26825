/-
tries: a theorem rests on an axiom; then the environment without the axiom is put back and the theorem into it, unchecked
source: facts 2.7 #2, #8 of the ways around `#print axioms`
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
  let cheat := Declaration.axiomDecl { name := `cheat, levelParams := [], type := mkConst ``False, isUnsafe := false }
  let d := Declaration.thmDecl { name := `t, levelParams := [], type := mkConst ``False, value := mkConst `cheat }
  match env.addDeclCore 0 cheat none true with
  | .ok with_ =>
    match with_.addDeclCore 0 d none true with
    | .ok _ =>
      match env.addDeclCore 0 d none false with
      | .ok env => setEnv env
      | .error _ => return
    | .error _ => return
  | .error _ => return
--- twin
module
public import Init
public meta import Lean
open Lean Elab Command
run_cmd do
  let env ← getEnv
  let cheat := Declaration.axiomDecl { name := `cheat, levelParams := [], type := mkConst ``False, isUnsafe := false }
  match env.addDeclCore 0 cheat none true with
  | .ok _ => setEnv env
  | .error _ => return
public theorem t : False := sorry
