//! Declarations out of Lean's objects into the second kernel's tables.
//!
//! The walk writes through constructors that check every id and bound; it believes nothing and checks nothing else. What is unsafe or
//! partial is left out: no kernel is asked about it, and what rests on it will lack it.

use std::collections::{BTreeMap, HashMap, HashSet};

use atlas_lean_kernel::{
    Base, Constructor, Declaration, Declarations, DeclareError, ExprId, Height, Inductive, InductiveType,
    LevelId, NameId, QuotientPart, Recursor, RecursorRule, Signature, TermError, Terms,
};
use num_bigint::BigUint;

use crate::heap::Malformed;
use crate::objects::Objects;

/// Why declarations cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// An object is not what it should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A term has no place in the tables.
    #[error(transparent)]
    Term(#[from] TermError),
    /// A declaration has none.
    #[error(transparent)]
    Declare(#[from] DeclareError),
}

/// What a constant is declared together with.
#[derive(Clone, Copy)]
pub enum Belonging {
    /// With nothing.
    Alone,
    /// A type or recursor with the inductive block whose first type this is.
    ToBlock(NameId),
    /// A constructor with this type.
    ToType(NameId),
}

/// A constant that is met again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Twice {
    /// It is refused.
    Refused,
    /// Of several modules: Lean derives equations where it needs them, so two may have the same.
    LeftOut,
}

type Walked<T> = Result<T, WalkError>;

/// What has been met, by address.
pub struct Walk<'h> {
    heap: &'h dyn Objects,
    /// Their terms so far.
    pub terms: Terms,
    /// What has been met so far, but for inductive blocks.
    pub declarations: Declarations,
    /// Constants that terms have named since somebody looked.
    pub named: Vec<NameId>,
    blocks: Blocks,
    names: HashMap<u32, NameId>,
    levels: HashMap<u32, LevelId>,
    exprs: HashMap<u32, ExprId>,
}

/// Inductive blocks by the first of their types; constructors are met before and after their types.
#[derive(Default)]
struct Blocks {
    by_first: BTreeMap<NameId, Inductive>,
    constructors: HashMap<NameId, Constructor>,
}

impl Blocks {
    fn of(&mut self, all: &[NameId], at: u32) -> Walked<&mut Inductive> {
        let first =
            *all.first().ok_or(Malformed { address: at, what: "an inductive block without a type" })?;
        Ok(self.by_first.entry(first).or_default())
    }

    /// The blocks, their types in the order in which they name themselves and with their constructors in the types' order.
    fn finish(mut self) -> Walked<Vec<Inductive>> {
        let mut blocks: Vec<Inductive> = self.by_first.into_values().collect();
        for block in &mut blocks {
            if let Some(all) = block.types.first().map(|t| t.all.clone()) {
                block.types.sort_by_key(|t| all.iter().position(|n| *n == t.signature.name));
            }
            let named = block.types.iter().flat_map(|t| &t.constructors);
            block.constructors = named.filter_map(|name| self.constructors.remove(name)).collect();
        }
        match self.constructors.is_empty() {
            true => Ok(blocks),
            false => Err(Malformed { address: 0, what: "a constructor without its type" }.into()),
        }
    }
}

impl<'h> Walk<'h> {
    /// A walk over tables of its own.
    pub fn new(heap: &'h dyn Objects) -> Self {
        let base = Base::empty();
        Self::over(heap, base.terms(), &base)
    }

    /// A walk whose ids are those of `terms`, which are over `base`.
    pub fn over(heap: &'h dyn Objects, terms: Terms, base: &Base) -> Self {
        Walk {
            heap,
            terms,
            declarations: Declarations::over(base),
            named: vec![],
            blocks: Blocks::default(),
            names: HashMap::new(),
            levels: HashMap::new(),
            exprs: HashMap::new(),
        }
    }

