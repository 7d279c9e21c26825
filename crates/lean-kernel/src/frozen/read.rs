//! Bytes to a base. Entries are made through the same constructors as all terms, which work out the facts about them; each must come out with
//! the id that it had, so that it refers to earlier entries only and none is there twice.

use num_bigint::BigUint;

use super::{DIGEST, FrozenError, MAGIC, digest, tag};
use crate::base::Base;
use crate::declaration::{Height, QuotientPart, RecursorRule};
use crate::environment::{Axioms, Const, Ctor, Decl, Induct, Kind, Layer, Rec};
use crate::known::OpSet;
use crate::limits::Limits;
use crate::term::{Expr, ExprId, Level, LevelId, LevelsId, Name, NameId, NatId, StrId, Terms};

type Result<T> = std::result::Result<T, FrozenError>;

impl Base {
    /// The base that [`Base::write_frozen`] wrote. Its own folder is the only place to take the bytes from: see the module's text.
    ///
    /// # Errors
    /// [`FrozenError`]: load the library's text instead.
    pub fn read_frozen(bytes: &[u8]) -> Result<Base> {
        let (content, end) =
            bytes.split_at_checked(bytes.len().wrapping_sub(DIGEST)).ok_or(FrozenError::Version)?;
        if !content.starts_with(MAGIC) {
            return Err(FrozenError::Version);
        }
        if digest(content) != *end {
            return Err(FrozenError::Digest);
        }
        let mut terms = Terms::bare(&Limits { terms: u32::MAX / 4, steps: u64::MAX, ..Limits::default() });
        let mut from = In { bytes: content, at: MAGIC.len() };
        from.tables(&mut terms)?;
        let ops = OpSet::from_bits(u16::from_le_bytes(from.array()?));
        let layer = from.environment(&terms)?;
        if from.at != content.len() || !terms.begins_with_known() {
            return from.malformed();
        }
        Ok(Base::thawed(terms, layer, ops))
    }
}

struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> In<'a> {
    fn malformed<T>(&self) -> Result<T> {
        Err(FrozenError::Malformed(self.at))
    }

    fn some<T>(&self, value: Option<T>) -> Result<T> {
        value.ok_or(FrozenError::Malformed(self.at))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let bytes = self.some(end.and_then(|end| self.bytes.get(self.at..end)))?;
        self.at += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn word(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn words<const N: usize>(&mut self) -> Result<[u32; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.word()?;
        }
        Ok(words)
    }

    /// A length. Every element has at least a byte, so none can claim more than there is.
    fn length(&mut self) -> Result<usize> {
        let length = self.word()? as usize;
        if length > self.bytes.len() - self.at { self.malformed() } else { Ok(length) }
    }

    fn text(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// A number below `end`.
    fn below(&mut self, end: u32) -> Result<u32> {
        let id = self.word()?;
        if id < end { Ok(id) } else { self.malformed() }
    }

    fn name(&mut self, terms: &Terms) -> Result<NameId> {
        self.below(terms.tables().names.end()).map(NameId)
    }

    fn expr(&mut self, terms: &Terms) -> Result<ExprId> {
        self.below(terms.tables().exprs.end()).map(ExprId)
    }

    fn level(&mut self, terms: &Terms) -> Result<LevelId> {
        self.below(terms.tables().levels.end()).map(LevelId)
    }

    fn names(&mut self, terms: &Terms) -> Result<Vec<NameId>> {
        (0..self.length()?).map(|_| self.name(terms)).collect()
    }

    /// Holds if an entry came out with the id that it must have.
    fn is(&self, made: u32, expected: usize) -> Result<()> {
        if made as usize == expected { Ok(()) } else { self.malformed() }
    }

    fn tables(&mut self, terms: &mut Terms) -> Result<()> {
        for k in 0..self.length()? {
            let text = self.text()?;
            let text = self.some(std::str::from_utf8(text).ok())?;
            self.is(terms.text(text).0, k)?;
        }
        for k in 0..self.length()? {
            let number = BigUint::from_bytes_le(self.text()?);
            self.is(terms.nat(number).0, k)?;
        }
        for k in 0..self.length()? {
            let name = match self.byte()? {
                tag::NAME_ANONYMOUS => Name::Anonymous,
                tag::NAME_STR => Name::Str(self.name(terms)?, StrId(self.below(terms.tables().strs.end())?)),
                tag::NAME_NUM => Name::Num(self.name(terms)?, u64::from_le_bytes(self.array()?)),
                _ => return self.malformed(),
            };
            self.is(terms.name(name).0, k)?;
        }
        for k in 0..self.length()? {
            let level = match self.byte()? {
                tag::ZERO => Level::Zero,
                tag::SUCC => Level::Succ(self.level(terms)?),
                tag::MAX => Level::Max(self.level(terms)?, self.level(terms)?),
                tag::IMAX => Level::IMax(self.level(terms)?, self.level(terms)?),
                tag::PARAM => Level::Param(self.name(terms)?),
                _ => return self.malformed(),
            };
            self.is(terms.level(level).0, k)?;
        }
        for k in 0..self.length()? {
            let list: Vec<LevelId> = (0..self.length()?).map(|_| self.level(terms)).collect::<Result<_>>()?;
            self.is(terms.levels(&list).0, k)?;
        }
        let count = self.length()?;
        terms.reserve_exprs(count);
        for k in 0..count {
            let expr = self.node(terms)?;
            self.is(terms.mk(expr).0, k)?;
        }
        if terms.overrun().is_some() { self.malformed() } else { Ok(()) }
    }

    fn node(&mut self, terms: &Terms) -> Result<Expr> {
        Ok(match self.byte()? {
            tag::BVAR => Expr::BVar(self.word()?),
            tag::SORT => Expr::Sort(self.level(terms)?),
            tag::CONST => Expr::Const(self.name(terms)?, LevelsId(self.below(terms.tables().lists.end())?)),
            tag::APP => Expr::App(self.expr(terms)?, self.expr(terms)?),
            tag::LAM => Expr::Lam(self.expr(terms)?, self.expr(terms)?),
            tag::PI => Expr::Pi(self.expr(terms)?, self.expr(terms)?),
            tag::LET => Expr::Let(self.expr(terms)?, self.expr(terms)?, self.expr(terms)?),
            tag::PROJ => Expr::Proj(self.name(terms)?, self.word()?, self.expr(terms)?),
            tag::NAT => Expr::Nat(NatId(self.below(terms.tables().nats.end())?)),
            tag::STR => Expr::Str(StrId(self.below(terms.tables().strs.end())?)),
            _ => return self.malformed(),
        })
    }

    fn environment(&mut self, terms: &Terms) -> Result<Layer> {
        let count = self.length()?;
        let mut layer = Layer { consts: Vec::with_capacity(count), ..Layer::default() };
        layer.by_name.reserve(count);
        for k in 0..count {
            let constant = self.constant(terms)?;
            if layer.by_name.insert(constant.name, k as u32).is_some() {
                return self.malformed();
            }
            layer.consts.push(constant);
        }
        // Every constant belongs to one declaration, and they follow one another.
        let mut next = 0;
        for k in 0..self.length()? {
            let decl = match self.byte()? {
                tag::ONE => Decl::One(self.word()?),
                tag::BLOCK => Decl::Block(self.words()?),
                _ => return self.malformed(),
            };
            let range = decl.range();
            let sorted = match decl {
                Decl::One(_) => true,
                Decl::Block(at) => at.is_sorted(),
            };
            let own = layer.consts.get(range.clone()).filter(|_| sorted && range.start == next);
            if !own.is_some_and(|own| own.iter().all(|c| c.decl as usize == k)) {
                return self.malformed();
            }
            next = range.end;
            layer.decls.push(decl);
        }
        if next != layer.consts.len() {
            return self.malformed();
        }
        let sets: Vec<Axioms> =
            (0..self.length()?).map(|_| Ok(self.names(terms)?.into())).collect::<Result<_>>()?;
        for _ in 0..layer.decls.len() {
            let set = self.word()?;
            layer.axioms.push(self.some(sets.get(set as usize))?.clone());
        }
        Ok(layer)
    }

    fn constant(&mut self, terms: &Terms) -> Result<Const> {
        let name = self.name(terms)?;
        let params = self.names(terms)?;
        let ty = self.expr(terms)?;
        let decl = self.word()?;
        let kind = match self.byte()? {
            tag::AXIOM => Kind::Axiom,
            tag::GIVEN => Kind::Given,
            tag::DEF => {
                let value = self.expr(terms)?;
                let height = match (self.byte()?, self.word()?) {
                    (tag::LAST, 0) => Height::Opaque,
                    (tag::REGULAR, height) => Height::Regular(height),
                    (tag::FIRST, 0) => Height::Abbreviation,
                    _ => return self.malformed(),
                };
                Kind::Def { value, height }
            }
            tag::THM => Kind::Thm { value: self.expr(terms)? },
            tag::OPAQUE => Kind::Opaque { value: self.expr(terms)? },
            tag::QUOT => Kind::Quot(match self.byte()? {
                0 => QuotientPart::Type,
                1 => QuotientPart::Constructor,
                2 => QuotientPart::Lift,
                3 => QuotientPart::Induction,
                _ => return self.malformed(),
            }),
            tag::INDUCT => {
                let [nparams, nindices, nested] = self.words()?;
                let (all, ctors) = (self.names(terms)?, self.names(terms)?);
                let flags = self.byte()?;
                let (is_rec, is_reflexive) = (flags & 1 != 0, flags & 2 != 0);
                Kind::Induct(Induct { nparams, nindices, all, ctors, nested, is_rec, is_reflexive })
            }
            tag::CTOR => {
                let induct = self.name(terms)?;
                let [cidx, nparams, nfields] = self.words()?;
                Kind::Ctor(Ctor { induct, cidx, nparams, nfields })
            }
            tag::REC => {
                let [nparams, nindices, nmotives, nminors] = self.words()?;
                let all = self.names(terms)?;
                let rules = (0..self.length()?)
                    .map(|_| {
                        let constructor = self.name(terms)?;
                        let num_fields = self.word()?;
                        Ok(RecursorRule { constructor, num_fields, value: self.expr(terms)? })
                    })
                    .collect::<Result<_>>()?;
                let k = self.byte()? != 0;
                Kind::Rec(Rec { all, nparams, nindices, nmotives, nminors, rules, k })
            }
            _ => return self.malformed(),
        };
        let constant = Const { name, params, ty, kind, decl };
        if constant.exprs().iter().all(|e| terms.closed(*e)) { Ok(constant) } else { self.malformed() }
    }
}
