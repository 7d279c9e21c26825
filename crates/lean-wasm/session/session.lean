/-
The trusted Lean code of an image. It imports `Init`, warms up, registers an action with the host and returns, so that no
frame is left on any stack; every copy of the saved state runs that action once.

A request is a line with a command, lines with options, a line `---`, and the source:

    check                       elaborate the source
      module Numbers.Parity       in a module of this name
      olean PATH                  write the compiled module there
      replay                      check every new declaration again in the kernel, in an environment that the
                                  source has not touched
      facts                       describe the new declarations, and hand them over as objects, together with those of
      library Numbers.Gcd         … the imported modules that are named so
      describe Numbers.Tree.rec   among them this one, although Lean made it
      goals 12 4                  report the goals at line 12, column 4
    import                      import the modules of the `use` lines and register an action that has them
      use Numbers.Parity
    begin                       elaborate the source, the beginning of a module, and register an action whose checks of sources
                                that begin with it go on behind it
      module Numbers.Parity       in a module of this name
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
  replay : Bool := false
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
  | ["replay"] => { r with replay := true }
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

partial def toArray (l : List ConstantInfo) (acc : Array ConstantInfo) : Array ConstantInfo :=
  match l with
  | [] => acc
  | c :: rest => toArray rest (acc.push c)

/-- The data of the imported modules that are named. -/
partial def libraryData (env : Environment) (library : List Name) (i : Nat) (acc : Array ModuleData) : Array ModuleData :=
  if h : i < env.header.moduleData.size then
    if h2 : i < env.header.modules.size then
      if library.contains env.header.modules[i].module then
        libraryData env library (i + 1) (acc.push env.header.moduleData[i])
      else libraryData env library (i + 1) acc
    else acc
  else acc

/-! ### Kernel replay -/

-- The library's loops over arrays need private helpers that this level does not show.
partial def pushAll (todo names : Array Name) (i : Nat) : Array Name :=
  if h : i < names.size then pushAll (todo.push names[i]) names (i + 1) else todo

/-- A declaration that the source added. -/
def find (base env : Environment) (n : Name) : Option ConstantInfo :=
  if base.contains n then none else env.find? n

def constructors (base env : Environment) : List Name → List Constructor
  | [] => []
  | c :: rest =>
    match find base env c with
    | some (.ctorInfo v) => { name := c, type := v.type } :: constructors base env rest
    | _ => constructors base env rest

def inductiveTypes (base env : Environment) : List Name → List InductiveType
  | [] => []
  | n :: rest =>
    match find base env n with
    | some (.inductInfo v) =>
      { name := n, type := v.type, ctors := constructors base env v.ctors } :: inductiveTypes base env rest
    | _ => inductiveTypes base env rest

def constructorUses : List Constructor → Array Name → Array Name
  | [], acc => acc
  | c :: rest, acc => constructorUses rest (pushAll acc c.type.getUsedConstants 0)

def typeUses : List InductiveType → Array Name → Array Name
  | [], acc => acc
  | t :: rest, acc => typeUses rest (constructorUses t.ctors (pushAll acc t.type.getUsedConstants 0))

def isConstructorOf (base env : Environment) (own : List Name) (m : Name) : Bool :=
  match find base env m with
  | some (.ctorInfo v) => own.contains v.induct
  | _ => false