    /// The terms and declarations that were met.
    ///
    /// # Errors
    /// A block is not whole.
    pub fn finish(mut self) -> Walked<(Terms, Declarations)> {
        for block in self.blocks.finish()? {
            self.declarations.add(&self.terms, Declaration::Inductive(block))?;
        }
        Ok((self.terms, self.declarations))
    }

    /// The name of the `ConstantInfo` at `at`.
    ///
    /// # Errors
    /// There is none.
    pub fn name_of(&mut self, at: u32) -> Walked<NameId> {
        let heap = self.heap;
        self.name(heap.field(heap.field(heap.field(at, 0)?, 0)?, 0)?)
    }

    /// What the `ConstantInfo` at `at` is declared together with.
    ///
    /// # Errors
    /// There is none at `at`.
    pub fn belongs_to(&mut self, at: u32) -> Walked<Belonging> {
        let heap = self.heap;
        let info = heap.field(at, 0)?;
        let all = match heap.constructor(at)? {
            6 => return Ok(Belonging::ToType(self.name(heap.field(info, 1)?)?)),
            5 => self.name_list(heap.field(info, 3)?)?,
            7 => self.name_list(heap.field(info, 1)?)?,
            _ => vec![],
        };
        Ok(all.first().map_or(Belonging::Alone, |first| Belonging::ToBlock(*first)))
    }

    /// Whether the `ConstantInfo` at `at` is one that no kernel is asked about.
    ///
    /// # Errors
    /// There is none at `at`.
    pub fn is_unchecked(&self, at: u32) -> Walked<bool> {
        let info = self.heap.field(at, 0)?;
        let flag = |offset| self.heap.scalar_byte(info, offset);
        Ok(match self.heap.constructor(at)? {
            // `DefinitionSafety`: unsafe, safe, partial.
            1 => flag(0)? != 1,
            0 | 3 | 6 => flag(0)? != 0,
            5 | 7 => flag(1)? != 0,
            2 | 4 => false,
            _ => return Err(Malformed { address: at, what: "not a constant" }.into()),
        })
    }

    /// Reads the `ConstantInfo` at `at`.
    ///
    /// # Errors
    /// There is none, or one that cannot be declared.
    pub fn constant(&mut self, at: u32, twice: Twice) -> Walked<()> {
        if self.is_unchecked(at)? {
            return Ok(());
        }
        let heap = self.heap;
        let info = heap.field(at, 0)?;
        let signature = self.signature(heap.field(info, 0)?)?;
        if twice == Twice::LeftOut && self.declarations.declares(signature.name) {
            return Ok(());
        }
        let declaration = match heap.constructor(at)? {
            0 => Declaration::Axiom(signature),
            1 => {
                let height = self.height(heap.field(info, 2)?)?;
                Declaration::Definition { signature, value: self.expr(heap.field(info, 1)?)?, height }
            }
            2 => Declaration::Theorem { signature, value: self.expr(heap.field(info, 1)?)? },
            3 => Declaration::Opaque { signature, value: self.expr(heap.field(info, 1)?)? },
            4 => {
                let part = match heap.scalar_byte(info, 0)? {
                    0 => QuotientPart::Type,
                    1 => QuotientPart::Constructor,
                    2 => QuotientPart::Lift,
                    _ => QuotientPart::Induction,
                };
                Declaration::Quotient { signature, part }
            }
            5 => {
                let all = self.name_list(heap.field(info, 3)?)?;
                let ty = InductiveType {
                    signature,
                    num_params: self.count(heap.field(info, 1)?)?,
                    num_indices: self.count(heap.field(info, 2)?)?,
                    constructors: self.name_list(heap.field(info, 4)?)?,
                    num_nested: self.count(heap.field(info, 5)?)?,
                    is_recursive: heap.scalar_byte(info, 0)? != 0,
                    is_reflexive: heap.scalar_byte(info, 2)? != 0,
                    all,
                };
                self.blocks.of(&ty.all, at)?.types.push(ty);
                return Ok(());
            }
            6 => {
                let constructor = Constructor {
                    signature,
                    inductive: self.name(heap.field(info, 1)?)?,
                    index: self.count(heap.field(info, 2)?)?,
                    num_params: self.count(heap.field(info, 3)?)?,
                    num_fields: self.count(heap.field(info, 4)?)?,
                };
                self.blocks.constructors.insert(constructor.signature.name, constructor);
                return Ok(());
            }
            7 => {
                let recursor = self.recursor(info, signature)?;
                self.blocks.of(&recursor.all, at)?.recursors.push(recursor);
                return Ok(());
            }
            _ => return Err(Malformed { address: at, what: "not a constant" }.into()),
        };
        self.declarations.add(&self.terms, declaration)?;
        Ok(())
    }

