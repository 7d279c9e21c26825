/-
What follows the session's code and `given.lean` when a native Lean runs it: one request from a file, the answer to a file, and the
objects that the session hands over as text, a line an object, in the shape that they have in memory:

    c TAG SCALARS FIELD…    a constructor; SCALARS: hex bytes or `-`
    a FIELD…                an array or a list
    s LENGTH                a string; so many bytes follow, and a line end
    n DIGITS                a natural number

A field is the number of an earlier line, or `#K`: the constructor K without fields. The last line is the root.
-/
namespace Atlas.Native

/-- Objects written so far by address. They are held by the environment, so that no address comes twice. -/
structure Dump where
  out : String
  count : Nat
  known : Array (List (USize × String))

/-- Nothing yet, with room for some `size` objects. -/
def Dump.empty (size : Nat) : Dump := ⟨"", 0, Array.replicate size []⟩

def address {α : Type} (a : α) : USize := unsafe ptrAddrUnsafe a

def lookIn (a : USize) : List (USize × String) → Option String
  | [] => none
  | (b, r) :: rest => if a == b then some r else lookIn a rest

def Dump.find (d : Dump) (a : USize) : Option String :=
  let i := (a.toNat / 8) % d.known.size
  if h : i < d.known.size then lookIn a d.known[i] else none

def Dump.know (d : Dump) (a : USize) (r : String) : Dump :=
  let ⟨out, count, known⟩ := d
  let i := (a.toNat / 8) % known.size
  if h : i < known.size then
    let bucket := known[i]
    ⟨out, count, known.set i ((a, r) :: bucket) h⟩
  else ⟨out, count, known⟩

def Dump.line (d : Dump) (text : String) : Dump × String :=
  let ⟨out, count, known⟩ := d
  (⟨(out ++ text).push '\n', count + 1, known⟩, toString count)

def turned : List String → List String → List String
  | [], acc => acc
  | f :: rest, acc => turned rest (f :: acc)

def joined : List String → String → String
  | [], acc => acc
  | f :: rest, acc => joined rest ((acc ++ " ") ++ f)

def Dump.node (d : Dump) (tag : Nat) (scalars : String) (fields : List String) : Dump × String :=
  d.line (joined fields ("c " ++ toString tag ++ " " ++ scalars))

def Dump.array (d : Dump) (fields : List String) : Dump × String := d.line (joined fields "a")
def Dump.string (d : Dump) (s : String) : Dump × String := d.line ("s " ++ toString s.utf8ByteSize ++ "\n" ++ s)
def Dump.number (d : Dump) (n : Nat) : Dump × String := d.line ("n " ++ toString n)

/-- A number that fits into a boxed scalar. -/
def count (n : Nat) : String := "#" ++ toString n

partial def dumpName (d : Dump) (n : Name) : Dump × String :=
  match n with
  | .anonymous => (d, "#0")
  | .str p s =>
    match d.find (address n) with
    | some r => (d, r)
    | none =>
      let (d, p) := dumpName d p
      let (d, s) := d.string s
      let (d, r) := d.node 1 "-" [p, s]
      (d.know (address n) r, r)
  | .num p i =>
    let (d, p) := dumpName d p
    let (d, i) := d.number i
    d.node 2 "-" [p, i]

partial def dumpNames (d : Dump) (acc : List String) : List Name → Dump × String
  | [] => d.array (turned acc [])
  | n :: rest =>
    let (d, r) := dumpName d n
    dumpNames d (r :: acc) rest

partial def dumpLevel (d : Dump) (l : Level) : Dump × String :=
  match l with
  | .zero => (d, "#0")
  | .succ a => let (d, a) := dumpLevel d a; d.node 1 "-" [a]
  | .max a b => let (d, a) := dumpLevel d a; let (d, b) := dumpLevel d b; d.node 2 "-" [a, b]
  | .imax a b => let (d, a) := dumpLevel d a; let (d, b) := dumpLevel d b; d.node 3 "-" [a, b]
  | .param n => let (d, n) := dumpName d n; d.node 4 "-" [n]
  | .mvar _ => d.node 5 "-" []

