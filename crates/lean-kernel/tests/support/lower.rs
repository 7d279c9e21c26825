//! From what is written to ids.

use atlas_lean_kernel::{
    Constructor, Declaration, ExprId, Height, Inductive, InductiveType, LevelId, NameId, QuotientPart,
    Signature, Terms,
};

use super::notation::{Command, Head, Lvl, Nm, Tm};

impl Nm {
    pub fn id(&self, t: &mut Terms) -> NameId {
        match self {
            Nm::Path(p) => t.name_path(p).unwrap(),
            Nm::Quoted(q) => {
                let root = t.name_anonymous();
                t.name_str(root, q).unwrap()
            }
        }
    }
}

impl Lvl {
    pub fn id(&self, t: &mut Terms) -> LevelId {
        match self {
            Lvl::Number(n) => (0..*n).fold(t.level_zero(), |l, _| t.level_succ(l).unwrap()),
            Lvl::Param(p) => {
                let n = t.name_path(p).unwrap();
                t.level_param(n).unwrap()
            }
            Lvl::Add(l, n) => {
                let l = l.id(t);
                (0..*n).fold(l, |l, _| t.level_succ(l).unwrap())
            }
            Lvl::Max(a, b) => {
                let (a, b) = (a.id(t), b.id(t));
                t.level_max(a, b).unwrap()
            }
            Lvl::IMax(a, b) => {
                let (a, b) = (a.id(t), b.id(t));
                t.level_imax(a, b).unwrap()
            }
        }
    }
}

impl Tm {
    pub fn id(&self, t: &mut Terms) -> ExprId {
        self.at(t, &mut Vec::new())
    }

    fn at(&self, t: &mut Terms, scope: &mut Vec<String>) -> ExprId {
        let under = |x: &String, b: &Tm, t: &mut Terms, scope: &mut Vec<String>| {
            scope.push(x.clone());
            let b = b.at(t, scope);
            scope.pop();
            b
        };
        match self {
            Tm::Name(n, levels) => {
                if let Nm::Path(p) = n
                    && let Some(i) = scope.iter().rev().position(|x| x == p)
                {
                    return t.expr_bvar(i as u32).unwrap();
                }
                let us: Vec<LevelId> = levels.iter().map(|l| l.id(t)).collect();
                let n = n.id(t);
                t.expr_const(n, &us).unwrap()
            }
            Tm::Sort(l) => {
                let l = l.id(t);
                t.expr_sort(l).unwrap()
            }
            Tm::App(f, a) => {
                let (f, a) = (f.at(t, scope), a.at(t, scope));
                t.expr_app(f, a).unwrap()
            }
            Tm::Lam(x, d, b) => {
                let (d, b) = (d.at(t, scope), under(x, b, t, scope));
                t.expr_lam(d, b).unwrap()
            }
            Tm::Pi(x, d, b) => {
                let (d, b) = (d.at(t, scope), under(x, b, t, scope));
                t.expr_pi(d, b).unwrap()
            }
            Tm::Let(x, ty, v, b) => {
                let (ty, v, b) = (ty.at(t, scope), v.at(t, scope), under(x, b, t, scope));
                t.expr_let(ty, v, b).unwrap()
            }
            Tm::Proj(n, i, x) => {
                let (n, x) = (n.id(t), x.at(t, scope));
                t.expr_proj(n, *i, x).unwrap()
            }
            Tm::Nat(n) => t.expr_nat(n.parse().unwrap()).unwrap(),
            Tm::Str(s) => t.expr_str(s).unwrap(),
        }
    }
}

fn signature(t: &mut Terms, (name, universes, ty): &Head) -> Signature {
    Signature {
        name: name.id(t),
        universe_params: universes.iter().map(|u| t.name_path(u).unwrap()).collect(),
        ty: ty.id(t),
    }
}

impl Command {
    /// The declaration; blocks without what [`atlas_lean_kernel::complete`] fills in.
    pub fn declaration(&self, t: &mut Terms) -> Declaration {
        match self {
            Command::One(kind, head, value) => {
                let signature = signature(t, head);
                let Some(value) = value else { return Declaration::Axiom(signature) };
                let value = value.id(t);
                match kind.as_str() {
                    "theorem" => Declaration::Theorem { signature, value },
                    "opaque" => Declaration::Opaque { signature, value },
                    "abbrev" => Declaration::Definition { signature, value, height: Height::Abbreviation },
                    _ => Declaration::Definition { signature, value, height: Height::Regular(1) },
                }
            }
            Command::Quot(part, head) => Declaration::Quotient {
                signature: signature(t, head),
                part: match part.as_str() {
                    "type" => QuotientPart::Type,
                    "ctor" => QuotientPart::Constructor,
                    "lift" => QuotientPart::Lift,
                    "ind" => QuotientPart::Induction,
                    p => panic!("what is this: {p}"),
                },
            },
            Command::Inductive(types) => {
                let mut block = Inductive::default();
                let all: Vec<NameId> = types.iter().map(|(head, ..)| head.0.id(t)).collect();
                for (head, nparams, ctors) in types {
                    let signature = signature(t, head);
                    for (i, (name, ty)) in ctors.iter().enumerate() {
                        block.constructors.push(Constructor {
                            signature: Signature {
                                name: name.id(t),
                                universe_params: signature.universe_params.clone(),
                                ty: ty.id(t),
                            },
                            inductive: signature.name,
                            index: i as u32,
                            num_params: *nparams,
                            num_fields: 0,
                        });
                    }
                    block.types.push(InductiveType {
                        constructors: ctors.iter().map(|c| c.0.id(t)).collect(),
                        signature,
                        num_params: *nparams,
                        num_indices: 0,
                        all: all.clone(),
                        num_nested: 0,
                        is_recursive: false,
                        is_reflexive: false,
                    });
                }
                Declaration::Inductive(block)
            }
        }
    }
}
