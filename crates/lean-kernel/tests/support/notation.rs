//! A small language for declarations, close to Lean's own:
//!
//! ```text
//! axiom A.{u} : T            def f : T := v          theorem t : P := v        opaque o : T := v
//! quot lift Quot.lift.{u, v} : T
//! inductive T.{u} 1 : (α : Type u) -> Type u | mk : (α : Type u) -> α -> T.{u} α    and U … (mutual; 1 parameter)
//! ```
//!
//! After `Type` and `Sort` comes a level: write `(Type)` where it is an argument.
//!
//! Terms: `fun (x y : A) => b`, `(x : A) -> B`, `A -> B`, `let x : A := v; b`, `f a b`, `c.{u, v+1}`, `Sort u`, `Type u`, `Type`,
//! `Prop`, `5`, `"text"`, `S#0 x` (field 0 of `x` of structure `S`), `«odd name»`. Levels: `0`, `u`, `u+1`, `(max u v)`, `(imax u v)`.

use super::tokens::{Token, tokens};

#[derive(Clone, Debug)]
pub enum Lvl {
    Number(u32),
    Param(String),
    Add(Box<Lvl>, u32),
    Max(Box<Lvl>, Box<Lvl>),
    IMax(Box<Lvl>, Box<Lvl>),
}

#[derive(Clone, Debug)]
pub enum Tm {
    /// A variable if one is in scope, else a constant.
    Name(Nm, Vec<Lvl>),
    Sort(Lvl),
    App(Box<Tm>, Box<Tm>),
    Lam(String, Box<Tm>, Box<Tm>),
    Pi(String, Box<Tm>, Box<Tm>),
    Let(String, Box<Tm>, Box<Tm>, Box<Tm>),
    Proj(Nm, u32, Box<Tm>),
    Nat(String),
    Str(String),
}

#[derive(Clone, Debug)]
pub enum Nm {
    Path(String),
    Quoted(String),
}

/// `(name, universe parameters, type)`
pub type Head = (Nm, Vec<String>, Tm);

/// `(head, number of parameters, constructors)`
pub type TypeOfBlock = (Head, u32, Vec<(Nm, Tm)>);