partial def dumpLevels (d : Dump) (acc : List String) : List Level → Dump × String
  | [] => d.array (turned acc [])
  | l :: rest =>
    let (d, r) := dumpLevel d l
    dumpLevels d (r :: acc) rest

partial def dumpExpr (d : Dump) (e : Expr) : Dump × String :=
  match e with
  | .mdata _ b => dumpExpr d b
  | _ =>
  match d.find (address e) with
  | some r => (d, r)
  | none =>
    let (d, r) : Dump × String :=
      match e with
      | .bvar i => d.node 0 "-" [count i]
      | .sort l => let (d, l) := dumpLevel d l; d.node 3 "-" [l]
      | .const n us => let (d, n) := dumpName d n; let (d, us) := dumpLevels d [] us; d.node 4 "-" [n, us]
      | .app f a => let (d, f) := dumpExpr d f; let (d, a) := dumpExpr d a; d.node 5 "-" [f, a]
      | .lam _ t b _ => let (d, t) := dumpExpr d t; let (d, b) := dumpExpr d b; d.node 6 "-" ["#0", t, b]
      | .forallE _ t b _ => let (d, t) := dumpExpr d t; let (d, b) := dumpExpr d b; d.node 7 "-" ["#0", t, b]
      | .letE _ t v b _ =>
        let (d, t) := dumpExpr d t
        let (d, v) := dumpExpr d v
        let (d, b) := dumpExpr d b
        d.node 8 "-" ["#0", t, v, b]
      | .lit (.natVal n) => let (d, n) := d.number n; let (d, l) := d.node 0 "-" [n]; d.node 9 "-" [l]
      | .lit (.strVal s) => let (d, s) := d.string s; let (d, l) := d.node 1 "-" [s]; d.node 9 "-" [l]
      | .proj n i b =>
        let (d, n) := dumpName d n
        let (d, b) := dumpExpr d b
        d.node 11 "-" [n, count i, b]
      | .mdata _ b => dumpExpr d b
      | .fvar _ => d.node 1 "-" []
      | .mvar _ => d.node 2 "-" []
    (d.know (address e) r, r)

def dumpHead (d : Dump) (v : ConstantVal) : Dump × String :=
  let (d, n) := dumpName d v.name
  let (d, us) := dumpNames d [] v.levelParams
  let (d, t) := dumpExpr d v.type
  d.node 0 "-" [n, us, t]

def flagByte (b : Bool) : String := if b then "01" else "00"

def hexDigit (n : Nat) : String :=
  if n < 10 then toString n
  else if n == 10 then "a" else if n == 11 then "b" else if n == 12 then "c"
  else if n == 13 then "d" else if n == 14 then "e" else "f"

def hexByte (n : Nat) : String := hexDigit (n / 16 % 16) ++ hexDigit (n % 16)

def dumpHints (d : Dump) : ReducibilityHints → Dump × String
  | .opaque => (d, "#0")
  | .abbrev => (d, "#1")
  | .regular h =>
    let n := h.toNat
    d.node 2 (hexByte n ++ hexByte (n / 256) ++ hexByte (n / 65536) ++ hexByte (n / 16777216)) []

partial def dumpRules (d : Dump) (acc : List String) : List RecursorRule → Dump × String
  | [] => d.array (turned acc [])
  | r :: rest =>
    let (d, c) := dumpName d r.ctor
    let (d, e) := dumpExpr d r.rhs
    let (d, r) := d.node 0 "-" [c, count r.nfields, e]
    dumpRules d (r :: acc) rest

