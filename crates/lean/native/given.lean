/-
The declarations that the host gives to a native Lean, from lines (`Recipe::lines` of `crates/lean-wasm`): a word and its parts, each the number
of an earlier line, or `#` and a scalar. Terms are made by Lean's own constructors. Follows the session's code.
-/
namespace Atlas.Native

/-- What a line stands for. -/
inductive Made where
  | scalar (n : Nat)
  | text (s : String)
  | name (n : Name)
  | level (l : Level)
  | literal (l : Literal)
  | expr (e : Expr)
  | height (h : ReducibilityHints)
  | signature (v : ConstantVal)
  | constructor (c : Constructor)
  | type (t : InductiveType)
  | declaration (d : Declaration)
  | cons (first rest : Made)

instance : Inhabited Made := ⟨.scalar 0⟩

def wrong {α : Type} : IO α := throw (IO.userError "the declarations that were given cannot be read")

def toNumber : Made → IO Nat
  | .scalar n => return n
  | _ => wrong

def toName : Made → IO Name
  | .scalar 0 => return .anonymous
  | .name n => return n
  | _ => wrong

def toLevel : Made → IO Level
  | .level l => return l
  | _ => wrong

def toExpr : Made → IO Expr
  | .expr e => return e
  | _ => wrong

def toHints : Made → IO ReducibilityHints
  | .scalar 0 => return .opaque
  | .scalar 1 => return .abbrev
  | .height h => return h
  | _ => wrong

partial def toNames : Made → IO (List Name)
  | .scalar 0 => return []
  | .cons first rest => return (← toName first) :: (← toNames rest)
  | _ => wrong

partial def toLevels : Made → IO (List Level)
  | .scalar 0 => return []
  | .cons first rest => return (← toLevel first) :: (← toLevels rest)
  | _ => wrong

partial def toConstructors : Made → IO (List Constructor)
  | .scalar 0 => return []
  | .cons (.constructor c) rest => return c :: (← toConstructors rest)
  | _ => wrong

partial def toTypes : Made → IO (List InductiveType)
  | .scalar 0 => return []
  | .cons (.type t) rest => return t :: (← toTypes rest)
  | _ => wrong

def makeTerm (word : String) (parts : List Made) : IO Expr := do
  match word, parts with
  | "bvar", [i] => return mkBVar (← toNumber i)
  | "sort", [l] => return mkSort (← toLevel l)
  | "const", [n, ls] => return mkConst (← toName n) (← toLevels ls)
  | "app", [f, a] => return mkApp (← toExpr f) (← toExpr a)
  | "lam", [t, b] => return mkLambda .anonymous .default (← toExpr t) (← toExpr b)
  | "forall", [t, b] => return mkForall .anonymous .default (← toExpr t) (← toExpr b)
  | "let", [t, v, b] => return mkLet .anonymous (← toExpr t) (← toExpr v) (← toExpr b)
  | "lit", [.literal l] => return .lit l
  | "proj", [n, i, e] => return mkProj (← toName n) (← toNumber i) (← toExpr e)
  | _, _ => wrong

def makeDeclaration (word : String) (parts : List Made) : IO Declaration := do
  match word, parts with
  | "definition", [.signature s, v, h, all] =>
    return .defnDecl { s with value := ← toExpr v, hints := ← toHints h, safety := .safe, all := ← toNames all }
  | "theorem", [.signature s, v, all] => return .thmDecl { s with value := ← toExpr v, all := ← toNames all }
  | "opaque", [.signature s, v, all] =>
    return .opaqueDecl { s with value := ← toExpr v, isUnsafe := false, all := ← toNames all }
  | "block", [us, n, ts] => return .inductDecl (← toNames us) (← toNumber n) (← toTypes ts) false
  | "declare", [.declaration d] => return d
  | _, _ => wrong

def make (word : String) (parts : List Made) : IO Made := do
  match word, parts with
  | "cons", [first, rest] => return .cons first rest
  | "str", [n, .text s] => return .name (.str (← toName n) s)
  | "num", [n, i] => return .name (.num (← toName n) (← toNumber i))
  | "zero", [] => return .level .zero
  | "succ", [l] => return .level (mkLevelSucc (← toLevel l))
  | "max", [a, b] => return .level (mkLevelMax (← toLevel a) (← toLevel b))
  | "imax", [a, b] => return .level (mkLevelIMax (← toLevel a) (← toLevel b))
  | "param", [n] => return .level (mkLevelParam (← toName n))
  | "natural", [n] => return .literal (.natVal (← toNumber n))
  | "string", [.text s] => return .literal (.strVal s)
  | "signature", [n, us, t] =>
    return .signature { name := ← toName n, levelParams := ← toNames us, type := ← toExpr t }
  | "constructor", [n, t] => return .constructor { name := ← toName n, type := ← toExpr t }
  | "type", [n, t, cs] =>
    return .type { name := ← toName n, type := ← toExpr t, ctors := ← toConstructors cs }
  | _, _ =>
    if ["definition", "theorem", "opaque", "block", "declare"].contains word then
      return .declaration (← makeDeclaration word parts)
    else return .expr (← makeTerm word parts)

def part (made : Array Made) (word : String) : IO Made :=
  match word.splitOn "#" with
  | ["", digits] => return .scalar digits.toNat!
  | _ =>
    let i := word.toNat!
    if h : i < made.size then return made[i] else wrong

partial def partsOf (made : Array Made) : List String → IO (List Made)
  | [] => return []
  | w :: rest => return (← part made w) :: (← partsOf made rest)

def characters : List String → String → String
  | [], acc => acc
  | w :: rest, acc => characters rest (acc.push (Char.ofNat w.toNat!))

partial def declarationsOf (made : Array Made) (words : List String) (acc : Array Declaration) : IO (Array Declaration) := do
  match words with
  | [] => return acc
  | w :: rest =>
    match ← part made w with
    | .declaration d => declarationsOf made rest (acc.push d)
    | _ => wrong

/-- The declarations that the lines say. The last line lists them. -/
partial def given (made : Array Made) (lines : List String) : IO (Array Declaration) := do
  match lines with
  | [] => wrong
  | line :: rest =>
    match line.splitOn " " with
    | "array" :: words => declarationsOf made words #[]
    | "text" :: points => given (made.push (.text (characters points ""))) rest
    | ["number", digits] => given (made.push (.scalar digits.toNat!)) rest
    | ["height", digits] => given (made.push (.height (.regular digits.toNat!.toUInt32))) rest
    | word :: words =>
      let m ← make word (← partsOf made words)
      given (made.push m) rest
    | [] => wrong

end Atlas.Native
