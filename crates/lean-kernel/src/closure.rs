//! What a declaration means: everything that its terms reach.
//!
//! The closure of a constant follows types; values of definitions and of opaque constants; whole inductive blocks with their recursors.
//! It does not follow proofs of theorems: two proofs of a proposition are equal, so nothing depends on which one there is.

use crate::declarations::Declarations;
use crate::digest::{Digest, Digests, Node};
use crate::environment::{Const, Kind};
use crate::term::{ExprId, NameId, Set, Terms};

/// The constants that the terms of `roots` reach, `roots` first. Names that are declared nowhere are among them.
pub fn closure(terms: &Terms, declarations: &Declarations, roots: &[NameId]) -> Vec<NameId> {
    walk(terms, declarations, roots, &|_| true)
}

/// As [`closure`], but does not look into constants that `into` says no to.
pub(crate) fn walk(
    terms: &Terms,
    declarations: &Declarations,
    roots: &[NameId],
    into: &dyn Fn(&Const) -> bool,
) -> Vec<NameId> {
    let (mut seen, mut exprs) = (Set::default(), Set::default());
    let mut found: Vec<NameId> = roots.iter().copied().filter(|n| seen.insert(*n)).collect();
    let mut next = 0;
    while let Some(n) = found.get(next).copied() {
        next += 1;
        let Some(c) = declarations.find(n).filter(|c| into(c)) else { continue };
        let mut names = terms.constants(meaning(c), &mut exprs);
        names.extend(companions(declarations, c));
        found.extend(names.into_iter().filter(|n| seen.insert(*n)));
    }
    found
}

/// The terms that say what a constant is.
pub(crate) fn meaning(c: &Const) -> Vec<ExprId> {
    match &c.kind {
        Kind::Thm { .. } => vec![c.ty],
        _ => c.exprs(),
    }
}

/// Constants that come with this one: a block is one declaration, and the quotient's computation rules involve all its constants.
fn companions(declarations: &Declarations, c: &Const) -> Vec<NameId> {
    match &c.kind {
        Kind::Induct(_) | Kind::Ctor(_) | Kind::Rec(_) => {
            declarations.siblings(c).iter().map(|c| c.name).collect()
        }
        _ => Vec::new(),
    }
}

/// A digest of a declaration with everything that it reaches: equal in every process, and different for declarations that mean
/// different things. What it covers is what [`compare`](crate::compare) compares.
pub fn digest(terms: &Terms, declarations: &Declarations, name: NameId) -> Digest {
    let mut ds = Digests::default();
    let mut parts: Vec<Digest> = closure(terms, declarations, &[name])
        .into_iter()
        .map(|n| match declarations.find(n) {
            Some(c) => constant(&mut ds, terms, c),
            None => Node::new(40).digest(ds.name(terms, n)).end(),
        })
        .collect();
    parts.sort_unstable();
    Node::new(41).digest(ds.name(terms, name)).list(parts.into_iter()).end()
}

fn constant(ds: &mut Digests, t: &Terms, c: &Const) -> Digest {
    let params = ds.names(t, &c.params);
    let tag = match &c.kind {
        // Only their types count, and libraries come without the proofs of their theorems; what is an axiom is reported apart.
        Kind::Axiom | Kind::Given | Kind::Thm { .. } => 50,
        Kind::Def { .. } => 51,
        Kind::Opaque { .. } => 53,
        Kind::Quot(_) => 54,
        Kind::Induct(_) => 55,
        Kind::Ctor(_) => 56,
        Kind::Rec(_) => 57,
    };
    let node = Node::new(tag)
        .digest(ds.name(t, c.name))
        .list(params.into_iter())
        .list(meaning(c).into_iter().map(|e| ds.expr(t, e)).collect::<Vec<_>>().into_iter());
    match &c.kind {
        Kind::Axiom | Kind::Given | Kind::Def { .. } | Kind::Thm { .. } | Kind::Opaque { .. } => node,
        Kind::Quot(part) => node.number(*part as u64),
        Kind::Induct(i) => node
            .number(u64::from(i.nparams))
            .number(u64::from(i.nindices))
            .list(ds.names(t, &i.all).into_iter())
            .list(ds.names(t, &i.ctors).into_iter())
            .number(u64::from(i.nested))
            .number(u64::from(i.is_rec) | u64::from(i.is_reflexive) << 1),
        Kind::Ctor(d) => node
            .digest(ds.name(t, d.induct))
            .number(u64::from(d.cidx))
            .number(u64::from(d.nparams))
            .number(u64::from(d.nfields)),
        Kind::Rec(r) => {
            let rules: Vec<NameId> = r.rules.iter().map(|r| r.constructor).collect();
            let fields = r.rules.iter().fold(String::new(), |s, r| s + &format!("{},", r.num_fields));
            node.list(ds.names(t, &r.all).into_iter())
                .number(u64::from(r.nparams))
                .number(u64::from(r.nindices))
                .number(u64::from(r.nmotives))
                .number(u64::from(r.nminors))
                .number(u64::from(r.k))
                .list(ds.names(t, &rules).into_iter())
                .bytes(fields.as_bytes())
        }
    }
    .end()
}
