/-
tries: the process ends itself with success, before anything is judged
source: facts 2.7 #9
alone: crashed
stopped by: crash
-/
--- asked
theorem t : True := sorry
--- attack
module
public import Init
#eval (IO.Process.exit 0 : IO Unit)
public theorem t : False := by decide
--- twin
module
public import Init
#eval (pure () : IO Unit)
public theorem t : True := trivial