/// A declaration as it is written.
#[derive(Clone, Debug)]
pub enum Command {
    One(String, Head, Option<Tm>),
    Quot(String, Head),
    Inductive(Vec<TypeOfBlock>),
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

const KEYWORDS: [&str; 8] = ["axiom", "def", "theorem", "opaque", "quot", "inductive", "and", "abbrev"];

/// The commands of a script.
pub fn parse(script: &str) -> Vec<Command> {
    let mut p = Parser { tokens: tokens(script), at: 0 };
    let mut found = Vec::new();
    while p.at < p.tokens.len() {
        found.push(p.command());
    }
    found
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }
    fn next(&mut self) -> Token {
        let t = self.peek().cloned().unwrap_or_else(|| panic!("the script ends too early"));
        self.at += 1;
        t
    }
    fn sees(&self, s: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(t)) if *t == s)
    }
    fn eats(&mut self, s: &str) -> bool {
        let yes = self.sees(s);
        self.at += usize::from(yes);
        yes
    }
    fn need(&mut self, s: &str) {
        let (seen, at) = (self.peek().cloned(), self.at);
        assert!(
            self.eats(s),
            "{s} expected, not {seen:?}, after {:?}",
            &self.tokens[at.saturating_sub(6)..at]
        );
    }
    fn word(&mut self) -> String {
        match self.next() {
            Token::Word(w) => w,
            t => panic!("a word expected, not {t:?}"),
        }
    }
    fn number(&mut self) -> u32 {
        match self.next() {
            Token::Number(n) => n.parse().unwrap(),
            t => panic!("a number expected, not {t:?}"),
        }
    }
    fn name(&mut self) -> Nm {
        match self.next() {
            Token::Word(w) => Nm::Path(w),
            Token::Quoted(q) => Nm::Quoted(q),
            t => panic!("a name expected, not {t:?}"),
        }
    }

    fn command(&mut self) -> Command {
        match self.word().as_str() {
            "inductive" => {
                let mut types = vec![self.inductive_type()];
                while self.peek() == Some(&Token::Word("and".into())) {
                    self.at += 1;
                    types.push(self.inductive_type());
                }
                Command::Inductive(types)
            }
            "quot" => {
                let part = self.word();
                Command::Quot(part, self.head())
            }
            kind => {
                assert!(KEYWORDS.contains(&kind), "what is this: {kind}");
                let head = self.head();
                let value = (kind != "axiom").then(|| {
                    self.need(":=");
                    self.term()
                });
                Command::One(kind.to_owned(), head, value)
            }
        }
    }
    fn universes(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        if self.eats(".{") {
            while !self.eats("}") {
                found.push(self.word());
                self.eats(",");
            }
        }
        found
    }
    fn head(&mut self) -> Head {
        let (name, universes) = (self.name(), self.universes());
        self.need(":");
        (name, universes, self.term())
    }
    fn inductive_type(&mut self) -> TypeOfBlock {
        let (name, universes) = (self.name(), self.universes());
        let nparams = if let Some(Token::Number(_)) = self.peek() { self.number() } else { 0 };
        self.need(":");
        let ty = self.term();
        let mut ctors = Vec::new();
        while self.eats("|") {
            let c = self.name();
            self.need(":");
            ctors.push((c, self.term()));
        }
        ((name, universes, ty), nparams, ctors)
    }

    /// `(x y : A)` if that is what comes.
    fn binder(&mut self) -> Option<(Vec<String>, Tm)> {
        let from = self.at;
        if !self.eats("(") {
            return None;
        }
        let mut xs = Vec::new();
        while let Some(Token::Word(w)) = self.peek().cloned().filter(|w| *w != Token::Word("let".into())) {
            self.at += 1;
            xs.push(w);
        }
        if xs.is_empty() || !self.eats(":") {
            self.at = from;
            return None;
        }
        let ty = self.term();
        self.need(")");
        Some((xs, ty))
    }
    fn term(&mut self) -> Tm {
        let boxed = Box::new;
        match self.peek() {
            Some(Token::Word(w)) if w == "fun" => {
                self.at += 1;
                let mut binders = Vec::new();
                while let Some(b) = self.binder() {
                    binders.push(b);
                }
                self.need("=>");
                let body = self.term();
                return binders.into_iter().rev().fold(body, |body, (xs, ty)| {
                    xs.into_iter().rev().fold(body, |b, x| Tm::Lam(x, boxed(ty.clone()), boxed(b)))
                });
            }
            Some(Token::Word(w)) if w == "let" => {
                self.at += 1;
                let x = self.word();
                self.need(":");
                let ty = self.term();
                self.need(":=");
                let v = self.term();
                self.need(";");
                return Tm::Let(x, boxed(ty), boxed(v), boxed(self.term()));
            }
            _ => {}
        }
        if let Some((xs, ty)) = self.binder() {
            self.need("->");
            let body = self.term();
            return xs.into_iter().rev().fold(body, |b, x| Tm::Pi(x, boxed(ty.clone()), boxed(b)));
        }
        let t = self.app();
        if self.eats("->") { Tm::Pi("_".into(), boxed(t), boxed(self.term())) } else { t }
    }
    fn app(&mut self) -> Tm {
        let mut t = self.atom().unwrap_or_else(|| panic!("a term expected at {:?}", &self.tokens[self.at..]));
        while let Some(a) = self.atom() {
            t = Tm::App(Box::new(t), Box::new(a));
        }
        t
    }
    fn atom(&mut self) -> Option<Tm> {
        match self.peek()?.clone() {
            Token::Symbol("(") => {
                self.at += 1;
                let t = self.term();
                self.need(")");
                Some(t)
            }
            Token::Number(n) => {
                self.at += 1;
                Some(Tm::Nat(n))
            }
            Token::Text(t) => {
                self.at += 1;
                Some(Tm::Str(t))
            }
            Token::Word(w) if KEYWORDS.contains(&w.as_str()) => None,
            Token::Word(w) if w == "Prop" => {
                self.at += 1;
                Some(Tm::Sort(Lvl::Number(0)))
            }
            Token::Word(w) if w == "Sort" => {
                self.at += 1;
                let l = self.level_atom();
                Some(Tm::Sort(
                    l.unwrap_or_else(|| panic!("a level expected at {:?}", &self.tokens[self.at..])),
                ))
            }
            Token::Word(w) if w == "Type" => {
                self.at += 1;
                let l = self.level_atom().unwrap_or(Lvl::Number(0));
                Some(Tm::Sort(Lvl::Add(Box::new(l), 1)))
            }
            Token::Word(_) | Token::Quoted(_) => {
                let n = self.name();
                if self.eats("#") {
                    let i = self.number();
                    return Some(Tm::Proj(n, i, Box::new(self.atom().expect("what is projected out of"))));
                }
                let mut levels = Vec::new();
                if self.eats(".{") {
                    while !self.eats("}") {
                        levels.push(self.level());
                        self.eats(",");
                    }
                }
                Some(Tm::Name(n, levels))
            }
            Token::Symbol(_) => None,
        }
    }
    fn level(&mut self) -> Lvl {
        let boxed = Box::new;
        let l = match self.peek() {
            Some(Token::Word(w)) if w == "max" || w == "imax" => {
                let max = w == "max";
                self.at += 1;
                let a = self.level_atom().expect("a level");
                let b = self.level_atom().expect("a level");
                if max { Lvl::Max(boxed(a), boxed(b)) } else { Lvl::IMax(boxed(a), boxed(b)) }
            }
            _ => self.level_atom().expect("a level"),
        };
        if self.eats("+") { Lvl::Add(boxed(l), self.number()) } else { l }
    }
    fn level_atom(&mut self) -> Option<Lvl> {
        match self.peek()?.clone() {
            Token::Number(n) => {
                self.at += 1;
                Some(Lvl::Number(n.parse().unwrap()))
            }
            Token::Word(w) if !KEYWORDS.contains(&w.as_str()) && w.len() <= 3 => {
                self.at += 1;
                Some(Lvl::Param(w))
            }
            Token::Symbol("(") => {
                self.at += 1;
                let l = self.level();
                self.need(")");
                Some(l)
            }
            _ => None,
        }
    }
}
