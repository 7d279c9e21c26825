/-
The trusted Lean code of an image. It imports `Init`, warms up, registers an action with the host and returns, so that no
frame is left on any stack; every copy of the saved state runs that action once.

A request is a line with a command, lines with options, a line `---`, and the source:

    check                       elaborate the source
      module Numbers.Parity       in a module of this name
      olean PATH                  write the compiled module there
      facts                       describe the new declarations, and hand them over as objects, together with those of
      library Numbers.Gcd         … the imported modules that are named so
      describe Numbers.Tree.rec   among them this one, although Lean made it
      goals 12 4                  report the goals at line 12, column 4
    import                      import the modules of the `use` lines and register an action that has them
      use Numbers.Parity
    begin                       elaborate the source, the beginning of a module, and register an action whose checks of sources
                                that begin with it go on behind it
      module Numbers.Parity       in a module of this name
    accept                      hand the declarations that the host gives to Lean's kernel, on top of what it has accepted before, and
                                hand over the constants that come about; nothing is elaborated
    keep                        the same, and register an action that has them
    base                        hand over the data of all imported modules
    index                       list the imported declarations and their types

The answer is a sequence of frames: a line `TAG LENGTH LENGTH …`, then fields of so many bytes.

The compiled library that comes with the embedded Lean lacks what the compiler would need to inline (`Unknown constant
…_redArg`), so this code keeps to plain recursion of its own.
-/
import Lean
open Lean Elab

namespace Atlas

/-! ### Frames -/

def lengths : List String → String → String
  | [], acc => acc.push '\n'
  | f :: rest, acc => lengths rest ((acc ++ " ") ++ toString f.utf8ByteSize)

def bodies : List String → String → String
  | [], acc => acc
  | f :: rest, acc => bodies rest (acc ++ f)

/-- Appends a frame. -/
def frame (out tag : String) (fields : List String) : String :=
  bodies fields (lengths fields (out ++ tag))

def flag (b : Bool) : String := if b then "1" else "0"

/-! ### Requests -/

