/-
tries: the submission writes the answer and the object that the host waits for
source: facts 2.7 #9
alone: rejected
stopped by: lean
-/
--- asked
theorem t : True := sorry
--- attack
module
public import Init
#eval IO.FS.writeFile "/host/answer" "end 1 1 1\n111"
#eval IO.FS.writeFile "/host/object" "12345"
public theorem t : False := by decide
--- twin
module
public import Init
#eval IO.println "end 1 1 1"
public theorem t : True := trivial
