//! Terms as Lean holds them, reduced to what verdicts need: a digest of each, and the constants it names.
//!
//! The digest of a term is a Merkle tree of SHA-256 over its structure: binder names, binder infos and metadata do not
//! count; universe parameters count by name; a constant counts by its name, but one that Lean split off (a matcher, a
//! proof) by its content, since such are shared between declarations and named after the first that needed them.

use std::collections::{HashMap, HashSet};

use atlas_lean_wasm::Malformed;
use sha2::{Digest as _, Sha256};

use crate::name::{NameId, Names};
use crate::objects::Objects;

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// SHA-256 over parts that are framed by their lengths, so that different lists of parts differ.
pub(crate) fn digest(tag: &str, parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in std::iter::once(tag.as_bytes()).chain(parts.iter().copied()) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What a constant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) enum Kind {
    Axiom,
    Definition,
    Theorem,
    Opaque,
    Quotient,
    Inductive,
    Constructor,
    Recursor,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Axiom => "axiom",
            Self::Definition => "def",
            Self::Theorem => "theorem",
            Self::Opaque => "opaque",
            Self::Quotient => "quot",
            Self::Inductive => "inductive",
            Self::Constructor => "ctor",
            Self::Recursor => "rec",
        }
    }
}

/// A constant's parts, by address.
#[derive(Debug, Clone)]
pub(crate) struct Constant {
    pub(crate) kind: Kind,
    pub(crate) level_parameters: Vec<NameId>,
    pub(crate) kind_of: u32,
    pub(crate) value: Option<u32>,
    /// The constructors of an inductive type; the type of a constructor.
    pub(crate) relatives: Vec<NameId>,
    pub(crate) parameters: u32,
    pub(crate) is_unsafe: bool,
}

/// The library's constants (those that no toolchain module declares) and the terms in them.
pub(crate) struct Terms<'h> {
    heap: &'h dyn Objects,
    pub(crate) names: Names,
    constants: HashMap<NameId, Constant>,
    digests: HashMap<u32, Digest>,
    inlined: HashMap<NameId, Option<Digest>>,
}

impl<'h> Terms<'h> {
    pub(crate) fn new(heap: &'h dyn Objects) -> Self {
        Self {
            heap,
            names: Names::default(),
            constants: HashMap::new(),
            digests: HashMap::new(),
            inlined: HashMap::new(),
        }
    }

    /// Adds the `ConstantInfo` at `address`; its name.
    pub(crate) fn add(&mut self, address: u32) -> Result<NameId, Malformed> {
        let heap = self.heap;
        let kind = match heap.constructor(address)? {
            0 => Kind::Axiom,
            1 => Kind::Definition,
            2 => Kind::Theorem,
            3 => Kind::Opaque,
            4 => Kind::Quotient,
            5 => Kind::Inductive,
            6 => Kind::Constructor,
            7 => Kind::Recursor,
            _ => return Err(Malformed { address, what: "not a constant" }),
        };
        let info = heap.field(address, 0)?;
        let head = heap.field(info, 0)?;
        let name = self.names.read(heap, heap.field(head, 0)?)?;
        let level_parameters = self.name_list(heap.field(head, 1)?)?;
        let value = match kind {
            Kind::Definition | Kind::Theorem | Kind::Opaque => Some(heap.field(info, 1)?),
            _ => None,
        };
        let relatives = match kind {
            Kind::Inductive => self.name_list(heap.field(info, 4)?)?,
            Kind::Constructor => vec![self.names.read(heap, heap.field(info, 1)?)?],
            _ => vec![],
        };
        let parameters = match kind {
            Kind::Inductive => heap.scalar(heap.field(info, 1)?).unwrap_or(u32::MAX),
            _ => 0,
        };
        // `DefinitionSafety` is unsafe, safe, partial in this order; the others keep a flag.
        let is_unsafe = match kind {
            Kind::Definition => heap.scalar_byte(info, 0)? != 1,
            Kind::Axiom | Kind::Opaque | Kind::Constructor => heap.scalar_byte(info, 0)? != 0,
            Kind::Inductive | Kind::Recursor => heap.scalar_byte(info, 1)? != 0,
            Kind::Theorem | Kind::Quotient => false,
        };
        let constant = Constant {
            kind,
            level_parameters,
            kind_of: heap.field(head, 2)?,
            value,
            relatives,
            parameters,
            is_unsafe,
        };
        self.constants.insert(name, constant);
        Ok(name)
    }

    fn name_list(&mut self, address: u32) -> Result<Vec<NameId>, Malformed> {
        self.heap.list(address)?.into_iter().map(|n| self.names.read(self.heap, n)).collect()
    }