structure Request where
  command : String := ""
  module : Name := `Main
  olean : Option String := none
  facts : Bool := false
  goals : Option Position := none
  uses : List Name := []
  library : List Name := []
  asked : List Name := []
  source : String := ""

def option (r : Request) (line : String) : Request :=
  match line.splitOn " " with
  | ["olean", path] => { r with olean := some path }
  | ["library", n] => { r with library := n.toName :: r.library }
  | ["facts"] => { r with facts := true }
  | ["module", n] => { r with module := n.toName }
  | ["describe", n] => { r with asked := n.toName :: r.asked }
  | ["use", n] => { r with uses := n.toName :: r.uses }
  | ["goals", l, c] => { r with goals := some ⟨l.toNat!, c.toNat!⟩ }
  | _ => r

def options (r : Request) : List String → Request
  | [] => r
  | l :: rest => options (option r l) rest

def joined : List String → String → String
  | [], acc => acc
  | p :: rest, acc => joined rest (acc ++ "\n---\n" ++ p)

def Request.parse (text : String) : Request :=
  match text.splitOn "\n---\n" with
  | head :: first :: rest =>
    match head.splitOn "\n" with
    | c :: os => { options { command := c } os with source := joined rest first }
    | [] => {}
  | [head] =>
    match head.splitOn "\n" with
    | c :: os => options { command := c } os
    | [] => {}
  | [] => {}

/-! ### Declarations of an environment -/

mutual
partial def nodes (n : PersistentHashMap.Node Name ConstantInfo) (acc : List ConstantInfo) : List ConstantInfo :=
  match n with
  | .entries es => entries es 0 acc
  | .collision _ vs _ => collisions vs 0 acc
partial def entries (es : Array (PersistentHashMap.Entry Name ConstantInfo (PersistentHashMap.Node Name ConstantInfo)))
    (i : Nat) (acc : List ConstantInfo) : List ConstantInfo :=
  if h : i < es.size then
    match es[i] with
    | .entry _ v => entries es (i + 1) (v :: acc)
    | .ref n => entries es (i + 1) (nodes n acc)
    | .null => entries es (i + 1) acc
  else acc
partial def collisions (vs : Array ConstantInfo) (i : Nat) (acc : List ConstantInfo) : List ConstantInfo :=
  if h : i < vs.size then collisions vs (i + 1) (vs[i] :: acc) else acc
end

/-- Declarations added since the imports. -/
def newConstants (env : Environment) : List ConstantInfo := nodes env.constants.map₂.root []

/-- The data of the imported modules that are named. -/
partial def libraryData (env : Environment) (library : List Name) (i : Nat) (acc : Array ModuleData) : Array ModuleData :=
  if h : i < env.header.moduleData.size then
    if h2 : i < env.header.modules.size then
      if library.contains env.header.modules[i].module then
        libraryData env library (i + 1) (acc.push env.header.moduleData[i])
      else libraryData env library (i + 1) acc
    else acc
  else acc

/-- A declaration that the source added. -/
def find (base env : Environment) (n : Name) : Option ConstantInfo :=
  if base.contains n then none else env.find? n

/-- The unsafe twin of a definition by recursion, made for the compiler. (Of a `partial` one the twin stands beside an
opaque constant: that is no definition.) -/
def isCompanion (base env : Environment) (n : Name) : Bool :=
  match n with
  | .str p "_unsafe_rec" => match find base env p with
    | some (.defnInfo v) => v.safety == .safe
    | _ => false
  | _ => false

/-- The declarations that count: twins for the compiler left out. -/
partial def counted (base env : Environment) (cs : List ConstantInfo) (acc : Array ConstantInfo) : Array ConstantInfo :=
  match cs with
  | [] => acc
  | c :: rest => counted base env rest (if isCompanion base env c.name then acc else acc.push c)

/-! ### Lean's kernel alone -/

/-- What a declaration declares, constructors and recursors left out. -/
def declared : Declaration → List Name
  | .axiomDecl v => [v.name]
  | .defnDecl v => [v.name]
  | .thmDecl v => [v.name]
  | .opaqueDecl v => [v.name]
  | .quotDecl => []
  | .mutualDefnDecl _ => []
  | .inductDecl _ _ types _ => namesOf types
where
  namesOf : List InductiveType → List Name
    | [] => []
    | t :: rest => t.name :: namesOf rest

def theName : List Name → Name
  | [] => .anonymous
  | n :: _ => n

def sameNames : List Name → List Name → Bool
  | [], [] => true
  | a :: as, b :: bs => a == b && sameNames as bs
  | _, _ => false

/-- Whether the environment has this very declaration: what Lean derives where it is needed, two modules may both have. -/
def isKnown (env : Kernel.Environment) (d : Declaration) : Bool :=
  match d with
  | .thmDecl v => match env.find? v.name with
    | some (.thmInfo w) => sameNames v.levelParams w.levelParams && v.type == w.type && v.value == w.value
    | _ => false
  | .defnDecl v => match env.find? v.name with
    | some (.defnInfo w) =>
      w.safety == .safe && sameNames v.levelParams w.levelParams && v.type == w.type && v.value == w.value
    | _ => false
  | _ => false

def push (env : Kernel.Environment) (n : Name) (acc : Array ConstantInfo) : Array ConstantInfo :=
  match env.find? n with
  | some c => acc.push c
  | none => acc

def pushAll (env : Kernel.Environment) : List Name → Array ConstantInfo → Array ConstantInfo
  | [], acc => acc
  | n :: rest, acc => pushAll env rest (push env n acc)

/-- The recursors of the nested occurrences in a block whose first type is `n`, the `i`th and on. -/
partial def pushNested (env : Kernel.Environment) (n : Name) (i : Nat) (acc : Array ConstantInfo) : Array ConstantInfo :=
  match env.find? (.str n ("rec_" ++ toString i)) with
  | some c => pushNested env n (i + 1) (acc.push c)
  | none => acc

def pushBlock (env : Kernel.Environment) : List Name → Array ConstantInfo → Array ConstantInfo
  | [], acc => acc
  | n :: rest, acc =>
    let acc := match env.find? n with
      | some (.inductInfo v) => pushAll env v.ctors (acc.push (.inductInfo v))
      | _ => acc
    pushBlock env rest (push env (.str n "rec") acc)

/-- The constants that have come about with a declaration. -/
def brought (env : Kernel.Environment) (d : Declaration) (acc : Array ConstantInfo) : Array ConstantInfo :=
  match d with
  | .inductDecl .. => pushNested env (theName (declared d)) 1 (pushBlock env (declared d) acc)
  | _ => pushAll env (declared d) acc

/-- Whether the kernel gave up instead of refusing. -/
def isLimit : Kernel.Exception → Bool
  | .deterministicTimeout => true
  | .excessiveMemory => true
  | .deepRecursion => true
  | .interrupted => true
  | _ => false

/-- A theorem that stands already, with the same statement and another proof: Lean derives equations in each module that needs them. -/
def isRestated (env : Kernel.Environment) (v : TheoremVal) : Bool :=
  match env.find? v.name with
  | some (.thmInfo w) => sameNames v.levelParams w.levelParams && v.type == w.type
  | _ => false

/-- The name under which the other proof of a theorem that stands already is judged. -/
def again (v : TheoremVal) : Name := .str v.name "_again"

/-- Hands declarations to Lean's kernel one after the other: the environment with them and what has come about, or a frame that says which
is not accepted. -/
partial def accept (env : Kernel.Environment) (ds : Array Declaration) (i : Nat) (acc : Array ConstantInfo) :
    IO (Except String (Kernel.Environment × Array ConstantInfo)) := do
  if h : i < ds.size then
    let d := ds[i]
    let refuse (e : Kernel.Exception) : IO (Except String (Kernel.Environment × Array ConstantInfo)) := do
      let tag := if isLimit e then "undecided" else "rejected"
      return .error (frame "" tag [(theName (declared d)).toString, ← (e.toMessageData {}).toString])
    if isKnown env d then accept env ds (i + 1) (brought env d acc)
    else match d with
      | .thmDecl v =>
        if isRestated env v then
          -- The first proof stays; this one has to hold too.
          match env.addDeclCore 0 (.thmDecl { name := again v, levelParams := v.levelParams, type := v.type, value := v.value, all := [again v] }) none with
          | .ok _ => accept env ds (i + 1) (acc.push (.thmInfo v))
          | .error e => refuse e
        else match env.addDeclCore 0 d none with
          | .ok next => accept next ds (i + 1) (brought next d acc)
          | .error e => refuse e
      | _ => match env.addDeclCore 0 d none with
        | .ok next => accept next ds (i + 1) (brought next d acc)
        | .error e => refuse e
  else return .ok (env, acc)

/-! ### Reports -/

/-- A frame for each new declaration whose compiled code is not its own: harmless for proofs, but nothing that a library
of mathematics needs. -/
partial def marks (env : Environment) (cs : Array ConstantInfo) (i : Nat) (out : String) : String :=
  if h : i < cs.size then
    let n := cs[i].name
    let out := match Compiler.getImplementedBy? env n with
      | some _ => frame out "mark" [n.toString, "implemented_by"]
      | none => out
    marks env cs (i + 1) (if isExtern env n then frame out "mark" [n.toString, "extern"] else out)
  else out

def severity : MessageSeverity → String
  | .error => "error"
  | .warning => "warning"
  | .information => "information"

partial def messages (ms : List Message) (out : String) : IO String := do
  match ms with
  | [] => return out
  | m :: rest =>
    let e := m.endPos.getD m.pos
    let text ← m.data.toString
    let text := if m.caption == "" then text else m.caption ++ ":\n" ++ text
    messages rest (if m.isSilent then out else frame out "message"
      [severity m.severity, toString m.pos.line, toString m.pos.column, toString e.line, toString e.column, text])

def showExpr (env : Environment) (e : Expr) : IO String :=
  (MessageData.withContext { env := env, mctx := {}, lctx := {}, opts := {} } (MessageData.ofExpr e)).toString

/-- Names that Lean makes up for its own use. -/
def isNumbered (s before : String) : Bool :=
  match s.splitOn before with
  | ["", rest] => rest.isNat
  | _ => false

def derivedParts : List String :=
  ["rec", "recOn", "casesOn", "below", "brecOn", "ibelow", "binductionOn", "noConfusion", "noConfusionType", "injEq", "inj",
   "sizeOf_spec", "ctorIdx", "toCtorIdx", "ctorElim", "ctorElimType", "elim", "induct", "induct_unfolding", "fun_cases",
   "fun_cases_unfolding", "ndrec", "ndrecOn", "congr_simp", "hinj", "eq_def", "eq_unfold"]

def isAuxiliaryPart (s : String) : Bool :=
  s.startsWith "_" || isNumbered s "match_" || isNumbered s "eq_" || isNumbered s "proof_" || isNumbered s "below_"
  || isNumbered s "rec_" || isNumbered s "brecOn_" || derivedParts.contains s

def isAuxiliary : Name → Bool
  | .anonymous => false
  | .num _ _ => true
  | .str .anonymous s => isAuxiliaryPart s
  | .str p s => isAuxiliaryPart s || p == `_private || isInner p