    fn recursor(&mut self, info: u32, signature: Signature) -> Walked<Recursor> {
        let heap = self.heap;
        let mut rules = vec![];
        for rule in heap.list(heap.field(info, 6)?)? {
            rules.push(RecursorRule {
                constructor: self.name(heap.field(rule, 0)?)?,
                num_fields: self.count(heap.field(rule, 1)?)?,
                value: self.expr(heap.field(rule, 2)?)?,
            });
        }
        Ok(Recursor {
            signature,
            all: self.name_list(heap.field(info, 1)?)?,
            num_params: self.count(heap.field(info, 2)?)?,
            num_indices: self.count(heap.field(info, 3)?)?,
            num_motives: self.count(heap.field(info, 4)?)?,
            num_minors: self.count(heap.field(info, 5)?)?,
            rules,
            k: heap.scalar_byte(info, 0)? != 0,
        })
    }

    fn signature(&mut self, at: u32) -> Walked<Signature> {
        Ok(Signature {
            name: self.name(self.heap.field(at, 0)?)?,
            universe_params: self.name_list(self.heap.field(at, 1)?)?,
            ty: self.expr(self.heap.field(at, 2)?)?,
        })
    }

    /// `ReducibilityHints`: opaque, abbrev, regular with a 32-bit height.
    fn height(&self, at: u32) -> Walked<Height> {
        Ok(match self.heap.constructor(at)? {
            0 => Height::Opaque,
            1 => Height::Abbreviation,
            _ => {
                let mut height = 0;
                for k in (0..4).rev() {
                    height = height << 8 | u32::from(self.heap.scalar_byte(at, k)?);
                }
                Height::Regular(height)
            }
        })
    }

    fn count(&self, at: u32) -> Walked<u32> {
        self.heap.scalar(at).ok_or(Malformed { address: at, what: "a number that is too large" }.into())
    }

    fn name_list(&mut self, at: u32) -> Walked<Vec<NameId>> {
        self.heap.list(at)?.into_iter().map(|n| self.name(n)).collect()
    }

    fn name(&mut self, at: u32) -> Walked<NameId> {
        // From the last part to the first that is known, then back.
        let (heap, mut todo, mut name) = (self.heap, vec![], self.terms.name_anonymous());
        let mut here = at;
        while heap.constructor(here)? != 0 {
            if let Some(known) = self.names.get(&here) {
                name = *known;
                break;
            }
            if todo.len() > 1000 {
                return Err(Malformed { address: at, what: "a name with too many parts" }.into());
            }
            todo.push(here);
            here = heap.field(here, 0)?;
        }
        while let Some(here) = todo.pop() {
            let part = heap.field(here, 1)?;
            name = if heap.constructor(here)? == 1 {
                self.terms.name_str(name, heap.string(part)?)?
            } else {
                let number = u64::try_from(BigUint::from_bytes_le(&heap.natural(part)?));
                let large = |_| Malformed { address: part, what: "a number in a name that is too large" };
                self.terms.name_num(name, number.map_err(large)?)?
            };
            self.names.insert(here, name);
        }
        Ok(name)
    }