    pub(crate) fn constant(&self, name: NameId) -> Option<&Constant> {
        self.constants.get(&name)
    }

    /// The constants that a term names, in the order of a walk; split-off ones are looked through.
    pub(crate) fn uses(&mut self, term: u32) -> Result<Vec<NameId>, Malformed> {
        let mut found = vec![];
        let (mut seen, mut named) = (HashSet::new(), HashSet::new());
        let mut todo = vec![term];
        while let Some(at) = todo.pop() {
            if !seen.insert(at) {
                continue;
            }
            let node = Node::read(self.heap, at)?;
            let name = match node {
                Node::Constant(name, _) | Node::Projection(name, _, _) => {
                    Some(self.names.read(self.heap, name)?)
                }
                _ => None,
            };
            if let Some(name) = name.filter(|n| named.insert(*n)) {
                match self.constants.get(&name) {
                    Some(c) if self.names.is_inlined(name) => {
                        todo.push(c.kind_of);
                        // A proof counts by what it proves.
                        todo.extend(c.value.filter(|_| c.kind == Kind::Definition));
                    }
                    _ => found.push(name),
                }
            }
            todo.extend(node.children());
        }
        Ok(found)
    }

    /// The constants that a term names, split-off ones among them and not looked through.
    pub(crate) fn names_in(&mut self, term: u32) -> Result<Vec<NameId>, Malformed> {
        let mut found = vec![];
        let mut seen = HashSet::new();
        let mut todo = vec![term];
        while let Some(at) = todo.pop() {
            if !seen.insert(at) {
                continue;
            }
            let node = Node::read(self.heap, at)?;
            if let Node::Constant(name, _) | Node::Projection(name, _, _) = node {
                found.push(self.names.read(self.heap, name)?);
            }
            todo.extend(node.children());
        }
        Ok(found)
    }

    /// The digest of the term at `root`.
    pub(crate) fn term(&mut self, root: u32) -> Result<Digest, Malformed> {
        // By hand and not by recursion: a term may be deeper than any stack.
        let mut todo = vec![(root, false)];
        while let Some((at, ready)) = todo.pop() {
            if self.digests.contains_key(&at) {
                continue;
            }
            let node = Node::read(self.heap, at)?;
            if !ready {
                todo.push((at, true));
                todo.extend(node.children().into_iter().map(|c| (c, false)));
                continue;
            }
            let digest = self.node(&node)?;
            self.digests.insert(at, digest);
        }
        self.done(root)
    }

    fn done(&self, at: u32) -> Result<Digest, Malformed> {
        self.digests.get(&at).copied().ok_or(Malformed { address: at, what: "a term that contains itself" })
    }

    fn node(&mut self, node: &Node) -> Result<Digest, Malformed> {
        Ok(match *node {
            Node::Variable(index) => digest("variable", &[&self.heap.natural(index)?]),
            Node::Sort(level) => digest("sort", &[&self.level(level, 0)?]),
            Node::Constant(name, levels) => {
                let name = self.names.read(self.heap, name)?;
                let mut parts: Vec<Digest> = vec![self.reference(name)?];
                for level in self.heap.list(levels)? {
                    parts.push(self.level(level, 0)?);
                }
                let parts: Vec<&[u8]> = parts.iter().map(|p| &p[..]).collect();
                digest("constant", &parts)
            }
            Node::Application(f, a) => digest("application", &[&self.done(f)?, &self.done(a)?]),
            Node::Lambda(t, b) => digest("lambda", &[&self.done(t)?, &self.done(b)?]),
            Node::Product(t, b) => digest("product", &[&self.done(t)?, &self.done(b)?]),
            Node::Let(t, v, b) => digest("let", &[&self.done(t)?, &self.done(v)?, &self.done(b)?]),
            Node::Number(n) => digest("number", &[&self.heap.natural(n)?]),
            Node::Text(t) => digest("text", &[self.heap.string(t)?.as_bytes()]),
            Node::Metadata(e) => self.done(e)?,
            Node::Projection(name, index, e) => {
                let name = self.names.read(self.heap, name)?;
                digest("projection", &[&self.names.key(name), &self.heap.natural(index)?, &self.done(e)?])
            }
        })
    }

