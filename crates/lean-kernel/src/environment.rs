//! The constants of a library as the checker looks them up.

use std::sync::Arc;

use crate::declaration::{
    Constructor, Height, Inductive, InductiveType, QuotientPart, Recursor, RecursorRule, Signature,
};
use crate::term::{ExprId, Map, NameId, Terms, merge_layers};

/// An inductive type.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Induct {
    pub nparams: u32,
    pub nindices: u32,
    pub all: Vec<NameId>,
    pub ctors: Vec<NameId>,
    pub nested: u32,
    pub is_rec: bool,
    pub is_reflexive: bool,
}

/// A constructor.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Ctor {
    pub induct: NameId,
    pub cidx: u32,
    pub nparams: u32,
    pub nfields: u32,
}

/// A recursor.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rec {
    pub all: Vec<NameId>,
    pub nparams: u32,
    pub nindices: u32,
    pub nmotives: u32,
    pub nminors: u32,
    pub rules: Vec<RecursorRule>,
    pub k: bool,
}

impl Rec {
    /// Arguments before the one that is taken apart.
    pub fn major(&self) -> usize {
        (self.nparams + self.nmotives + self.nminors + self.nindices) as usize
    }
}

/// What a constant is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Kind {
    Axiom,
    /// A theorem, definition or opaque constant of a trusted library that came without its value. It does not unfold.
    Given,
    Def {
        value: ExprId,
        height: Height,
    },
    Thm {
        value: ExprId,
    },
    Opaque {
        value: ExprId,
    },
    Quot(QuotientPart),
    Induct(Induct),
    Ctor(Ctor),
    Rec(Rec),
}

/// A constant.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Const {
    pub name: NameId,
    pub params: Vec<NameId>,
    pub ty: ExprId,
    pub kind: Kind,
    /// The declaration that brings it; only earlier ones may be used when one is checked.
    pub decl: u32,
}

impl Const {
    pub fn new(signature: &Signature, kind: Kind, decl: u32) -> Const {
        Const {
            name: signature.name,
            params: signature.universe_params.clone(),
            ty: signature.ty,
            kind,
            decl,
        }
    }

    pub fn signature(&self) -> Signature {
        Signature { name: self.name, universe_params: self.params.clone(), ty: self.ty }
    }

    /// The same constant, wherever it was declared? A statement that came without its proof is the same axiom line. A theorem with
    /// another proof is the same: nothing depends on which proof there is, and the one that was declared first stays. (Lean derives
    /// equations in each module that needs them, and their proofs name what was split off before.)
    pub fn same(&self, other: &Const) -> bool {
        let kind = match (&self.kind, &other.kind) {
            (Kind::Thm { .. }, Kind::Thm { .. }) => true,
            (Kind::Axiom | Kind::Given, Kind::Axiom | Kind::Given) => true,
            (one, other) => one == other,
        };
        self.name == other.name && self.params == other.params && self.ty == other.ty && kind
    }

    /// All expressions that it is made of.
    pub fn exprs(&self) -> Vec<ExprId> {
        let mut es = vec![self.ty];
        match &self.kind {
            Kind::Def { value, .. } | Kind::Thm { value } | Kind::Opaque { value } => es.push(*value),
            Kind::Rec(r) => es.extend(r.rules.iter().map(|r| r.value)),
            Kind::Axiom | Kind::Given | Kind::Quot(_) | Kind::Induct(_) | Kind::Ctor(_) => {}
        }
        es
    }
}

impl From<&InductiveType> for Kind {
    fn from(t: &InductiveType) -> Kind {
        Kind::Induct(Induct {
            nparams: t.num_params,
            nindices: t.num_indices,
            all: t.all.clone(),
            ctors: t.constructors.clone(),
            nested: t.num_nested,
            is_rec: t.is_recursive,
            is_reflexive: t.is_reflexive,
        })
    }
}

impl From<&Constructor> for Kind {
    fn from(c: &Constructor) -> Kind {
        Kind::Ctor(Ctor { induct: c.inductive, cidx: c.index, nparams: c.num_params, nfields: c.num_fields })
    }
}

impl From<&Recursor> for Kind {
    fn from(r: &Recursor) -> Kind {
        Kind::Rec(Rec {
            all: r.all.clone(),
            nparams: r.num_params,
            nindices: r.num_indices,
            nmotives: r.num_motives,
            nminors: r.num_minors,
            rules: r.rules.clone(),
            k: r.k,
        })
    }
}

/// A declaration: where its constants are in its layer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Decl {
    One(u32),
    /// First type, first constructor, first recursor, end.
    Block([u32; 4]),
}

