/-
Kernel replay for a native Lean: every new declaration again in the kernel, in an environment that the source has not touched, in the
process that has elaborated it. Follows the session's code. (The embedded Lean's kernel is asked in another guest.)
-/
namespace Atlas.Native

-- The library's loops over arrays need private helpers that this level does not show.
partial def pushAll (todo names : Array Name) (i : Nat) : Array Name :=
  if h : i < names.size then pushAll (todo.push names[i]) names (i + 1) else todo

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

end Atlas.Native