    /// The digest of a universe level; `depth` guards the stack.
    fn level(&mut self, address: u32, depth: u32) -> Result<Digest, Malformed> {
        if let Some(known) = self.digests.get(&address) {
            return Ok(*known);
        }
        if depth > 1000 {
            return Err(Malformed { address, what: "universe level too deep" });
        }
        let heap = self.heap;
        let field = |index| heap.field(address, index);
        let found = match heap.constructor(address)? {
            0 => digest("zero", &[]),
            1 => digest("successor", &[&self.level(field(0)?, depth + 1)?]),
            tag @ (2 | 3) => {
                let (a, b) = (self.level(field(0)?, depth + 1)?, self.level(field(1)?, depth + 1)?);
                digest(if tag == 2 { "maximum" } else { "impredicative maximum" }, &[&a, &b])
            }
            4 => {
                let name = self.names.read(heap, field(0)?)?;
                digest("parameter", &[&self.names.key(name)])
            }
            _ => return Err(Malformed { address, what: "not a closed universe level" }),
        };
        self.digests.insert(address, found);
        Ok(found)
    }

    /// How a constant counts in terms that use it.
    fn reference(&mut self, name: NameId) -> Result<Digest, Malformed> {
        let by_name = digest("name", &[&self.names.key(name)]);
        if !self.names.is_inlined(name) {
            return Ok(by_name);
        }
        match self.inlined.get(&name) {
            // It refers to itself: then only its name can stand for it.
            Some(None) => return Ok(by_name),
            Some(Some(known)) => return Ok(*known),
            None => {}
        }
        let Some(constant) = self.constants.get(&name).cloned() else { return Ok(by_name) };
        if self.inlined.values().filter(|v| v.is_none()).count() > 200 {
            return Err(Malformed {
                address: constant.kind_of,
                what: "split-off declarations nested too deep",
            });
        }
        self.inlined.insert(name, None);
        let found = self.content(&constant)?;
        self.inlined.insert(name, Some(found));
        Ok(found)
    }

    /// The digest of what a constant says, its name left out: of a theorem its statement, of others also what they are.
    pub(crate) fn content(&mut self, constant: &Constant) -> Result<Digest, Malformed> {
        let kind_of = self.term(constant.kind_of)?;
        self.content_with(constant, kind_of)
    }

    /// [`Terms::content`] with another type in the place of the constant's own.
    pub(crate) fn content_with(&mut self, constant: &Constant, kind_of: Digest) -> Result<Digest, Malformed> {
        let mut parts: Vec<Vec<u8>> = vec![constant.kind.as_str().into(), kind_of.to_vec()];
        parts.push((constant.level_parameters.len() as u64).to_le_bytes().to_vec());
        for parameter in &constant.level_parameters {
            parts.push(self.names.key(*parameter));
        }
        if let (Kind::Definition | Kind::Opaque, Some(value)) = (constant.kind, constant.value) {
            parts.push(self.term(value)?.to_vec());
        }
        parts.push(constant.parameters.to_le_bytes().to_vec());
        for relative in &constant.relatives {
            parts.push(self.names.key(*relative));
        }
        let parts: Vec<&[u8]> = parts.iter().map(|p| &p[..]).collect();
        Ok(digest("content", &parts))
    }
}

/// One node of a term, its parts by address.
pub(crate) enum Node {
    Variable(u32),
    Sort(u32),
    Constant(u32, u32),
    Application(u32, u32),
    Lambda(u32, u32),
    Product(u32, u32),
    Let(u32, u32, u32),
    Number(u32),
    Text(u32),
    Metadata(u32),
    Projection(u32, u32, u32),
}

impl Node {
    pub(crate) fn read(heap: &dyn Objects, at: u32) -> Result<Self, Malformed> {
        let field = |index| heap.field(at, index);
        Ok(match heap.constructor(at)? {
            0 => Self::Variable(field(0)?),
            3 => Self::Sort(field(0)?),
            4 => Self::Constant(field(0)?, field(1)?),
            5 => Self::Application(field(0)?, field(1)?),
            6 => Self::Lambda(field(1)?, field(2)?),
            7 => Self::Product(field(1)?, field(2)?),
            8 => Self::Let(field(1)?, field(2)?, field(3)?),
            9 => {
                let literal = field(0)?;
                let value = heap.field(literal, 0)?;
                if heap.constructor(literal)? == 0 { Self::Number(value) } else { Self::Text(value) }
            }
            10 => Self::Metadata(field(1)?),
            11 => Self::Projection(field(0)?, field(1)?, field(2)?),
            _ => return Err(Malformed { address: at, what: "not a closed term" }),
        })
    }

    pub(crate) fn children(&self) -> Vec<u32> {
        match *self {
            Self::Variable(_) | Self::Sort(_) | Self::Constant(..) | Self::Number(_) | Self::Text(_) => {
                vec![]
            }
            Self::Application(a, b) | Self::Lambda(a, b) | Self::Product(a, b) => vec![a, b],
            Self::Let(a, b, c) => vec![a, b, c],
            Self::Metadata(e) | Self::Projection(_, _, e) => vec![e],
        }
    }
}
