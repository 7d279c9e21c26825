//! A block of mutually inductive types: what is handed in is taken apart and put in order.

use crate::checker::Checker;
use crate::declaration::{Inductive, Signature};
use crate::environment::{Const, Ctor, Induct, Kind};
use crate::fault::{Checked, Rule, wrong};
use crate::term::{Expr, ExprId, LevelId, LevelsId, Map, NameId, ZERO};

/// A type of the block; stand-ins for nested occurrences come after the real ones.
pub(super) struct Type {
    pub name: NameId,
    pub ty: ExprId,
    pub ctors: Vec<(NameId, ExprId)>,
    pub nindices: usize,
}

/// A stand-in for a nested occurrence.
pub(super) struct Aux {
    pub name: NameId,
    /// What it stands for, over the block's parameter variables: `List (T params)`.
    pub app: ExprId,
    /// Constructor of the stand-in, and the real one.
    pub ctors: Vec<(NameId, NameId)>,
}

/// A field that is a value of the block or a function into it.
pub(super) struct Recursive {
    pub field: ExprId,
    /// The variables of the function.
    pub xs: Vec<ExprId>,
    /// Which type it ends in, and at which indices.
    pub ty: usize,
    pub indices: Vec<ExprId>,
}

/// What a constructor takes and gives.
pub(super) struct Shape {
    pub fields: Vec<ExprId>,
    pub recursive: Vec<Recursive>,
    /// Indices of its result.
    pub indices: Vec<ExprId>,
}

pub(super) struct Block<'c, 'a> {
    pub ck: &'c mut Checker<'a>,
    pub uparams: Vec<NameId>,
    pub us: LevelsId,
    pub nparams: u32,
    /// A variable for each parameter.
    pub params: Vec<ExprId>,
    pub types: Vec<Type>,
    /// How many of `types` are real.
    pub own: usize,
    pub aux: Vec<Aux>,
    /// The universe that the types live in.
    pub level: LevelId,
    /// Nested occurrences replaced so far.
    pub replaced: Map<ExprId, ExprId>,
    /// Constructors by type.
    pub shapes: Vec<Vec<Shape>>,
    pub is_rec: bool,
    pub is_reflexive: bool,
    /// Are the numbers of indices to be found, not verified?
    completing: bool,
    /// For so many types: which terms mention them.
    mentioning: (usize, Map<ExprId, bool>),
}

/// Checks a block with everything that was handed in for it.
pub(crate) fn check(
    ck: &mut Checker<'_>,
    types: &[&Const],
    ctors: &[&Const],
    recs: &[&Const],
) -> Checked<()> {
    let mut b = Block::open(ck, types, ctors)?;
    b.analyse(types, ctors)?;
    for t in types {
        if let Kind::Induct(i) = &t.kind
            && (i.is_rec != b.is_rec || i.nested as usize != b.aux.len() || i.is_reflexive != b.is_reflexive)
        {
            return wrong(Rule::InductiveType, "flags of the inductive type are wrong");
        }
    }
    for c in ctors {
        if let Kind::Ctor(d) = &c.kind
            && b.fields_of(c.name) != Some(d.nfields as usize)
        {
            return wrong(Rule::Constructor, format!("{}: wrong number of fields", b.ck.t.show(c.name)));
        }
    }
    b.compare_recursors(ctors, recs)
}

/// Computes what a block's types and constructors leave no choice in: flags, numbers of fields, recursors. Of the types only
/// signatures, numbers of parameters and names of constructors are used, of the constructors only the signatures.
pub(crate) fn complete(ck: &mut Checker<'_>, given: &Inductive) -> Checked<Inductive> {
    let mut block = given.clone();
    let names: Vec<NameId> = block.types.iter().map(|t| t.signature.name).collect();
    let nparams = block.types.first().map_or(0, |t| t.num_params);
    let mut rest = block.constructors.iter_mut();
    for t in &mut block.types {
        t.all.clone_from(&names);
        for (k, _) in t.constructors.iter().enumerate() {
            if let Some(c) = rest.next() {
                (c.inductive, c.index, c.num_params) = (t.signature.name, k as u32, nparams);
            }
        }
    }
    let as_const = |signature: &Signature, kind: Kind| Const::new(signature, kind, 0);
    let types: Vec<Const> = block.types.iter().map(|t| as_const(&t.signature, t.into())).collect();
    let ctors: Vec<Const> = block.constructors.iter().map(|c| as_const(&c.signature, c.into())).collect();
    let (types, ctors): (Vec<&Const>, Vec<&Const>) = (types.iter().collect(), ctors.iter().collect());
    let mut b = Block::open(ck, &types, &ctors)?;
    b.completing = true;
    b.analyse(&types, &ctors)?;
    for (t, made) in block.types.iter_mut().zip(&b.types) {
        t.num_indices = made.nindices as u32;
        (t.num_nested, t.is_recursive, t.is_reflexive) = (b.aux.len() as u32, b.is_rec, b.is_reflexive);
    }
    for c in &mut block.constructors {
        c.num_fields = b.fields_of(c.signature.name).unwrap_or(0) as u32;
    }
    block.recursors = b.make_recursors(&ctors)?;
    Ok(block)
}

