//! Facts of declarations, worked out in Rust from Lean's terms.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use atlas_lean_wasm::Malformed;

use serde::{Deserialize, Serialize};

use crate::export::{self, ExportError};
use crate::name::NameId;
use crate::objects::Objects;
use crate::terms::{Digest, Kind, Terms, digest};

/// Axioms that the toolchain has. At the level at which its library is shipped every one of its theorems looks like an
/// axiom too, so the true ones are told by name.
pub(crate) const TOOLCHAIN_AXIOMS: &[&[&str]] = &[
    &["propext"],
    &["Classical", "choice"],
    &["Quot", "sound"],
    &["sorryAx"],
    &["Lean", "ofReduceBool"],
    &["Lean", "ofReduceNat"],
    &["Lean", "trustCompiler"],
];

/// What the terms say of one new declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TermFacts {
    pub(crate) name: String,
    /// The name, encoded so that different names differ.
    pub(crate) key: String,
    pub(crate) kind: Kind,
    pub(crate) auxiliary: bool,
    pub(crate) is_unsafe: bool,
    pub(crate) statement_hash: String,
    pub(crate) negation_hash: String,
    pub(crate) axioms: Vec<String>,
    /// Whose `sorry` it rests on: see [`Facts::foundation`].
    pub(crate) sorry_from: Vec<String>,
    /// The same of what it says, without its proof.
    pub(crate) statement_sorry_from: Vec<String>,
    pub(crate) statement_constants: Vec<String>,
    pub(crate) proof_constants: Vec<String>,
    /// Digest of everything that the declaration is, its proof included.
    pub(crate) whole: String,
}

/// What the session handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handed {
    /// The new declarations, in the order of the session's `declaration` frames.
    pub(crate) new: Vec<TermFacts>,
    /// Of every declaration of the imported library modules that a kernel checks: its name and the digest of all that
    /// it is.
    pub(crate) imported: BTreeMap<String, String>,
    /// The new declarations in lean4export's format, where a certified verdict is asked for.
    #[serde(with = "serde_bytes")]
    pub(crate) export: Option<Vec<u8>>,
}

/// Reads the pair that the session hands over: the new constants, and the data of the imported library modules. With `exported`,
/// the new constants are exported too.
pub(crate) fn read(heap: &dyn Objects, address: u32, exported: bool) -> Result<Handed, ExportError> {
    let mut terms = Terms::new(heap);
    let mut imported = vec![];
    for module in heap.array(heap.field(address, 1)?)? {
        // `ModuleData`: imports, names, constants, …
        for constant in heap.array(heap.field(module, 2)?)? {
            imported.push(terms.add(constant)?);
        }
    }
    let constants = heap.array(heap.field(address, 0)?)?;
    let export = if exported { Some(export::export(heap, &constants)?) } else { None };
    let new = constants.into_iter().map(|c| terms.add(c)).collect::<Result<Vec<_>, _>>()?;
    let mut facts = Facts::new(terms);
    let new = new.into_iter().map(|name| facts.of(name)).collect::<Result<_, Malformed>>()?;
    let safe = |name: &NameId| facts.terms.constant(*name).is_some_and(|c| !c.is_unsafe);
    let imported: Vec<NameId> = imported.into_iter().filter(safe).collect();
    let imported = imported
        .into_iter()
        .map(|name| Ok((hex::encode(facts.terms.names.key(name)), hex::encode(facts.whole(name)?))))
        .collect::<Result<_, Malformed>>()?;
    Ok(Handed { new, imported, export })
}

/// A declaration, or a part of one, together with what Lean split off from it.
struct Piece {
    axioms: Vec<NameId>,
    /// The other declarations that it names.
    uses: Vec<NameId>,
}

/// What a declaration, or a part of one, rests on at any depth.
#[derive(Default)]
struct Foundation {
    axioms: BTreeSet<NameId>,
    /// The declarations in it that name `sorryAx` themselves.
    sorry_from: BTreeSet<NameId>,
}

struct Facts<'h> {
    terms: Terms<'h>,
    axioms: HashSet<NameId>,
    sorry: NameId,
    not: Digest,
    contents: HashMap<NameId, Digest>,
    content_uses: HashMap<NameId, Rc<[NameId]>>,
    dependencies: HashMap<NameId, Rc<[NameId]>>,
    pieces: HashMap<NameId, Rc<Piece>>,
}

