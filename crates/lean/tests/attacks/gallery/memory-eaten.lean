/-
tries: an array that grows until the machine has no memory left
source: facts 2.7 #14: 66 GB and 170 GB seen in the wild
alone: out of memory
stopped by: limits
memory mb: 150
-/
--- asked
theorem t : True := sorry
--- attack
module
public import Init
partial def grow (a : Array Nat) : IO Nat := do
  if a.size > 400000000 then return a.size
  grow (a.push a.size)
#eval grow #[]
public theorem t : True := trivial
--- twin
def many : List Nat := List.replicate 100000 0
theorem t : True := trivial