    fn level(&mut self, at: u32, depth: u32) -> Walked<LevelId> {
        if let Some(known) = self.levels.get(&at) {
            return Ok(*known);
        }
        if depth > 1000 {
            return Err(Malformed { address: at, what: "universe level too deep" }.into());
        }
        let heap = self.heap;
        let level = match heap.constructor(at)? {
            0 => self.terms.level_zero(),
            1 => {
                let below = self.level(heap.field(at, 0)?, depth + 1)?;
                self.terms.level_succ(below)?
            }
            tag @ (2 | 3) => {
                let a = self.level(heap.field(at, 0)?, depth + 1)?;
                let b = self.level(heap.field(at, 1)?, depth + 1)?;
                if tag == 2 { self.terms.level_max(a, b)? } else { self.terms.level_imax(a, b)? }
            }
            4 => {
                let name = self.name(heap.field(at, 0)?)?;
                self.terms.level_param(name)?
            }
            _ => return Err(Malformed { address: at, what: "not a closed universe level" }.into()),
        };
        self.levels.insert(at, level);
        Ok(level)
    }

    fn expr(&mut self, root: u32) -> Walked<ExprId> {
        // By hand and not by recursion: a term may be deeper than any stack.
        let (mut todo, mut begun) = (vec![(root, false)], HashSet::new());
        while let Some((at, ready)) = todo.pop() {
            if self.exprs.contains_key(&at) {
                continue;
            }
            let node = Node::read(self.heap, at)?;
            if !ready {
                if !begun.insert(at) {
                    return Err(Malformed { address: at, what: "a term that contains itself" }.into());
                }
                todo.push((at, true));
                todo.extend(node.children().into_iter().map(|c| (c, false)));
                continue;
            }
            let expr = self.node(&node)?;
            self.exprs.insert(at, expr);
        }
        self.done(root)
    }

    fn done(&self, at: u32) -> Walked<ExprId> {
        self.exprs
            .get(&at)
            .copied()
            .ok_or(Malformed { address: at, what: "a term that contains itself" }.into())
    }

    fn node(&mut self, node: &Node) -> Walked<ExprId> {
        let heap = self.heap;
        Ok(match *node {
            Node::Variable(index) => self.terms.expr_bvar(self.count(index)?)?,
            Node::Sort(level) => {
                let level = self.level(level, 0)?;
                self.terms.expr_sort(level)?
            }
            Node::Constant(name, levels) => {
                let name = self.name(name)?;
                self.named.push(name);
                let levels: Vec<LevelId> =
                    heap.list(levels)?.into_iter().map(|l| self.level(l, 0)).collect::<Result<_, _>>()?;
                self.terms.expr_const(name, &levels)?
            }
            Node::Application(f, a) => self.terms.expr_app(self.done(f)?, self.done(a)?)?,
            Node::Lambda(t, b) => self.terms.expr_lam(self.done(t)?, self.done(b)?)?,
            Node::Product(t, b) => self.terms.expr_pi(self.done(t)?, self.done(b)?)?,
            Node::Let(t, v, b) => self.terms.expr_let(self.done(t)?, self.done(v)?, self.done(b)?)?,
            Node::Number(n) => self.terms.expr_nat(BigUint::from_bytes_le(&heap.natural(n)?))?,
            Node::Text(t) => self.terms.expr_str(heap.string(t)?)?,
            Node::Metadata(e) => self.done(e)?,
            Node::Projection(name, index, e) => {
                let name = self.name(name)?;
                self.named.push(name);
                let index = self.count(index)?;
                self.terms.expr_proj(name, index, self.done(e)?)?
            }
        })
    }
}

/// One node of a term, its parts by address.
enum Node {
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
    fn read(heap: &dyn Objects, at: u32) -> Result<Self, Malformed> {
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

    fn children(&self) -> Vec<u32> {
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
