//! Writes declarations, with all that they rest on, for other checkers.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::declaration::{Declaration, Height, QuotientPart, Signature};
use crate::declarations::Declarations;
use crate::environment::Kind;
use crate::term::{ANONYMOUS, Expr, ExprId, Level, LevelId, Map, Name, NameId, Set, Terms, ZERO};

/// Writes the declarations of `names` and everything that they rest on, what is needed first, in format 3.1.0.
///
/// Names and kinds of binders are not kept by this kernel, so all binders are anonymous and explicit; definitions that were made
/// together are written as if each was alone. Neither means anything to a checker. A constant of the base that came without its
/// value is an `axiom` line; names that are declared nowhere are left out, and the reader will refuse what needs them.
///
/// # Errors
/// Those of `out`.
pub fn write(
    terms: &Terms,
    declarations: &Declarations,
    names: &[NameId],
    out: &mut dyn Write,
) -> io::Result<()> {
    write_with_kinds(terms, declarations, names, out, &mut io::sink())
}

/// [`write()`], and to `kinds` a line `#base opaque ID NAME` for each constant of the base that came without its value, as
/// [`Reader::read_given`](super::Reader::read_given) reads it. What the library that it came from declares there, theorem or definition, is not known.
///
/// # Errors
/// Those of `out` and `kinds`.
pub fn write_with_kinds(
    terms: &Terms,
    declarations: &Declarations,
    names: &[NameId],
    out: &mut dyn Write,
    kinds: &mut dyn Write,
) -> io::Result<()> {
    let mut w =
        Writer { t: terms, out, names: Map::default(), levels: Map::default(), exprs: Map::default() };
    w.names.insert(ANONYMOUS, 0);
    w.levels.insert(ZERO, 0);
    w.line(&json!({"meta": {
        "exporter": {"name": "atlas-kernel", "version": env!("CARGO_PKG_VERSION")},
        "lean": {"githash": "", "version": ""},
        "format": {"version": "3.1.0"},
    }}))?;
    for n in in_order(terms, declarations, names) {
        if let Some(d) = declarations.get(n) {
            w.declaration(&d)?;
        }
        if declarations.find(n).is_some_and(|c| c.kind == Kind::Given) {
            writeln!(kinds, "#base opaque {} {}", w.name(n)?, terms.show(n))?;
        }
    }
    Ok(())
}

/// One name for each declaration that is reached, after those that it needs.
fn in_order(terms: &Terms, declarations: &Declarations, roots: &[NameId]) -> Vec<NameId> {
    let mut order = Vec::new();
    let (mut begun, mut done) = (Set::default(), Set::default());
    let mut todo: Vec<NameId> = roots.iter().rev().copied().collect();
    while let Some(n) = todo.last().copied() {
        let Some(c) = declarations.find(n) else {
            todo.pop();
            continue;
        };
        let siblings = declarations.siblings(c);
        let unit = siblings.first().map_or(n, |s| s.name);
        if done.contains(&unit) {
            todo.pop();
        } else if begun.insert(unit) {
            let exprs = siblings.iter().flat_map(|s| s.exprs());
            let needs = terms.constants(exprs, &mut Set::default());
            todo.extend(needs.into_iter().filter(|m| siblings.iter().all(|s| s.name != *m)));
            if c.name == terms.known.quot_lift {
                todo.extend([terms.known.quot_mk, terms.known.eq]);
            }
        } else {
            done.insert(unit);
            order.push(unit);
            todo.pop();
        }
    }
    order
}

struct Writer<'w> {
    t: &'w Terms,
    out: &'w mut dyn Write,
    names: Map<NameId, usize>,
    levels: Map<LevelId, usize>,
    exprs: Map<ExprId, usize>,
}

