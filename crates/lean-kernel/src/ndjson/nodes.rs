//! What each kind of line means.

use num_bigint::BigUint;

use super::bounds::{Read, Refusal, malformed};
use super::json::Json;
use super::reader::Reader;
use crate::declaration::{
    Constructor, Declaration, Height, Inductive, InductiveType, QuotientPart, Recursor, RecursorRule,
    Signature,
};
use crate::term::{ExprId, LevelId, NameId};

/// What an id of the file stands for. Forward references are ids that have not been given out.
fn pick<T: Copy>(table: &[T], id: &Json<'_>) -> Read<T> {
    let id = id.num()?;
    let found = usize::try_from(id).ok().and_then(|i| table.get(i));
    found.copied().ok_or_else(|| Refusal::malformed(format!("the id {id} has not been given out")))
}

impl Reader {
    fn name(&self, id: &Json<'_>) -> Read<NameId> {
        pick(&self.names, id)
    }
    fn names_of(&self, ids: &Json<'_>) -> Read<Vec<NameId>> {
        ids.arr()?.iter().map(|n| self.name(n)).collect()
    }
    fn level(&self, id: &Json<'_>) -> Read<LevelId> {
        pick(&self.levels, id)
    }
    fn expr(&self, id: &Json<'_>) -> Read<ExprId> {
        pick(&self.exprs, id)
    }

    pub(super) fn name_node(&mut self, kind: &str, v: &Json<'_>) -> Read<NameId> {
        let part = match kind {
            "str" => "str",
            "num" => "i",
            _ => return Err(Refusal::unsupported(format!("an unknown kind of name: {kind}"))),
        };
        v.only(&["pre", part])?;
        let pre = self.name(v.at("pre")?)?;
        Ok(match kind {
            "str" => self.terms.name_str(pre, v.at("str")?.str()?)?,
            _ => self.terms.name_num(pre, v.at("i")?.num()?)?,
        })
    }

    pub(super) fn level_node(&mut self, kind: &str, v: &Json<'_>) -> Read<LevelId> {
        let two = |s: &Self| match v.arr()? {
            [a, b] => Ok((s.level(a)?, s.level(b)?)),
            _ => malformed("two levels are expected"),
        };
        Ok(match kind {
            "succ" => {
                let l = self.level(v)?;
                self.terms.level_succ(l)?
            }
            "max" => {
                let (a, b) = two(self)?;
                self.terms.level_max(a, b)?
            }
            "imax" => {
                let (a, b) = two(self)?;
                self.terms.level_imax(a, b)?
            }
            "param" => {
                let n = self.name(v)?;
                self.terms.level_param(n)?
            }
            _ => return Err(Refusal::unsupported(format!("an unknown kind of level: {kind}"))),
        })
    }

    pub(super) fn expr_node(&mut self, kind: &str, v: &Json<'_>) -> Read<ExprId> {
        Ok(match kind {
            "bvar" => self.terms.expr_bvar(v.small()?)?,
            "sort" => {
                let l = self.level(v)?;
                self.terms.expr_sort(l)?
            }
            "const" => {
                v.only(&["name", "us"])?;
                let us = v.at("us")?.arr()?.iter().map(|l| self.level(l)).collect::<Read<Vec<_>>>()?;
                let n = self.name(v.at("name")?)?;
                self.terms.expr_const(n, &us)?
            }
            "app" => {
                v.only(&["fn", "arg"])?;
                let (f, a) = (self.expr(v.at("fn")?)?, self.expr(v.at("arg")?)?);
                self.terms.expr_app(f, a)?
            }
            "lam" | "forallE" => {
                v.only(&["name", "type", "body", "binderInfo"])?;
                self.name(v.at("name")?)?;
                match v.at("binderInfo")?.str()? {
                    "default" | "implicit" | "strictImplicit" | "instImplicit" => {}
                    b => return malformed(format!("an unknown kind of binder: {b}")),
                }
                let (d, b) = (self.expr(v.at("type")?)?, self.expr(v.at("body")?)?);
                if kind == "lam" { self.terms.expr_lam(d, b)? } else { self.terms.expr_pi(d, b)? }
            }
            "letE" => {
                v.only(&["name", "type", "value", "body", "nondep"])?;
                self.name(v.at("name")?)?;
                v.get("nondep").map(Json::bool).transpose()?;
                let (t, x, b) =
                    (self.expr(v.at("type")?)?, self.expr(v.at("value")?)?, self.expr(v.at("body")?)?);
                self.terms.expr_let(t, x, b)?
            }
            "proj" => {
                v.only(&["typeName", "idx", "struct"])?;
                let (n, s) = (self.name(v.at("typeName")?)?, self.expr(v.at("struct")?)?);
                self.terms.expr_proj(n, v.at("idx")?.small()?, s)?
            }
            "natVal" => {
                let n = self.number(v.str()?)?;
                self.terms.expr_nat(n)?
            }
            "strVal" => self.terms.expr_str(v.str()?)?,
            "mdata" => {
                v.only(&["expr", "data"])?;
                self.expr(v.at("expr")?)?
            }
            _ => return Err(Refusal::unsupported(format!("an unknown kind of expression: {kind}"))),
        })
    }