where
  isInner : Name → Bool
    | .anonymous => false
    | .num _ _ => true
    | .str p s => s.startsWith "_" || isInner p

/-- One frame for each new declaration that a person would name or that was asked for: its place among the objects handed over, what else it
is, its type as text. -/
partial def declarations (env : Environment) (asked : List Name) (cs : Array ConstantInfo) (i : Nat) (out : String) : IO String := do
  if h : i < cs.size then
    let c := cs[i]
    if isAuxiliary c.name && !asked.contains c.name then declarations env asked cs (i + 1) out
    else
      let kind :=
        if isClass env c.name then "class" else if isStructure env c.name then "structure"
        else if Meta.isInstanceCore env c.name then "instance" else ""
      let text ← showExpr env c.type
      declarations env asked cs (i + 1) (frame out "declaration" [toString i, kind, text])
  else return out

mutual
partial def treesOf (n : PersistentArrayNode InfoTree) (acc : List InfoTree) : List InfoTree :=
  match n with
  | .node cs => treesOfNodes cs 0 acc
  | .leaf ts => treesOfLeaf ts 0 acc
partial def treesOfNodes (cs : Array (PersistentArrayNode InfoTree)) (i : Nat) (acc : List InfoTree) : List InfoTree :=
  if h : i < cs.size then treesOfNodes cs (i + 1) (treesOf cs[i] acc) else acc