impl Writer<'_> {
    fn line(&mut self, v: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.out, v)?;
        self.out.write_all(b"\n")
    }

    fn name(&mut self, n: NameId) -> io::Result<usize> {
        if let Some(id) = self.names.get(&n) {
            return Ok(*id);
        }
        let node = match self.t.get_name(n) {
            Name::Anonymous => return Ok(0),
            Name::Str(p, s) => json!({"str": {"pre": self.name(p)?, "str": self.t.get_text(s)}}),
            Name::Num(p, i) => json!({"num": {"pre": self.name(p)?, "i": i}}),
        };
        let id = self.names.len();
        self.names.insert(n, id);
        self.node(node, "in", id)
    }

    fn node(&mut self, mut node: Value, table: &str, id: usize) -> io::Result<usize> {
        node[table] = id.into();
        self.line(&node)?;
        Ok(id)
    }

    fn name_list(&mut self, ns: &[NameId]) -> io::Result<Vec<usize>> {
        ns.iter().map(|n| self.name(*n)).collect()
    }

    fn level(&mut self, l: LevelId) -> io::Result<usize> {
        if let Some(id) = self.levels.get(&l) {
            return Ok(*id);
        }
        let node = match self.t.get_level(l) {
            Level::Zero => return Ok(0),
            Level::Succ(a) => json!({"succ": self.level(a)?}),
            Level::Max(a, b) => json!({"max": [self.level(a)?, self.level(b)?]}),
            Level::IMax(a, b) => json!({"imax": [self.level(a)?, self.level(b)?]}),
            Level::Param(p) => json!({"param": self.name(p)?}),
        };
        let id = self.levels.len();
        self.levels.insert(l, id);
        self.node(node, "il", id)
    }

    /// Bottom up, with a stack of its own.
    fn expr(&mut self, e: ExprId) -> io::Result<usize> {
        let mut todo = vec![e];
        while let Some(e) = todo.last().copied() {
            let before = todo.len();
            let exprs = &self.exprs;
            self.t.children(e, |c| {
                if !exprs.contains_key(&c) {
                    todo.push(c);
                }
            });
            if todo.len() == before {
                todo.pop();
                if !self.exprs.contains_key(&e) {
                    let node = self.expr_node(e)?;
                    let id = self.exprs.len();
                    self.exprs.insert(e, id);
                    self.node(node, "ie", id)?;
                }
            }
        }
        Ok(self.id(e))
    }

    fn id(&self, e: ExprId) -> usize {
        // What is asked for was written before.
        self.exprs.get(&e).copied().unwrap_or(usize::MAX)
    }

    fn expr_node(&mut self, e: ExprId) -> io::Result<Value> {
        Ok(match self.t.get(e) {
            Expr::BVar(i) => json!({"bvar": i}),
            Expr::FVar(..) => return Err(io::Error::other("a free variable in a declaration")),
            Expr::Sort(l) => json!({"sort": self.level(l)?}),
            Expr::Const(n, us) => {
                let us = self.t.get_levels(us).to_vec();
                let us = us.into_iter().map(|l| self.level(l)).collect::<io::Result<Vec<_>>>()?;
                json!({"const": {"name": self.name(n)?, "us": us}})
            }
            Expr::App(f, a) => json!({"app": {"fn": self.id(f), "arg": self.id(a)}}),
            Expr::Lam(d, b) => json!({"lam": self.binder(d, b)}),
            Expr::Pi(d, b) => json!({"forallE": self.binder(d, b)}),
            Expr::Let(t, v, b) => json!({"letE": {
                "name": 0, "type": self.id(t), "value": self.id(v), "body": self.id(b), "nondep": false,
            }}),
            Expr::Proj(n, i, s) => {
                json!({"proj": {"typeName": self.name(n)?, "idx": i, "struct": self.id(s)}})
            }
            Expr::Nat(n) => json!({"natVal": self.t.get_nat(n).to_string()}),
            Expr::Str(s) => json!({"strVal": self.t.get_text(s)}),
        })
    }

    fn binder(&self, d: ExprId, b: ExprId) -> Value {
        json!({"name": 0, "type": self.id(d), "body": self.id(b), "binderInfo": "default"})
    }

    fn signature(&mut self, s: &Signature) -> io::Result<Value> {
        Ok(json!({
            "name": self.name(s.name)?,
            "levelParams": self.name_list(&s.universe_params)?,
            "type": self.expr(s.ty)?,
        }))
    }

    fn declaration(&mut self, d: &Declaration) -> io::Result<()> {
        let line = match d {
            Declaration::Axiom(s) => {
                let mut v = self.signature(s)?;
                v["isUnsafe"] = false.into();
                json!({"axiom": v})
            }
            Declaration::Definition { signature, value, height } => {
                let mut v = self.with_value(signature, *value)?;
                v["safety"] = "safe".into();
                v["hints"] = match height {
                    Height::Opaque => "opaque".into(),
                    Height::Abbreviation => "abbrev".into(),
                    Height::Regular(n) => json!({"regular": n}),
                };
                json!({"def": v})
            }
            Declaration::Theorem { signature, value } => json!({"thm": self.with_value(signature, *value)?}),
            Declaration::Opaque { signature, value } => {
                let mut v = self.with_value(signature, *value)?;
                v["isUnsafe"] = false.into();
                json!({"opaque": v})
            }
            Declaration::Quotient { signature, part } => {
                let mut v = self.signature(signature)?;
                v["kind"] = match part {
                    QuotientPart::Type => "type",
                    QuotientPart::Constructor => "ctor",
                    QuotientPart::Lift => "lift",
                    QuotientPart::Induction => "ind",
                }
                .into();
                json!({"quot": v})
            }
            Declaration::Inductive(block) => json!({"inductive": {
                "types": block.types.iter().map(|t| self.inductive_type(t)).collect::<io::Result<Vec<_>>>()?,
                "ctors": block.constructors.iter().map(|c| self.constructor(c)).collect::<io::Result<Vec<_>>>()?,
                "recs": block.recursors.iter().map(|r| self.recursor(r)).collect::<io::Result<Vec<_>>>()?,
            }}),
        };
        self.line(&line)
    }

    fn with_value(&mut self, s: &Signature, value: ExprId) -> io::Result<Value> {
        let mut v = self.signature(s)?;
        v["value"] = self.expr(value)?.into();
        v["all"] = json!([self.name(s.name)?]);
        Ok(v)
    }

    fn inductive_type(&mut self, t: &crate::InductiveType) -> io::Result<Value> {
        let mut v = self.signature(&t.signature)?;
        v["numParams"] = t.num_params.into();
        v["numIndices"] = t.num_indices.into();
        v["all"] = self.name_list(&t.all)?.into();
        v["ctors"] = self.name_list(&t.constructors)?.into();
        v["numNested"] = t.num_nested.into();
        v["isRec"] = t.is_recursive.into();
        v["isReflexive"] = t.is_reflexive.into();
        v["isUnsafe"] = false.into();
        Ok(v)
    }

    fn constructor(&mut self, c: &crate::Constructor) -> io::Result<Value> {
        let mut v = self.signature(&c.signature)?;
        v["induct"] = self.name(c.inductive)?.into();
        v["cidx"] = c.index.into();
        v["numParams"] = c.num_params.into();
        v["numFields"] = c.num_fields.into();
        v["isUnsafe"] = false.into();
        Ok(v)
    }

    fn recursor(&mut self, r: &crate::Recursor) -> io::Result<Value> {
        let mut v = self.signature(&r.signature)?;
        v["all"] = self.name_list(&r.all)?.into();
        v["numParams"] = r.num_params.into();
        v["numIndices"] = r.num_indices.into();
        v["numMotives"] = r.num_motives.into();
        v["numMinors"] = r.num_minors.into();
        let mut rules = Vec::new();
        for rule in &r.rules {
            rules.push(json!({
                "ctor": self.name(rule.constructor)?, "nfields": rule.num_fields, "rhs": self.expr(rule.value)?,
            }));
        }
        v["rules"] = rules.into();
        v["k"] = r.k.into();
        v["isUnsafe"] = false.into();
        Ok(v)
    }
}
