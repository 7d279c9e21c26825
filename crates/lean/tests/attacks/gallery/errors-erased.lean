/-
tries: the theorem has an error, which puts `sorry` in its place; the command around it erases the log
source: own; facts 2.7 #16
alone: accepted, axioms sorryAx
stopped by: sorry
twin: stated
-/
--- asked
theorem t : (1 : Nat) = 2 := sorry
--- attack
module
public import Init
public meta import Lean
open Lean Elab Command
local syntax (name := quiet) "quietly " command : command
@[command_elab quiet] meta def elabQuiet : CommandElab := fun stx => do
  elabCommand stx[1]
  modify fun s => { s with messages := {} }
quietly public theorem t : (1 : Nat) = 2 := by decide
--- twin
module
public import Init
public meta import Lean
open Lean Elab Command
local syntax (name := quiet) "quietly " command : command
@[command_elab quiet] meta def elabQuiet : CommandElab := fun stx => do
  elabCommand stx[1]
  modify fun s => { s with messages := {} }
quietly public theorem s : (1 : Nat) + 1 = 2 := by decide
public theorem t : (1 : Nat) = 2 := sorry