impl<'h> Facts<'h> {
    fn new(mut terms: Terms<'h>) -> Self {
        let axioms = TOOLCHAIN_AXIOMS.iter().map(|parts| terms.names.of(parts)).collect();
        let sorry = terms.names.of(&["sorryAx"]);
        let not = terms.names.of(&["Not"]);
        // The constant `Not` as `Terms` digests it: by name, without universe levels.
        let not = digest("constant", &[&digest("name", &[&terms.names.key(not)])]);
        Self {
            terms,
            axioms,
            sorry,
            not,
            contents: HashMap::new(),
            content_uses: HashMap::new(),
            dependencies: HashMap::new(),
            pieces: HashMap::new(),
        }
    }

    fn of(&mut self, name: NameId) -> Result<TermFacts, Malformed> {
        let constant =
            self.terms.constant(name).cloned().ok_or(Malformed { address: 0, what: "unknown constant" })?;
        let statement = self.statement(name)?;
        let negation_hash = if constant.kind == Kind::Theorem {
            let kind_of = self.terms.term(constant.kind_of)?;
            let negated = digest("application", &[&self.not, &kind_of]);
            let content = self.terms.content_with(&constant, negated)?;
            hex::encode(self.seal(content, &statement)?)
        } else {
            String::new()
        };
        let content = self.content(name)?;
        let statement_hash = hex::encode(self.seal(content, &statement)?);
        let mut proof = BTreeSet::new();
        if let Some(value) = constant.value {
            for used in self.terms.uses(value)? {
                if used != name && self.terms.constant(used).is_some() && !statement.contains(&used) {
                    proof.insert(used);
                }
            }
        }
        let whole = self.piece(name)?;
        let foundation = self.foundation(name, &whole)?;
        let statement_sorry_from = if constant.kind == Kind::Theorem {
            let said = self.terms.names_in(constant.kind_of)?;
            let said = self.gather(said)?;
            self.foundation(name, &said)?.sorry_from
        } else {
            foundation.sorry_from.clone()
        };
        Ok(TermFacts {
            axioms: self.sorted_texts(&foundation.axioms),
            sorry_from: self.sorted_texts(&foundation.sorry_from),
            statement_sorry_from: self.sorted_texts(&statement_sorry_from),
            name: self.terms.names.text(name),
            key: hex::encode(self.terms.names.key(name)),
            kind: constant.kind,
            auxiliary: self.terms.names.is_auxiliary(name),
            is_unsafe: constant.is_unsafe,
            statement_hash,
            negation_hash,
            statement_constants: self.texts(&statement),
            proof_constants: self.texts(&proof),
            whole: hex::encode(self.whole(name)?),
        })
    }

    /// The names that people would use, sorted.
    fn texts(&self, names: &BTreeSet<NameId>) -> Vec<String> {
        let people: BTreeSet<NameId> =
            names.iter().copied().filter(|n| !self.terms.names.is_auxiliary(*n)).collect();
        self.sorted_texts(&people)
    }

    fn sorted_texts(&self, names: &BTreeSet<NameId>) -> Vec<String> {
        let mut texts: Vec<String> = names.iter().map(|n| self.terms.names.text(*n)).collect();
        texts.sort();
        texts
    }

    /// The library constants that a declaration's statement rests on, at any depth: its own name is not among them unless
    /// it refers to itself (an inductive type).
    fn statement(&mut self, name: NameId) -> Result<BTreeSet<NameId>, Malformed> {
        let mut closure = BTreeSet::new();
        let mut todo = self.content_uses(name)?.to_vec();
        while let Some(used) = todo.pop() {
            if self.terms.constant(used).is_some() && closure.insert(used) {
                todo.extend(self.content_uses(used)?.iter());
            }
        }
        Ok(closure)
    }

    /// The constants that what a declaration says refers to.
    fn content_uses(&mut self, name: NameId) -> Result<Rc<[NameId]>, Malformed> {
        if let Some(known) = self.content_uses.get(&name) {
            return Ok(known.clone());
        }
        let mut uses = vec![];
        if let Some(constant) = self.terms.constant(name).cloned() {
            uses = self.terms.uses(constant.kind_of)?;
            if let (Kind::Definition | Kind::Opaque, Some(value)) = (constant.kind, constant.value) {
                uses.extend(self.terms.uses(value)?);
            }
            uses.extend(constant.relatives);
        }
        let uses: Rc<[NameId]> = uses.into();
        self.content_uses.insert(name, uses.clone());
        Ok(uses)
    }

