/-
tries: reads the machine's files and writes others, while it is elaborated
source: facts 2.7 #9, #10
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
def write (path : String) : IO Unit := do
  let h ← IO.FS.Handle.mk path .write
  h.putStr "evil"
  h.flush
#eval attempt "users" (do let _ ← IO.FS.readFile "/etc/passwd"; return)
#eval attempt "processes" (do let _ ← IO.FS.readFile "/proc/self/environ"; return)
#eval attempt "up and out" (do let _ ← IO.FS.readFile "/work/../../../../etc/hostname"; return)
#eval attempt "home" (do let _ ← System.FilePath.readDir "/root"; return)
#eval attempt "secret" (do let _ ← IO.FS.readFile "/var/run/secrets/kubernetes.io/serviceaccount/token"; return)
#eval attempt "the toolchain" (write "/library/Init.olean")
#eval attempt "the machine" (write "/etc/cron.d/evil")
public theorem t : True := trivial
--- twin
module
public import Init
#eval (do let h ← IO.FS.Handle.mk "/work/notes" .write; h.putStr "mine" : IO Unit)
public theorem t : True := trivial
