//! Names, levels and expressions as SHA-256 digests that mean the same in every process.

use sha2::{Digest as _, Sha256};

use crate::term::{Expr, ExprId, Level, LevelId, Map, Name, NameId, Terms};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A node: a tag, then parts. Every part has a fixed length or its length before it, so different nodes give different texts.
pub(crate) struct Node(Sha256);

impl Node {
    pub fn new(tag: u8) -> Node {
        let mut h = Sha256::new();
        h.update([tag]);
        Node(h)
    }
    pub fn digest(mut self, d: Digest) -> Node {
        self.0.update(d.0);
        self
    }
    pub fn number(mut self, n: u64) -> Node {
        self.0.update(n.to_be_bytes());
        self
    }
    pub fn bytes(mut self, b: &[u8]) -> Node {
        self.0.update((b.len() as u64).to_be_bytes());
        self.0.update(b);
        self
    }
    pub fn list(mut self, ds: impl ExactSizeIterator<Item = Digest>) -> Node {
        self.0.update((ds.len() as u64).to_be_bytes());
        for d in ds {
            self.0.update(d.0);
        }
        self
    }
    pub fn end(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Digests of what has been seen. Bound variables have no names, so they do not count; universe parameters do.
#[derive(Default)]
pub struct Digests {
    stand_ins: Map<NameId, Digest>,
    names: Map<NameId, Digest>,
    levels: Map<LevelId, Digest>,
    exprs: Map<ExprId, Digest>,
}

impl Digests {
    /// From now on a constant of this name counts by `digest` instead of by its name. Terms that name it must not have been met yet.
    pub fn stand_in(&mut self, name: NameId, digest: Digest) {
        self.stand_ins.insert(name, digest);
    }

    /// The digest of a name: different names have different ones.
    pub fn name(&mut self, t: &Terms, n: NameId) -> Digest {
        if let Some(d) = self.names.get(&n) {
            return *d;
        }
        let d = match t.get_name(n) {
            Name::Anonymous => Node::new(0).end(),
            Name::Str(p, s) => Node::new(1).digest(self.name(t, p)).bytes(t.get_text(s).as_bytes()).end(),
            Name::Num(p, i) => Node::new(2).digest(self.name(t, p)).number(i).end(),
        };
        self.names.insert(n, d);
        d
    }

    pub(crate) fn names(&mut self, t: &Terms, ns: &[NameId]) -> Vec<Digest> {
        ns.iter().map(|n| self.name(t, *n)).collect()
    }

    fn level(&mut self, t: &Terms, l: LevelId) -> Digest {
        if let Some(d) = self.levels.get(&l) {
            return *d;
        }
        let d = match t.get_level(l) {
            Level::Zero => Node::new(10).end(),
            Level::Succ(a) => Node::new(11).digest(self.level(t, a)).end(),
            Level::Max(a, b) => Node::new(12).digest(self.level(t, a)).digest(self.level(t, b)).end(),
            Level::IMax(a, b) => Node::new(13).digest(self.level(t, a)).digest(self.level(t, b)).end(),
            Level::Param(p) => Node::new(14).digest(self.name(t, p)).end(),
        };
        self.levels.insert(l, d);
        d
    }

    /// The digest of a term. Bottom up with a stack of its own: terms may be deeper than a caller's thread has stack for.
    pub fn expr(&mut self, t: &Terms, e: ExprId) -> Digest {
        let mut todo = vec![e];
        while let Some(e) = todo.last().copied() {
            if self.exprs.contains_key(&e) {
                todo.pop();
                continue;
            }
            let before = todo.len();
            t.children(e, |c| {
                if !self.exprs.contains_key(&c) {
                    todo.push(c);
                }
            });
            if todo.len() == before {
                todo.pop();
                let d = self.node(t, e);
                self.exprs.insert(e, d);
            }
        }
        self.below(e)
    }

    /// The digest of a node that has been seen.
    fn below(&self, e: ExprId) -> Digest {
        self.exprs.get(&e).copied().unwrap_or(Digest([0; 32]))
    }

    fn node(&mut self, t: &Terms, e: ExprId) -> Digest {
        match t.get(e) {
            Expr::BVar(i) => Node::new(20).number(u64::from(i)).end(),
            // Only inside the checker.
            Expr::FVar(k, ty) => Node::new(21).number(u64::from(k)).digest(self.below(ty)).end(),
            Expr::Sort(l) => Node::new(22).digest(self.level(t, l)).end(),
            Expr::Const(n, us) => {
                let levels: Vec<Digest> = t.get_levels(us).iter().map(|l| self.level(t, *l)).collect();
                let constant = match self.stand_ins.get(&n) {
                    Some(digest) => *digest,
                    None => self.name(t, n),
                };
                Node::new(23).digest(constant).list(levels.into_iter()).end()
            }
            Expr::App(f, a) => Node::new(24).digest(self.below(f)).digest(self.below(a)).end(),
            Expr::Lam(d, b) => Node::new(25).digest(self.below(d)).digest(self.below(b)).end(),
            Expr::Pi(d, b) => Node::new(26).digest(self.below(d)).digest(self.below(b)).end(),
            Expr::Let(ty, v, b) => {
                Node::new(27).digest(self.below(ty)).digest(self.below(v)).digest(self.below(b)).end()
            }
            Expr::Proj(n, i, s) => {
                Node::new(28).digest(self.name(t, n)).number(u64::from(i)).digest(self.below(s)).end()
            }
            Expr::Nat(n) => Node::new(29).bytes(&t.get_nat(n).to_bytes_be()).end(),
            Expr::Str(s) => Node::new(30).bytes(t.get_text(s).as_bytes()).end(),
        }
    }
}