impl Decl {
    /// Its constants.
    pub fn range(self) -> std::ops::Range<usize> {
        match self {
            Decl::One(i) => i as usize..i as usize + 1,
            Decl::Block([from, .., to]) => from as usize..to as usize,
        }
    }
}

/// A set of axioms, sorted.
pub(crate) type Axioms = Arc<[NameId]>;

/// The declarations of one or more files.
#[derive(Clone, Default)]
pub(crate) struct Layer {
    /// Number of the first declaration.
    pub first: u32,
    pub decls: Vec<Decl>,
    pub consts: Vec<Const>,
    pub by_name: Map<NameId, u32>,
    /// What each declaration's axioms are, once known.
    pub axioms: Vec<Axioms>,
}

impl Layer {
    pub fn find(&self, n: NameId) -> Option<&Const> {
        self.by_name.get(&n).map(|i| &self.consts[*i as usize])
    }

    fn absorb(&mut self, above: &Layer) {
        let by = self.consts.len() as u32;
        self.decls.extend(above.decls.iter().map(|d| match *d {
            Decl::One(i) => Decl::One(i + by),
            Decl::Block(at) => Decl::Block(at.map(|i| i + by)),
        }));
        self.by_name.extend(above.by_name.iter().map(|(n, i)| (*n, i + by)));
        self.consts.extend(above.consts.iter().cloned());
        self.axioms.extend(above.axioms.iter().cloned());
    }
}

/// All constants that may be referred to, in layers like the terms they are made of.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    layers: Vec<Arc<Layer>>,
}

impl Environment {
    pub fn find(&self, n: NameId) -> Option<&Const> {
        self.layers.iter().rev().find_map(|l| l.find(n))
    }

    /// Number of declarations.
    pub fn len(&self) -> u32 {
        self.layers.last().map_or(0, |l| l.first + l.decls.len() as u32)
    }

    /// Adds a layer that begins where this ends.
    pub fn push(&mut self, layer: Arc<Layer>) {
        debug_assert!(layer.first == self.len());
        self.layers.push(layer);
    }

    /// Makes few layers of many.
    pub fn merge(&mut self) {
        merge_layers(
            &mut self.layers,
            |l| l.consts.len(),
            |below, above| {
                let mut merged = below.clone();
                merged.absorb(above);
                merged
            },
        );
    }

    /// All layers as one.
    pub fn flattened(&self) -> Layer {
        let mut all = Layer::default();
        self.layers.iter().for_each(|layer| all.absorb(layer));
        all
    }

    fn layer_of(&self, decl: u32) -> Option<&Layer> {
        self.layers.iter().rev().find(|l| l.first <= decl).map(|l| &**l)
    }

    /// A declaration and its layer's constants.
    pub fn decl(&self, k: u32) -> Option<(Decl, &[Const])> {
        let layer = self.layer_of(k)?;
        Some((*layer.decls.get((k - layer.first) as usize)?, &layer.consts))
    }

    /// The constants of a declaration.
    pub fn consts_of(&self, k: u32) -> &[Const] {
        self.decl(k).map_or(&[], |(d, consts)| &consts[d.range()])
    }

    /// The axioms of a declaration of a base.
    pub fn axioms_of(&self, k: u32) -> Option<&Axioms> {
        let layer = self.layer_of(k)?;
        layer.axioms.get((k - layer.first) as usize)
    }

    /// How a declaration is called: the name of its first constant.
    pub fn show(&self, terms: &Terms, k: u32) -> String {
        self.consts_of(k).first().map_or_else(String::new, |c| terms.show(c.name))
    }
}

/// The block that consists of these constants, as it was handed in.
pub(crate) fn block(consts: &[Const]) -> Inductive {
    let mut block = Inductive::default();
    for c in consts {
        let signature = c.signature();
        match &c.kind {
            Kind::Induct(i) => block.types.push(InductiveType {
                signature,
                num_params: i.nparams,
                num_indices: i.nindices,
                all: i.all.clone(),
                constructors: i.ctors.clone(),
                num_nested: i.nested,
                is_recursive: i.is_rec,
                is_reflexive: i.is_reflexive,
            }),
            Kind::Ctor(d) => block.constructors.push(Constructor {
                signature,
                inductive: d.induct,
                index: d.cidx,
                num_params: d.nparams,
                num_fields: d.nfields,
            }),
            Kind::Rec(r) => block.recursors.push(Recursor {
                signature,
                all: r.all.clone(),
                num_params: r.nparams,
                num_indices: r.nindices,
                num_motives: r.nmotives,
                num_minors: r.nminors,
                rules: r.rules.clone(),
                k: r.k,
            }),
            Kind::Axiom
            | Kind::Given
            | Kind::Def { .. }
            | Kind::Thm { .. }
            | Kind::Opaque { .. }
            | Kind::Quot(_) => {}
        }
    }
    block
}
