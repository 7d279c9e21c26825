/-
tries: code in `initialize` of a module below, to run when the module is imported
source: facts 2.7 #10
alone: accepted
stopped by: sandbox
-/
--- attack N.Below
module
public import Init
public section
initialize (throw (IO.userError "REACHED: an import") : IO Unit)
theorem below : 1 = 1 := rfl
end
--- attack
module
public import N.Below
#eval IO.println "not reached: the program of the module below, which would have thrown"
public theorem t : (1 : Nat) = 1 := below
--- twin N.Below
module
public import Init
public section
initialize (pure () : IO Unit)
theorem below : 1 = 1 := rfl
end
--- twin
module
public import N.Below
public theorem t : (1 : Nat) = 1 := below