partial def treesOfLeaf (ts : Array InfoTree) (i : Nat) (acc : List InfoTree) : List InfoTree :=
  if h : i < ts.size then treesOfLeaf ts (i + 1) (ts[i] :: acc) else acc
end

partial def goalsIn (map : FileMap) (p : String.Pos.Raw) (trees : List InfoTree) : IO (Option String) := do
  match trees with
  | [] => return none
  | t :: rest =>
    match t.goalsAt? map p with
    | [] => goalsIn map p rest
    | r :: _ =>
      let info := { r.ctxInfo with mctx := if r.useAfter then r.tacticInfo.mctxAfter else r.tacticInfo.mctxBefore }
      let gs := if r.useAfter then r.tacticInfo.goalsAfter else r.tacticInfo.goalsBefore
      match gs with
      | [] => return some "no goals"
      | gs => return some (toString (← info.ppGoals gs))

/-! ### Commands -/

/-- What is handed over: the new declarations, and the data of the library's imported modules. -/
abbrev Handed := Array ConstantInfo × Array ModuleData

/-- What a check goes on from. -/
structure Origin where
  /-- `Init` as it was read from the disk, for further imports on top of it. -/
  read : ImportState := default
  /-- The environment as imported. -/
  base : Environment
  /-- What Lean's kernel has accepted on top of it, of declarations that the host gave. -/
  sound : Option Kernel.Environment := none
  /-- Of a module whose beginning has been elaborated: the state behind it, with the messages so far, and where that is. -/
  begun : Option (Command.State × Parser.ModuleParserState) := none

def inputContext (source : String) : Parser.InputContext :=
  -- Built by hand: the compiled helper `Parser.mkInputContext` is not visible at this olean level.
  { inputString := source, fileName := "<input>", fileMap := FileMap.ofString source, endPos := source.rawEndPos, endPos_valid := by simp }

/-- The state in which the first command that is not elaborated yet is met. -/
def Origin.state (origin : Origin) (module : Name) (ctx : Parser.InputContext) : IO (Command.State × Parser.ModuleParserState) := do
  if let some begun := origin.begun then return begun
  let (_, parser, log) ← Parser.parseHeader ctx
  let state := Command.mkState (origin.base.setMainModule module) log {}
  return ({ state with infoState := { state.infoState with enabled := true } }, parser)

/-- Elaborates the request's source, or what of it comes behind the origin's beginning. The state carries all messages. -/
def elaborate (origin : Origin) (r : Request) : IO (FileMap × Command.State) := do
  let ctx := inputContext r.source
  let (before, parser) ← origin.state r.module ctx
  let state := (← IO.processCommands ctx parser before).commandState
  -- `processCommands` drops the messages of the state that it is given.
  return (ctx.fileMap, { state with messages := before.messages ++ state.messages })

