/-
tries: starts processes, one of which would stay when Lean is gone
source: facts 2.7 #9; comparator issue 77 (a detached descendant)
alone: accepted
stopped by: sandbox
-/
--- attack
module
public import Init
def attempt (what : String) (act : IO Unit) : IO Unit := do
  try
    act
    IO.println ("REACHED: " ++ what)
  catch _ => IO.println ("not reached: " ++ what)
#eval attempt "a process" (do let _ ← IO.Process.spawn { cmd := "/bin/sh", args := #["-c", "id"] }; return)
#eval attempt "a daemon" (do let _ ← IO.Process.spawn { cmd := "/bin/sleep", args := #["1000"], setsid := true }; return)
#eval attempt "the network" (do let _ ← IO.Process.run { cmd := "curl", args := #["http://169.254.169.254/"] }; return)
public theorem t : True := trivial
--- twin
module
public import Init
#eval (do let _ ← IO.monoMsNow : IO Unit)
public theorem t : True := trivial