impl<'c, 'a> Block<'c, 'a> {
    /// Puts types and constructors in order and verifies that they say the same about each other.
    fn open(ck: &'c mut Checker<'a>, types: &[&Const], ctors: &[&Const]) -> Checked<Self> {
        let Some(first) = types.first() else { return wrong(Rule::InductiveType, "empty inductive block") };
        let uparams = first.params.clone();
        let names: Vec<NameId> = types.iter().map(|t| t.name).collect();
        let mut given = ctors.iter();
        let (mut list, mut nparams) = (Vec::new(), None);
        for t in types {
            let Kind::Induct(i) = &t.kind else { return wrong(Rule::InductiveType, "not an inductive type") };
            if t.params != uparams || i.all != names || *nparams.get_or_insert(i.nparams) != i.nparams {
                return wrong(Rule::InductiveType, "types of a block disagree");
            }
            let mut cs = Vec::new();
            for (k, n) in i.ctors.iter().enumerate() {
                let Some(c) = given.next() else { return wrong(Rule::Constructor, "constructor missing") };
                let Kind::Ctor(d) = &c.kind else { return wrong(Rule::Constructor, "not a constructor") };
                let agrees = c.name == *n
                    && c.params == uparams
                    && d.induct == t.name
                    && d.cidx as usize == k
                    && d.nparams == i.nparams;
                if !agrees {
                    return wrong(Rule::Constructor, "constructor disagrees with its type");
                }
                cs.push((c.name, c.ty));
            }
            list.push(Type { name: t.name, ty: t.ty, ctors: cs, nindices: i.nindices as usize });
        }
        if given.next().is_some() {
            return wrong(Rule::Constructor, "constructor without a type");
        }
        let us = ck.t.param_levels(&uparams);
        let own = list.len();
        Ok(Block {
            ck,
            uparams,
            us,
            nparams: nparams.unwrap_or(0),
            params: Vec::new(),
            types: list,
            own,
            aux: Vec::new(),
            level: ZERO,
            replaced: Map::default(),
            shapes: Vec::new(),
            is_rec: false,
            is_reflexive: false,
            completing: false,
            mentioning: (0, Map::default()),
        })
    }

    /// Everything but the recursors.
    fn analyse(&mut self, types: &[&Const], ctors: &[&Const]) -> Checked<()> {
        for k in 0..self.own {
            self.check_type(k)?;
        }
        for t in types {
            self.ck.bring((*t).clone());
        }
        for c in ctors {
            self.ck.sort_of(c.ty, true)?;
        }
        self.eliminate_nested()?;
        self.find_flags();
        self.ck.forget();
        self.bring_stand_ins()?;
        for k in 0..self.types.len() {
            let mut shapes = Vec::new();
            for (n, ty) in self.types[k].ctors.clone() {
                if !self.aux.is_empty() {
                    // The constructor has changed: nested occurrences are stand-ins now.
                    self.ck.sort_of(ty, true)?;
                }
                shapes.push(self.check_constructor(k, n, ty)?);
            }
            self.shapes.push(shapes);
        }
        self.bring_constructors();
        Ok(())
    }

    fn bring_stand_ins(&mut self) -> Checked<()> {
        let all: Vec<NameId> = self.types.iter().map(|t| t.name).collect();
        for k in self.own..self.types.len() {
            self.check_type(k)?;
            let t = &self.types[k];
            let ind = Induct {
                nparams: self.nparams,
                nindices: t.nindices as u32,
                all: all.clone(),
                ctors: t.ctors.iter().map(|c| c.0).collect(),
                nested: 0,
                is_rec: self.is_rec,
                is_reflexive: self.is_reflexive,
            };
            let c = Const {
                name: t.name,
                params: self.uparams.clone(),
                ty: t.ty,
                kind: Kind::Induct(ind),
                decl: 0,
            };
            self.ck.bring(c);
        }
        Ok(())
    }

    fn bring_constructors(&mut self) {
        for (t, shapes) in self.types.iter().zip(&self.shapes) {
            for (j, ((n, ty), shape)) in t.ctors.iter().zip(shapes).enumerate() {
                let nfields = shape.fields.len() as u32;
                let kind =
                    Kind::Ctor(Ctor { induct: t.name, cidx: j as u32, nparams: self.nparams, nfields });
                self.ck.bring(Const { name: *n, params: self.uparams.clone(), ty: *ty, kind, decl: 0 });
            }
        }
    }

