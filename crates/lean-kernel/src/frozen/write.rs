//! A base to bytes.

use std::io::{self, Write};

use super::{MAGIC, digest, tag};
use crate::base::Base;
use crate::declaration::{Height, QuotientPart};
use crate::environment::{Axioms, Const, Decl, Kind, Layer};
use crate::term::{Expr, Level, Map, Name, NameId, Tables};

impl Base {
    /// Writes this base so that [`Base::read_frozen`] makes the same of it, in another process too.
    ///
    /// # Errors
    /// Those of `to`; [`io::ErrorKind::InvalidData`] for a base with terms that only a running check has.
    pub fn write_frozen(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut out = Out(MAGIC.to_vec());
        let layers: Vec<&Tables> = self.tables().iter().map(|tables| &**tables).collect();
        out.tables(&layers)?;
        out.0.extend(self.ops().bits().to_le_bytes());
        out.environment(&self.environment().flattened());
        let digest = digest(&out.0);
        to.write_all(&out.0)?;
        to.write_all(&digest)
    }
}

struct Out(Vec<u8>);

impl Out {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn word(&mut self, word: u32) {
        self.0.extend(word.to_le_bytes());
    }

    fn words(&mut self, tag: u8, words: &[u32]) {
        self.byte(tag);
        words.iter().for_each(|word| self.word(*word));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u32);
        self.0.extend(bytes);
    }

    fn names(&mut self, names: &[NameId]) {
        self.word(names.len() as u32);
        names.iter().for_each(|name| self.word(name.0));
    }

    fn tables(&mut self, layers: &[&Tables]) -> io::Result<()> {
        let count = |of: fn(&Tables) -> usize| layers.iter().map(|tables| of(tables)).sum::<usize>() as u32;
        self.word(count(|t| t.strs.len()));
        layers.iter().flat_map(|t| t.strs.iter()).for_each(|text| self.bytes(text.as_bytes()));
        self.word(count(|t| t.nats.len()));
        layers.iter().flat_map(|t| t.nats.iter()).for_each(|number| self.bytes(&number.to_bytes_le()));
        self.word(count(|t| t.names.len()));
        for name in layers.iter().flat_map(|t| t.names.iter()) {
            match *name {
                Name::Anonymous => self.byte(tag::NAME_ANONYMOUS),
                Name::Str(before, text) => self.words(tag::NAME_STR, &[before.0, text.0]),
                Name::Num(before, number) => {
                    self.words(tag::NAME_NUM, &[before.0]);
                    self.0.extend(number.to_le_bytes());
                }
            }
        }
        self.word(count(|t| t.levels.len()));
        for node in layers.iter().flat_map(|t| t.levels.iter()) {
            match node.level {
                Level::Zero => self.byte(tag::ZERO),
                Level::Succ(a) => self.words(tag::SUCC, &[a.0]),
                Level::Max(a, b) => self.words(tag::MAX, &[a.0, b.0]),
                Level::IMax(a, b) => self.words(tag::IMAX, &[a.0, b.0]),
                Level::Param(name) => self.words(tag::PARAM, &[name.0]),
            }
        }
        self.word(count(|t| t.lists.len()));
        for list in layers.iter().flat_map(|t| t.lists.iter()) {
            self.word(list.len() as u32);
            list.iter().for_each(|level| self.word(level.0));
        }
        self.word(count(|t| t.exprs.len()));
        for node in layers.iter().flat_map(|t| t.exprs.iter()) {
            match node.expr {
                Expr::BVar(i) => self.words(tag::BVAR, &[i]),
                Expr::Sort(level) => self.words(tag::SORT, &[level.0]),
                Expr::Const(name, levels) => self.words(tag::CONST, &[name.0, levels.0]),
                Expr::App(f, a) => self.words(tag::APP, &[f.0, a.0]),
                Expr::Lam(d, b) => self.words(tag::LAM, &[d.0, b.0]),
                Expr::Pi(d, b) => self.words(tag::PI, &[d.0, b.0]),
                Expr::Let(t, v, b) => self.words(tag::LET, &[t.0, v.0, b.0]),
                Expr::Proj(name, field, of) => self.words(tag::PROJ, &[name.0, field, of.0]),
                Expr::Nat(number) => self.words(tag::NAT, &[number.0]),
                Expr::Str(text) => self.words(tag::STR, &[text.0]),
                Expr::FVar(..) => {
                    let what = "a base with the variables of a check under way";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            }
        }
        Ok(())
    }

    fn environment(&mut self, layer: &Layer) {
        self.word(layer.consts.len() as u32);
        layer.consts.iter().for_each(|constant| self.constant(constant));
        self.word(layer.decls.len() as u32);
        for decl in &layer.decls {
            match *decl {
                Decl::One(at) => self.words(tag::ONE, &[at]),
                Decl::Block(at) => self.words(tag::BLOCK, &at),
            }
        }
        let mut sets: Vec<&Axioms> = vec![];
        let mut known: Map<&[NameId], u32> = Map::default();
        let of: Vec<u32> = layer
            .axioms
            .iter()
            .map(|axioms| {
                *known.entry(axioms).or_insert_with(|| {
                    sets.push(axioms);
                    sets.len() as u32 - 1
                })
            })
            .collect();
        self.word(sets.len() as u32);
        sets.iter().for_each(|axioms| self.names(axioms));
        of.iter().for_each(|set| self.word(*set));
    }

    fn constant(&mut self, c: &Const) {
        self.word(c.name.0);
        self.names(&c.params);
        self.word(c.ty.0);
        self.word(c.decl);
        match &c.kind {
            Kind::Axiom => self.byte(tag::AXIOM),
            Kind::Given => self.byte(tag::GIVEN),
            Kind::Def { value, height } => {
                self.words(tag::DEF, &[value.0]);
                match height {
                    Height::Opaque => self.words(tag::LAST, &[0]),
                    Height::Regular(height) => self.words(tag::REGULAR, &[*height]),
                    Height::Abbreviation => self.words(tag::FIRST, &[0]),
                }
            }
            Kind::Thm { value } => self.words(tag::THM, &[value.0]),
            Kind::Opaque { value } => self.words(tag::OPAQUE, &[value.0]),
            Kind::Quot(part) => {
                self.byte(tag::QUOT);
                self.byte(match part {
                    QuotientPart::Type => 0,
                    QuotientPart::Constructor => 1,
                    QuotientPart::Lift => 2,
                    QuotientPart::Induction => 3,
                });
            }
            Kind::Induct(i) => {
                self.words(tag::INDUCT, &[i.nparams, i.nindices, i.nested]);
                self.names(&i.all);
                self.names(&i.ctors);
                self.byte(u8::from(i.is_rec) | u8::from(i.is_reflexive) << 1);
            }
            Kind::Ctor(c) => self.words(tag::CTOR, &[c.induct.0, c.cidx, c.nparams, c.nfields]),
            Kind::Rec(r) => {
                self.words(tag::REC, &[r.nparams, r.nindices, r.nmotives, r.nminors]);
                self.names(&r.all);
                self.word(r.rules.len() as u32);
                for rule in &r.rules {
                    [rule.constructor.0, rule.num_fields, rule.value.0].iter().for_each(|w| self.word(*w));
                }
                self.byte(u8::from(r.k));
            }
        }
    }
}
