//! Looking at declarations with the checker's eyes: their binders opened, types, normal forms, equality.
//!
//! For facts *about* declarations that were accepted. No verdict comes from here: what is looked at is taken to be well typed.

use crate::checker::Checker;
use crate::declarations::Declarations;
use crate::environment::{Const, Environment, Kind};
use crate::limits::Limits;
use crate::stack;
use crate::term::{Expr, ExprId, Level, NameId, Set, Terms};

/// A question that was not answered within the limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the question takes too many steps")]
pub struct OutOfReach;

/// Answers of an [`Inspector`].
pub type Seen<T> = Result<T, OutOfReach>;

/// What a constant is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nature {
    /// Without a value and without an argument for it.
    Axiom,
    /// Of a library that came without values: a theorem, definition or opaque constant.
    Given,
    /// It unfolds.
    Definition,
    /// A proof of a proposition.
    Theorem,
    /// It has a value and does not unfold.
    Opaque,
    /// A type of an inductive block.
    Inductive,
    /// A constructor.
    Constructor,
    /// A recursor.
    Recursor,
    /// A constant of quotient types.
    Quotient,
}

/// A type with one constructor and without indices: its values are what their fields are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Structure {
    /// Its constructor.
    pub constructor: NameId,
    /// Parameters of the type.
    pub params: u32,
    /// Arguments of the constructor after the parameters.
    pub fields: u32,
}

/// Looks at declarations and what they rest on.
pub struct Inspector<'a> {
    ck: Checker<'a>,
    env: &'a Environment,
    limits: &'a Limits,
}

impl Declarations {
    /// Lets `look` look at these declarations and their base. Each question may take [`Limits::steps`], counted from the last
    /// [`Inspector::begin`]. Blocks the calling thread; `None`: the looking failed (a panic).
    pub fn inspect<R: Send>(
        &self,
        terms: &mut Terms,
        limits: &Limits,
        look: impl FnOnce(&mut Inspector<'_>) -> R + Send,
    ) -> Option<R> {
        let tables = terms.freeze();
        let (known, env) = (terms.known, self.environment());
        stack::run(limits, || {
            let ck = Checker::new(tables, known, &env, self.ops, limits);
            let mut inspector = Inspector { ck, env: &env, limits };
            inspector.begin();
            look(&mut inspector)
        })
    }
}

impl Inspector<'_> {
    /// Forgets every term that was made, and counts steps anew. Ids of what is declared stay what they are; no other may be kept.
    pub fn begin(&mut self) {
        self.ck.reset(self.env.len(), self.limits.steps);
    }

    /// The terms, to look at.
    pub fn terms(&self) -> &Terms {
        &self.ck.t
    }

    fn find(&self, name: NameId) -> Option<&Const> {
        self.env.find(name)
    }

    /// The names that are declared from the declaration with this number on, in order.
    pub fn names_from(&self, first: usize) -> Vec<NameId> {
        let first = u32::try_from(first).unwrap_or(u32::MAX);
        (first..self.env.len()).flat_map(|k| self.env.consts_of(k)).map(|c| c.name).collect()
    }

    /// The number of the declaration that brings a name, counted through the base.
    pub fn number(&self, name: NameId) -> Option<usize> {
        self.find(name).map(|c| c.decl as usize)
    }

    /// What the name is declared as.
    pub fn nature(&self, name: NameId) -> Option<Nature> {
        Some(match self.find(name)?.kind {
            Kind::Axiom => Nature::Axiom,
            Kind::Given => Nature::Given,
            Kind::Def { .. } => Nature::Definition,
            Kind::Thm { .. } => Nature::Theorem,
            Kind::Opaque { .. } => Nature::Opaque,
            Kind::Quot(_) => Nature::Quotient,
            Kind::Induct(_) => Nature::Inductive,
            Kind::Ctor(_) => Nature::Constructor,
            Kind::Rec(_) => Nature::Recursor,
        })
    }