    /// Every constant that a library declaration names, its proof included; of others none.
    fn dependencies(&mut self, name: NameId) -> Result<Rc<[NameId]>, Malformed> {
        if let Some(known) = self.dependencies.get(&name) {
            return Ok(known.clone());
        }
        let mut found = vec![];
        if let Some(constant) = self.terms.constant(name).cloned() {
            found = self.terms.names_in(constant.kind_of)?;
            if let Some(value) = constant.value {
                found.extend(self.terms.names_in(value)?);
            }
            found.extend(constant.relatives);
        }
        found.sort();
        found.dedup();
        let found: Rc<[NameId]> = found.into();
        self.dependencies.insert(name, found.clone());
        Ok(found)
    }

    fn content(&mut self, name: NameId) -> Result<Digest, Malformed> {
        if let Some(known) = self.contents.get(&name) {
            return Ok(*known);
        }
        let constant =
            self.terms.constant(name).cloned().ok_or(Malformed { address: 0, what: "unknown constant" })?;
        let content = self.terms.content(&constant)?;
        self.contents.insert(name, content);
        Ok(content)
    }

    /// The hash of a statement: what it says, and what each constant says that it rests on.
    fn seal(&mut self, content: Digest, closure: &BTreeSet<NameId>) -> Result<Digest, Malformed> {
        let mut entries: Vec<(Vec<u8>, Digest)> = vec![];
        for name in closure {
            entries.push((self.terms.names.key(*name), self.content(*name)?));
        }
        // By name: ids depend on the order in which names were met.
        entries.sort();
        let parts: Vec<&[u8]> = std::iter::once(&content[..])
            .chain(entries.iter().flat_map(|(key, content)| [&key[..], &content[..]]))
            .collect();
        Ok(digest("atlas statement 1", &parts))
    }

    /// The digest of everything that a constant is.
    fn whole(&mut self, name: NameId) -> Result<Digest, Malformed> {
        let constant =
            self.terms.constant(name).cloned().ok_or(Malformed { address: 0, what: "unknown constant" })?;
        let content = self.content(name)?;
        let proof = match (constant.kind, constant.value) {
            (Kind::Theorem, Some(value)) => self.terms.term(value)?.to_vec(),
            _ => vec![],
        };
        Ok(digest("whole", &[&self.terms.names.key(name), &content, &proof, &[u8::from(constant.is_unsafe)]]))
    }

    /// What `piece`, a part of `name`, rests on: through proofs and all library declarations that it uses.
    fn foundation(&mut self, name: NameId, piece: &Piece) -> Result<Foundation, Malformed> {
        let mut foundation = Foundation::default();
        let mut todo = piece.uses.clone();
        let mut seen = HashSet::from([name]);
        let mut found = |owner: NameId, axioms: &[NameId], sorry: NameId| {
            if axioms.contains(&sorry) {
                foundation.sorry_from.insert(owner);
            }
            foundation.axioms.extend(axioms);
        };
        found(name, &piece.axioms, self.sorry);
        while let Some(at) = todo.pop() {
            if seen.insert(at) {
                let below = self.piece(at)?;
                found(at, &below.axioms, self.sorry);
                todo.extend(&below.uses);
            }
        }
        Ok(foundation)
    }

    /// A library declaration with what Lean split off from it.
    fn piece(&mut self, name: NameId) -> Result<Rc<Piece>, Malformed> {
        if let Some(known) = self.pieces.get(&name) {
            return Ok(known.clone());
        }
        let names = self.dependencies(name)?.to_vec();
        let mut piece = self.gather(names)?;
        if self.terms.constant(name).is_some_and(|c| c.kind == Kind::Axiom) {
            piece.axioms.push(name);
        }
        let piece = Rc::new(piece);
        self.pieces.insert(name, piece.clone());
        Ok(piece)
    }

    /// What a part that names these constants consists of. Whose an axiom is, `sorry` above all, follows from the way to it
    /// and not from names: Lean shares what it splits off between declarations and names it after the first, and anybody
    /// may name it. So it is a part of each that names it.
    fn gather(&mut self, mut todo: Vec<NameId>) -> Result<Piece, Malformed> {
        let mut piece = Piece { axioms: vec![], uses: vec![] };
        let mut seen = HashSet::new();
        while let Some(at) = todo.pop() {
            if !seen.insert(at) {
                continue;
            }
            match self.terms.constant(at).map(|c| c.kind) {
                None if self.axioms.contains(&at) => piece.axioms.push(at),
                None => {}
                Some(_) if self.terms.names.is_split_off(at) => {
                    todo.extend(self.dependencies(at)?.iter());
                    if self.terms.constant(at).is_some_and(|c| c.kind == Kind::Axiom) {
                        piece.axioms.push(at);
                    }
                }
                Some(_) => piece.uses.push(at),
            }
        }
        Ok(piece)
    }
}