    /// Number of fields of a constructor.
    fn fields_of(&self, ctor: NameId) -> Option<usize> {
        self.types.iter().zip(&self.shapes).find_map(|(t, shapes)| {
            let j = t.ctors.iter().position(|c| c.0 == ctor)?;
            Some(shapes[j].fields.len())
        })
    }

    pub(super) fn find_type(&self, n: NameId) -> Option<usize> {
        self.types.iter().position(|t| t.name == n)
    }

    /// Does a type of the block occur? Remembered by node while the block has the same types.
    pub(super) fn mentions(&mut self, e: ExprId) -> bool {
        if self.mentioning.0 != self.types.len() {
            self.mentioning = (self.types.len(), Map::default());
        }
        let mut todo = vec![e];
        while let Some(e) = todo.pop() {
            if self.mentioning.1.contains_key(&e) {
                continue;
            }
            self.ck.t.spend(1);
            let here = match self.ck.t.get(e) {
                Expr::Const(n, _) | Expr::Proj(n, _, _) => self.find_type(n).is_some(),
                _ => false,
            };
            let (mut below, mut open) = (here, Vec::new());
            self.ck.t.children(e, |c| match self.mentioning.1.get(&c) {
                Some(m) => below |= *m,
                None => open.push(c),
            });
            if below || open.is_empty() {
                self.mentioning.1.insert(e, below);
            } else {
                // Again when what is below is known.
                todo.push(e);
                todo.append(&mut open);
            }
        }
        self.mentioning.1.get(&e).is_some_and(|m| *m)
    }

    /// `(params) → (indices) → Sort l`, where parameters and universe are those of the block's first type. The type itself is not
    /// known yet, so it cannot occur in its own type.
    fn check_type(&mut self, k: usize) -> Checked<()> {
        let mut ty = self.types[k].ty;
        self.ck.sort_of(ty, true)?;
        for i in 0..self.nparams as usize {
            let w = self.ck.whnf(ty)?;
            let Expr::Pi(d, b) = self.ck.t.get(w) else {
                return wrong(Rule::InductiveType, "inductive type with too few parameters");
            };
            if k == 0 {
                let x = self.ck.var(d);
                self.params.push(x);
            } else {
                let p = self.ck.infer(self.params[i])?;
                if !self.ck.defeq(p, d)? {
                    return wrong(Rule::InductiveType, "parameters of a mutual block disagree");
                }
            }
            ty = self.ck.t.inst(b, &[self.params[i]]);
        }
        let (mut n, vars) = (0, self.ck.vars);
        let l = loop {
            let w = self.ck.whnf(ty)?;
            match self.ck.t.get(w) {
                Expr::Pi(d, b) => {
                    let x = self.ck.var(d);
                    ty = self.ck.t.inst(b, &[x]);
                    n += 1;
                }
                Expr::Sort(l) => break l,
                _ => return wrong(Rule::InductiveType, "an inductive type must end in a sort"),
            }
        };
        self.ck.vars = vars;
        if k == 0 {
            self.level = l;
        } else if !self.ck.level_eq(self.level, l)? {
            return wrong(Rule::InductiveType, "types of a mutual block live in different universes");
        }
        if self.types[k].nindices != n && !self.completing {
            return wrong(Rule::InductiveType, "wrong number of indices");
        }
        self.types[k].nindices = n;
        Ok(())
    }

    /// `ty` behind its first `args.len()` binders.
    pub(super) fn strip(&mut self, ty: ExprId, args: &[ExprId]) -> Checked<ExprId> {
        let mut b = ty;
        for _ in args {
            let Expr::Pi(_, body) = self.ck.t.get(b) else {
                return wrong(Rule::Constructor, "constructor with too few parameters");
            };
            b = body;
        }
        Ok(self.ck.t.inst(b, args))
    }

    /// The types of all constructors' fields, with loose variables.
    fn field_types(&self) -> Vec<ExprId> {
        let mut found = Vec::new();
        for (_, ty) in self.types.iter().flat_map(|t| &t.ctors) {
            let (mut ty, mut k) = (*ty, 0);
            while let Expr::Pi(d, b) = self.ck.t.get(ty) {
                if k >= self.nparams {
                    found.push(d);
                }
                ty = b;
                k += 1;
            }
        }
        found
    }

    /// Is the block recursive, and does a field take a function into it? Structure eta holds only for types that are not
    /// recursive, so the first is no mere hint.
    fn find_flags(&mut self) {
        let fields = self.field_types();
        for d in fields {
            let rec = self.mentions(d);
            self.is_rec |= rec;
            self.is_reflexive |= rec && matches!(self.ck.t.get(d), Expr::Pi(..));
        }
    }
}