def dumpConstant (d : Dump) (c : ConstantInfo) : Dump × String :=
  let (d, head) := dumpHead d c.toConstantVal
  match c with
  | .axiomInfo v => let (d, i) := d.node 0 (flagByte v.isUnsafe) [head]; d.node 0 "-" [i]
  | .defnInfo v =>
    let (d, e) := dumpExpr d v.value
    let (d, h) := dumpHints d v.hints
    let safety := match v.safety with | .unsafe => "00" | .safe => "01" | .partial => "02"
    let (d, i) := d.node 0 safety [head, e, h]
    d.node 1 "-" [i]
  | .thmInfo v => let (d, e) := dumpExpr d v.value; let (d, i) := d.node 0 "-" [head, e]; d.node 2 "-" [i]
  | .opaqueInfo v => let (d, e) := dumpExpr d v.value; let (d, i) := d.node 0 (flagByte v.isUnsafe) [head, e]; d.node 3 "-" [i]
  | .quotInfo v =>
    let part := match v.kind with | .type => 0 | .ctor => 1 | .lift => 2 | .ind => 3
    let (d, i) := d.node 0 (hexByte part) [head]
    d.node 4 "-" [i]
  | .inductInfo v =>
    let (d, all) := dumpNames d [] v.all
    let (d, cs) := dumpNames d [] v.ctors
    let (d, i) := d.node 0 (flagByte v.isRec ++ flagByte v.isUnsafe ++ flagByte v.isReflexive)
      [head, count v.numParams, count v.numIndices, all, cs, count v.numNested]
    d.node 5 "-" [i]
  | .ctorInfo v =>
    let (d, t) := dumpName d v.induct
    let (d, i) := d.node 0 (flagByte v.isUnsafe) [head, t, count v.cidx, count v.numParams, count v.numFields]
    d.node 6 "-" [i]
  | .recInfo v =>
    let (d, all) := dumpNames d [] v.all
    let (d, rules) := dumpRules d [] v.rules
    let (d, i) := d.node 0 (flagByte v.k ++ flagByte v.isUnsafe)
      [head, all, count v.numParams, count v.numIndices, count v.numMotives, count v.numMinors, rules]
    d.node 7 "-" [i]

partial def dumpConstants (d : Dump) (cs : Array ConstantInfo) (i : Nat) (acc : List String) : Dump × String :=
  if h : i < cs.size then
    let (d, r) := dumpConstant d cs[i]
    dumpConstants d cs (i + 1) (r :: acc)
  else d.array (turned acc [])

partial def dumpModules (d : Dump) (ms : Array ModuleData) (i : Nat) (acc : List String) : Dump × String :=
  if h : i < ms.size then
    let (d, cs) := dumpConstants d ms[i].constants 0 []
    let (d, r) := d.node 0 "-" ["#0", "#0", cs]
    dumpModules d ms (i + 1) (r :: acc)
  else d.array (turned acc [])

def dump (handed : Handed) (size : Nat) : String :=
  let (d, new) := dumpConstants (Dump.empty size) handed.1 0 []
  let (d, old) := dumpModules d handed.2 0 []
  let (d, _) := d.node 0 "-" [new, old]
  d.out

/-- Hands one text of declarations after the other to Lean's kernel: a frame for each, and what has come about with it as objects. Ends
with the first that it does not accept. -/
partial def acceptAll (folder : String) (env : Kernel.Environment) (i : Nat) (out : String) : IO String := do
  let file := folder ++ "/given." ++ toString i
  if ← System.FilePath.pathExists file then
    let text ← IO.FS.readFile file
    match ← accept env (← given #[] (text.splitOn "\n")) 0 #[] with
    | .error refusal => return out ++ refusal
    | .ok (next, made) =>
      IO.FS.writeFile (folder ++ "/made." ++ toString i) (dump (made, #[]) 65536)
      acceptAll folder next (i + 1) (frame out "end" [])
  else return out

/-- Answers the request in `folder`. -/
def answer (folder : String) : IO Unit := do
  let r := Request.parse (← IO.FS.readFile (folder ++ "/request"))
  let env ← importModules (importsOf r.uses #[{ module := `Init }]) {} (loadExts := true)
  let handOver (size : Nat) (handed : Handed) : IO Unit := IO.FS.writeFile (folder ++ "/objects") (dump handed size)
  let out ←
    if r.command == "check" then check { base := env } r (handOver 65536)
    else if r.command == "accept" then acceptAll folder env.toKernelEnv 0 ""
    else if r.command == "base" then do
      handOver 1048576 (#[], env.header.moduleData)
      pure (frame "" "end" [])
    else throw (IO.userError "unknown command")
  IO.FS.writeFile (folder ++ "/answer") out

end Atlas.Native

run_cmd Atlas.Native.answer "exchange"