    /// The type of a constant, with its universe parameters.
    pub fn declared_type(&self, name: NameId) -> Option<ExprId> {
        self.find(name).map(|c| c.ty)
    }

    /// The value of a definition, a theorem or an opaque constant.
    pub fn value(&self, name: NameId) -> Option<ExprId> {
        match self.find(name)?.kind {
            Kind::Def { value, .. } | Kind::Thm { value } | Kind::Opaque { value } => Some(value),
            _ => None,
        }
    }

    /// The constructors of an inductive type.
    pub fn constructors(&self, name: NameId) -> Option<Vec<NameId>> {
        match &self.find(name)?.kind {
            Kind::Induct(inductive) => Some(inductive.ctors.clone()),
            _ => None,
        }
    }

    /// The constructor's type, and its parameters.
    pub fn constructed(&self, name: NameId) -> Option<(NameId, u32)> {
        match &self.find(name)?.kind {
            Kind::Ctor(ctor) => Some((ctor.induct, ctor.nparams)),
            _ => None,
        }
    }

    /// A type as a structure, if it is one.
    pub fn structure(&self, name: NameId) -> Option<Structure> {
        let Kind::Induct(inductive) = &self.find(name)?.kind else { return None };
        let [constructor] = inductive.ctors[..] else { return None };
        let Kind::Ctor(ctor) = &self.find(constructor)?.kind else { return None };
        let plain = inductive.nindices == 0 && !inductive.is_rec && inductive.all.len() == 1;
        plain.then_some(Structure { constructor, params: ctor.nparams, fields: ctor.nfields })
    }

    // ---- terms ----

    /// Opens the function types that a type begins with: a variable for each, and what is left.
    pub fn open(&mut self, ty: ExprId) -> (Vec<ExprId>, ExprId) {
        let (mut rest, mut vars) = (ty, Vec::new());
        while let Expr::Pi(domain, codomain) = self.ck.t.get(rest) {
            let domain = self.ck.t.inst(domain, &vars);
            vars.push(self.ck.var(domain));
            rest = codomain;
        }
        let rest = self.ck.t.inst(rest, &vars);
        (vars, rest)
    }

    /// A new variable of this type.
    pub fn variable(&mut self, ty: ExprId) -> ExprId {
        self.ck.var(ty)
    }

    /// The type of a variable.
    pub fn variable_type(&self, var: ExprId) -> Option<ExprId> {
        match self.ck.t.get(var) {
            Expr::FVar(_, ty) => Some(ty),
            _ => None,
        }
    }

    /// A function at these arguments, with the β steps that there are at its head.
    pub fn apply(&mut self, function: ExprId, args: &[ExprId]) -> ExprId {
        self.ck.beta(function, args)
    }

    /// The body of a function, or the codomain of a function type, at an argument; another term is left as it is.
    pub fn body(&mut self, e: ExprId, arg: ExprId) -> ExprId {
        match self.ck.t.get(e) {
            Expr::Lam(_, body) | Expr::Pi(_, body) => self.ck.t.inst(body, &[arg]),
            _ => e,
        }
    }

    /// The body of a local definition with its value in it.
    pub fn apply_let(&mut self, body: ExprId, value: ExprId) -> ExprId {
        self.ck.t.inst(body, &[value])
    }

    /// The codomain of a function type at an argument; `None`: it is no function type, not even unfolded.
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn codomain(&mut self, ty: ExprId, arg: ExprId) -> Seen<Option<(ExprId, ExprId)>> {
        let ty = self.whnf(ty)?;
        Ok(match self.ck.t.get(ty) {
            Expr::Pi(domain, codomain) => Some((domain, self.ck.t.inst(codomain, &[arg]))),
            _ => None,
        })
    }

    /// The function type from the variables to `body`.
    pub fn closed_over(&mut self, vars: &[ExprId], body: ExprId) -> ExprId {
        self.ck.t.pis(vars, body)
    }