/-- Elaborates the commands of a beginning but the last: how far that one reaches, only what comes behind it can tell. -/
partial def elaborateBeginning (ctx : Frontend.Context) (state : Frontend.State) : IO Frontend.State := do
  let (_, next) ← (Frontend.processCommand ctx).run state
  if next.parserState.pos.byteIdx < ctx.inputCtx.inputString.utf8ByteSize then elaborateBeginning ctx next else return state

/-- Compiled code is found by the module of its name, and this build's `finalizeImport` knows the modules of constants only: what has code and is no
constant (`_closed_0`, `_lam_0` of a notation, say) must look like one, or the modules above could not parse. As an unsafe axiom of type
`Prop`, no declaration can use it. The judge, who reads no compiled module, never hears of it. -/
partial def withCodeNames (data : ModuleData) (i : Nat) : ModuleData :=
  if h : i < data.extraConstNames.size then
    let name := data.extraConstNames[i]
    let stand := .axiomInfo { name := name, levelParams := [], type := .sort .zero, isUnsafe := true }
    withCodeNames { data with constNames := data.constNames.push name, constants := data.constants.push stand } (i + 1)
  else data

def check (origin : Origin) (r : Request) (handOver : Handed → IO Unit) : IO String := do
  let base := origin.base.setMainModule r.module
  let started ← IO.monoMsNow
  let (map, state) ← elaborate origin r
  let env := state.env
  let mut out ← messages state.messages.toList ""
  if let some p := r.goals then
    let trees := state.infoState.trees
    match ← goalsIn map (map.ofPosition p) (treesOfLeaf trees.tail 0 (treesOf trees.root [])) with
    | some text => out := frame out "goals" [text]
    | none => out := frame out "goals" [""]
  let elaborated ← IO.monoMsNow
  if r.facts then
    let cs := counted base env (newConstants env) #[]
    handOver (cs, libraryData base r.library 0 #[])
    out ← declarations env r.asked cs 0 (marks env cs 0 out)
  if let some path := r.olean then
    let data ← mkModuleData env
    saveModuleData path env.mainModule (withCodeNames data 0)
  let finished ← IO.monoMsNow
  return frame out "end" [toString (elaborated - started), toString (finished - elaborated)]

partial def indexConstants (env : Environment) (cs : Array ConstantInfo) (i : Nat) (out : String) : IO String := do
  if h : i < cs.size then
    let c := cs[i]
    if isAuxiliary c.name then indexConstants env cs (i + 1) out
    else
      let kind := match getOriginalConstKind? env c.name with
        | some .defn => "def" | some .thm => "theorem" | some .axiom => "axiom" | some .opaque => "opaque"
        | some .quot => "quot" | some .induct => "inductive" | some .ctor => "ctor" | _ => "rec"
      let text ← showExpr env c.type
      indexConstants env cs (i + 1) (frame out "d" [c.name.toString, kind, text])
  else return out

partial def index (env : Environment) (i : Nat) (out : String) : IO String := do
  if h : i < env.header.moduleData.size then
    if h2 : i < env.header.modules.size then
      let out := frame out "m" [env.header.modules[i].module.toString]
      index env (i + 1) (← indexConstants env env.header.moduleData[i].constants 0 out)
    else return out
  else return out

def warmups : List String := [
  "theorem t (a b : Nat) : a + b = b + a := by omega",
  "theorem t (xs ys : List Nat) : (xs ++ ys ++ []).length = ys.length + xs.length := by simp [Nat.add_comm]",
  "theorem t (a b c : Nat) (f : Nat → Nat) (h : a = b) (h2 : b = c) : f a = f c := by grind",
  "noncomputable section\ndef f (n : Nat) : Nat := match n with | 0 => 0 | n + 1 => f n + 1\ntheorem t (n : Nat) : f n = n := by induction n with | zero => rfl | succ n h => simp [f, h]",
  "theorem t (p q : Prop) (hp : p) (hq : q) : p ∧ q := by constructor <;> assumption\nexample : 10 < 20 := by decide",
  "noncomputable section\ninductive T where | a | b (t : T)\ndef T.s : T → Nat | .a => 0 | .b t => t.s + 1\nstructure S where\n  x : Nat\n  h : x = x",
  "theorem t (a b : Nat) : a + b = b + a + 1 := by omega"]

/-- What a new environment computes lazily that copies of it should not each compute again. -/
def quickWarmups : List String := [
  "theorem t (a b : Nat) : a + b = b + a := by omega\ntheorem s (a b : Nat) : a + b + 0 = b + a := by simp [Nat.add_comm]\ntheorem g (a b : Nat) (f : Nat → Nat) (h : a = b) : f a = f b := by grind"]

/-- Checks each source as a module that is to be certified: what a compiled module takes (how often each symbol occurs in the library) is
computed lazily too. -/
partial def warmUp (read : ImportState) (env : Environment) (sources : List String) : IO Unit := do
  match sources with
  | [] => return
  | s :: rest =>
    discard <| check { read := read, base := env } { module := `Warm, source := s, facts := true, olean := some "/work/warm.olean" } fun _ => return
    warmUp read env rest

/-- `importModules`, but what has been read is not read again. It says to nobody that it is importing, as `withImporting` would: that
matters to modules that register extensions when they are imported, and a library has none. -/
def importOn (read : ImportState) (imports : Array Import) : IO Environment := do
  let (_, read) ← (importModulesCore imports).run read
  finalizeImport read imports {} 0 false true

def importsOf : List Name → Array Import → Array Import
  | [], acc => acc
  | n :: rest, acc => importsOf rest (acc.push { module := n })

/-- Hands an object to the host by its address; it is never freed. -/
def handToHost (nonce : String) (handed : Handed) : IO Unit := do
  let handed ← unsafe Runtime.markPersistent handed
  IO.FS.writeFile "/host/object" (nonce ++ toString (unsafe ptrAddrUnsafe handed))

mutual
/-- The action of a copy: reads one request and answers it. `given` is what the host has built. -/
partial def serve (origin : Origin) (given : Array Declaration) : IO Unit := do
  let nonce ← IO.FS.readFile "/host/nonce"
  let r := Request.parse (← IO.FS.readFile "/host/request")
  let answer ←
    if r.command == "check" then check origin r (handToHost nonce)
    else if r.command == "accept" || r.command == "keep" then do
      match ← accept (origin.sound.getD origin.base.toKernelEnv) given 0 #[] with
      | .error refusal => pure refusal
      | .ok (sound, made) =>
        handToHost nonce (made, #[])
        if r.command == "keep" then register { origin with sound := some sound } nonce
        pure (frame "" "end" [])
    else if r.command == "index" then index origin.base 0 ""
    else if r.command == "base" then do
      handToHost nonce (#[], origin.base.header.moduleData)
      pure (frame "" "end" [])
    else if r.command == "import" then do
      let env ← importOn origin.read (importsOf r.uses #[{ module := `Init }])
      warmUp origin.read env quickWarmups
      register { read := origin.read, base := env } nonce
      pure (frame "" "end" [])
    else if r.command == "begin" then do
      let ctx := inputContext r.source
      let (state, parser) ← origin.state r.module ctx
      let state := { commandState := { state with infoState := {} }, parserState := parser, cmdPos := parser.pos }
      let state ← elaborateBeginning { inputCtx := ctx } state
      let behind := { state.commandState with infoState := { enabled := true } }
      register { origin with begun := some (behind, state.parserState) } nonce
      pure (frame "" "end" [])
    else throw (IO.userError "unknown command")
  IO.FS.writeFile "/host/answer" (nonce ++ answer)
partial def register (origin : Origin) (nonce : String) : IO Unit := do
  -- In a thread of its own: the main thread's stack has 64 KB and no guard, a Lean thread's 8 MB and a check.
  let act (given : Array Declaration) : IO Unit := do
    match ← IO.wait (← IO.asTask (serve origin given) Task.Priority.dedicated) with
    | .ok _ => return
    | .error e =>
      -- Whoever resumed the copy hears of a status only.
      IO.eprintln (toString e)
      throw e
  -- The action outlives this run: the host calls it by address, once per copy.
  let act ← unsafe Runtime.markPersistent act
  IO.FS.writeFile "/host/register" (nonce ++ toString (unsafe ptrAddrUnsafe act))
end

def start : IO Unit := do
  let (_, read) ← (importModulesCore #[{ module := `Init }]).run
  let env ← importOn read #[{ module := `Init }]
  warmUp read env warmups
  discard <| accept env.toKernelEnv #[.thmDecl { name := `warm, levelParams := [], type := mkConst `True, value := mkConst `True.intro }] 0 #[]
  register { read := read, base := env } ""

end Atlas

run_cmd Atlas.start