mutual
/-- Adds `n` to `sound`, and first what it needs, through the kernel. Elaboration may have skipped the kernel
(`debug.skipKernelTC`) or edited its environment, so only what this accepts counts. -/
partial def replay (base env sound : Environment) (n : Name) : IO Environment := do
  if sound.contains n then return sound
  match find base env n with
  | none => return sound
  | some (.thmInfo v) => add base env sound (.thmDecl v) [] v.type v.value
  | some (.defnInfo v) =>
    if v.safety == .safe then add base env sound (.defnDecl v) [] v.type v.value else return sound
  | some (.opaqueInfo v) =>
    if v.isUnsafe then return sound else add base env sound (.opaqueDecl v) [] v.type v.value
  | some (.axiomInfo v) => add base env sound (.axiomDecl v) [] v.type v.type
  | some (.inductInfo v) =>
    if v.isUnsafe then return sound else
    let types := inductiveTypes base env v.all
    let sound ← needed base env sound v.all (typeUses types #[]) 0
    kernel sound (.inductDecl v.levelParams v.numParams types v.isUnsafe)
  | some (.ctorInfo v) => replay base env sound v.induct
  | some (.recInfo v) => replay base env sound (v.all.headD v.name)
  | some (.quotInfo _) => return sound
partial def add (base env sound : Environment) (d : Declaration) (own : List Name) (type value : Expr) : IO Environment := do
  let sound ← needed base env sound own type.getUsedConstants 0
  let sound ← needed base env sound own value.getUsedConstants 0
  kernel sound d
partial def needed (base env sound : Environment) (own : List Name) (names : Array Name) (i : Nat) : IO Environment := do
  if h : i < names.size then
    let m := names[i]
    if own.contains m || isConstructorOf base env own m then needed base env sound own names (i + 1)
    else needed base env (← replay base env sound m) own names (i + 1)
  else return sound
partial def kernel (sound : Environment) (d : Declaration) : IO Environment := do
  match sound.addDeclCore 0 d none with
  | .ok e => return e
  | .error e => throw (IO.userError (← (e.toMessageData {}).toString))
end

/-- The unsafe twin of a definition by recursion, made for the compiler. (Of a `partial` one the twin stands beside an
opaque constant: that is no definition.) -/
def isCompanion (base env : Environment) (n : Name) : Bool :=
  match n with
  | .str p "_unsafe_rec" => match find base env p with
    | some (.defnInfo v) => v.safety == .safe
    | _ => false
  | _ => false

/-- Replays every new declaration: the environment with those that the kernel accepts, and a frame for each other. -/
partial def replayAll (base env sound : Environment) (news : List ConstantInfo) (out : String) : IO (Environment × String) := do
  match news with
  | [] => return (sound, out)
  | c :: rest =>
    if isCompanion base env c.name then replayAll base env sound rest out else
    let (sound, out) ← (do
        let next ← replay base env sound c.name
        if next.contains c.name then return (next, out)
        else return (next, frame out "rejected" [c.name.toString, "it is unsafe or partial: the kernel does not check it"])
      : IO (Environment × String)) <|> tell c.name sound out
    replayAll base env sound rest out
where
  tell (n : Name) (sound : Environment) (out : String) : IO (Environment × String) := do
    try
      let _ ← replay base env sound n
      return (sound, out)
    catch e => return (sound, frame out "rejected" [n.toString, toString e])

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
  let news := newConstants env
  let mut sound := env
  if r.replay then
    let (s, o) ← replayAll base env base news out
    sound := s
    out := o
  let replayed ← IO.monoMsNow
  if r.facts then
    let cs := toArray (newConstants sound) #[]
    handOver (cs, libraryData base r.library 0 #[])
    out ← declarations env r.asked cs 0 (marks env cs 0 out)
  if let some path := r.olean then
    writeModule env path
  let finished ← IO.monoMsNow
  return frame out "end" [toString (elaborated - started), toString (replayed - elaborated), toString (finished - replayed)]

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

partial def warmUp (read : ImportState) (env : Environment) (sources : List String) : IO Unit := do
  match sources with
  | [] => return
  | s :: rest =>
    discard <| check { read := read, base := env } { module := `Warm, replay := true, source := s } fun _ => return
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
/-- The action of a copy: reads one request and answers it. -/
partial def serve (origin : Origin) : IO Unit := do
  let nonce ← IO.FS.readFile "/host/nonce"
  let r := Request.parse (← IO.FS.readFile "/host/request")
  let answer ←
    if r.command == "check" then check origin r (handToHost nonce)
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
  let act : IO Unit := do
    match ← IO.wait (← IO.asTask (serve origin) Task.Priority.dedicated) with
    | .ok _ => return
    | .error e => throw e
  -- The action outlives this run: the host calls it by address, once per copy.
  let act ← unsafe Runtime.markPersistent act
  IO.FS.writeFile "/host/register" (nonce ++ toString (unsafe ptrAddrUnsafe act))
end

def start : IO Unit := do
  let (_, read) ← (importModulesCore #[{ module := `Init }]).run
  let env ← importOn read #[{ module := `Init }]
  warmUp read env warmups
  register { read := read, base := env } ""

end Atlas

run_cmd Atlas.start