    /// Field `field` of `value`, of the structure with this name.
    pub fn projection(&mut self, structure: NameId, field: u32, value: ExprId) -> ExprId {
        self.ck.t.mk(Expr::Proj(structure, field, value))
    }

    /// Of a structure's type (unfolded if need be) and a value of it: the structure's name, and the type of each field. Earlier fields
    /// stand in it as projections of `value`; data that cannot be had out of a proof, as a new variable.
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn fields(&mut self, ty: ExprId, value: ExprId) -> Seen<Option<(NameId, Vec<ExprId>)>> {
        let known = |see: &Self, ty| see.head(ty).is_some_and(|name| see.structure(name).is_some());
        let ty = if known(self, ty) { ty } else { self.whnf(ty)? };
        let Some((name, levels)) = self.ck.t.head_const(ty) else { return Ok(None) };
        let Some(structure) = self.structure(name) else { return Ok(None) };
        let (_, args) = self.spine(ty);
        let proof = self.is_proposition(ty)?;
        let mut rest = self.ck.const_type(structure.constructor, levels).map_err(|_| OutOfReach)?;
        for arg in args.iter().take(structure.params as usize) {
            let Some((_, codomain)) = self.codomain(rest, *arg)? else { return Ok(None) };
            rest = codomain;
        }
        let mut types = Vec::new();
        for field in 0..structure.fields {
            let opened = self.whnf(rest)?;
            let Expr::Pi(domain, codomain) = self.ck.t.get(opened) else { return Ok(None) };
            let data = proof && !self.is_proposition(domain)?;
            let here = if data { self.variable(domain) } else { self.projection(name, field, value) };
            types.push(domain);
            rest = self.ck.t.inst(codomain, &[here]);
        }
        Ok(Some((name, types)))
    }

    /// Head and arguments of an application.
    pub fn spine(&self, e: ExprId) -> (ExprId, Vec<ExprId>) {
        self.ck.t.spine(e)
    }

    /// The constant at the head of an application.
    pub fn head(&self, e: ExprId) -> Option<NameId> {
        self.ck.t.head_const(e).map(|(name, _)| name)
    }

    /// Is it the type of all propositions?
    pub fn is_prop_sort(&self, e: ExprId) -> bool {
        matches!(self.ck.t.get(e), Expr::Sort(level) if self.ck.t.get_level(level) == Level::Zero)
    }

    /// The constants that a term names, each once.
    pub fn constants(&self, e: ExprId) -> Vec<NameId> {
        let mut names = self.ck.t.constants([e], &mut Set::default());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// All terms within a term, itself among them, each once.
    pub fn subterms(&self, e: ExprId) -> Vec<ExprId> {
        let (mut seen, mut todo, mut found) = (Set::default(), vec![e], vec![]);
        while let Some(e) = todo.pop() {
            if seen.insert(e) {
                found.push(e);
                self.ck.t.children(e, |child| todo.push(child));
            }
        }
        found
    }

    // ---- questions ----

    /// The type of a well-typed term.
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn infer(&mut self, e: ExprId) -> Seen<ExprId> {
        self.ck.infer(e).map_err(|_| OutOfReach)
    }

    /// Is this type a proposition, whatever the universe parameters are?
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn is_proposition(&mut self, ty: ExprId) -> Seen<bool> {
        self.ck.is_prop(ty).map_err(|_| OutOfReach)
    }

    /// Weak head normal form.
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn whnf(&mut self, e: ExprId) -> Seen<ExprId> {
        self.ck.whnf(e).map_err(|_| OutOfReach)
    }

    /// Are two well-typed terms equal by computation?
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn equal(&mut self, a: ExprId, b: ExprId) -> Seen<bool> {
        self.ck.defeq(a, b).map_err(|_| OutOfReach)
    }
}