    fn number(&self, digits: &str) -> Read<BigUint> {
        if digits.len() > self.bounds.digits {
            return Err(Refusal::too_big("a number literal is too long"));
        }
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return malformed("a number literal that is no number");
        }
        digits.parse().map_err(|_| Refusal::malformed("a number literal that is no number"))
    }

    fn signature(&self, v: &Json<'_>) -> Read<Signature> {
        if let Some(b) = v.get("isUnsafe")
            && b.bool()?
        {
            return Err(Refusal::unsupported("an unsafe declaration"));
        }
        Ok(Signature {
            name: self.name(v.at("name")?)?,
            universe_params: self.names_of(v.at("levelParams")?)?,
            ty: self.expr(v.at("type")?)?,
        })
    }

    pub(super) fn declaration(&mut self, kind: &str, v: &Json<'_>) -> Read<()> {
        let more: &[&str] = match kind {
            "axiom" => &["isUnsafe"],
            "thm" => &["value", "all"],
            "opaque" => &["value", "all", "isUnsafe"],
            "def" => &["value", "hints", "safety", "all"],
            "quot" => &["kind"],
            "inductive" => {
                let block = self.inductive(v)?;
                self.declarations.add(&self.terms, Declaration::Inductive(block))?;
                return Ok(());
            }
            _ => return Err(Refusal::unsupported(format!("an unknown kind of declaration: {kind}"))),
        };
        v.only(&[&["name", "levelParams", "type"], more].concat())?;
        v.get("all").map(|all| self.names_of(all)).transpose()?;
        let signature = self.signature(v)?;
        let declaration = match kind {
            "axiom" => Declaration::Axiom(signature),
            "quot" => Declaration::Quotient { signature, part: part(v.at("kind")?.str()?)? },
            _ => {
                let value = self.expr(v.at("value")?)?;
                match kind {
                    "thm" => Declaration::Theorem { signature, value },
                    "opaque" => Declaration::Opaque { signature, value },
                    _ => {
                        if v.at("safety")?.str()? != "safe" {
                            return Err(Refusal::unsupported("a definition that is not safe"));
                        }
                        Declaration::Definition { signature, value, height: height(v.at("hints")?)? }
                    }
                }
            }
        };
        self.declarations.add(&self.terms, declaration)?;
        Ok(())
    }

    fn inductive(&self, v: &Json<'_>) -> Read<Inductive> {
        v.only(&["types", "ctors", "recs"])?;
        let each = |key: &str| v.at(key)?.arr();
        Ok(Inductive {
            types: each("types")?.iter().map(|t| self.inductive_type(t)).collect::<Read<_>>()?,
            constructors: each("ctors")?.iter().map(|c| self.constructor(c)).collect::<Read<_>>()?,
            recursors: each("recs")?.iter().map(|r| self.recursor(r)).collect::<Read<_>>()?,
        })
    }

    fn inductive_type(&self, v: &Json<'_>) -> Read<InductiveType> {
        v.only(&[
            "name",
            "levelParams",
            "type",
            "numParams",
            "numIndices",
            "all",
            "ctors",
            "numNested",
            "isRec",
            "isUnsafe",
            "isReflexive",
        ])?;
        Ok(InductiveType {
            signature: self.signature(v)?,
            num_params: v.at("numParams")?.small()?,
            num_indices: v.at("numIndices")?.small()?,
            all: self.names_of(v.at("all")?)?,
            constructors: self.names_of(v.at("ctors")?)?,
            num_nested: v.at("numNested")?.small()?,
            is_recursive: v.at("isRec")?.bool()?,
            is_reflexive: v.at("isReflexive")?.bool()?,
        })
    }

    fn constructor(&self, v: &Json<'_>) -> Read<Constructor> {
        v.only(&["name", "levelParams", "type", "induct", "cidx", "numParams", "numFields", "isUnsafe"])?;
        Ok(Constructor {
            signature: self.signature(v)?,
            inductive: self.name(v.at("induct")?)?,
            index: v.at("cidx")?.small()?,
            num_params: v.at("numParams")?.small()?,
            num_fields: v.at("numFields")?.small()?,
        })
    }

    fn recursor(&self, v: &Json<'_>) -> Read<Recursor> {
        v.only(&[
            "name",
            "levelParams",
            "type",
            "all",
            "numParams",
            "numIndices",
            "numMotives",
            "numMinors",
            "rules",
            "k",
            "isUnsafe",
        ])?;
        let rule = |r: &Json<'_>| {
            r.only(&["ctor", "nfields", "rhs"])?;
            Ok(RecursorRule {
                constructor: self.name(r.at("ctor")?)?,
                num_fields: r.at("nfields")?.small()?,
                value: self.expr(r.at("rhs")?)?,
            })
        };
        Ok(Recursor {
            signature: self.signature(v)?,
            all: self.names_of(v.at("all")?)?,
            num_params: v.at("numParams")?.small()?,
            num_indices: v.at("numIndices")?.small()?,
            num_motives: v.at("numMotives")?.small()?,
            num_minors: v.at("numMinors")?.small()?,
            rules: v.at("rules")?.arr()?.iter().map(rule).collect::<Read<_>>()?,
            k: v.at("k")?.bool()?,
        })
    }
}

fn part(kind: &str) -> Read<QuotientPart> {
    Ok(match kind {
        "type" => QuotientPart::Type,
        "ctor" => QuotientPart::Constructor,
        "lift" => QuotientPart::Lift,
        "ind" => QuotientPart::Induction,
        _ => return malformed(format!("an unknown quotient constant: {kind}")),
    })
}

fn height(hints: &Json<'_>) -> Read<Height> {
    match hints {
        Json::Str(s) if s == "opaque" => Ok(Height::Opaque),
        Json::Str(s) if s == "abbrev" => Ok(Height::Abbreviation),
        h => {
            h.only(&["regular"])?;
            Ok(Height::Regular(h.at("regular")?.small()?))
        }
    }
}
