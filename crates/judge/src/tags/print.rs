//! Terms in words, for people to read: the usual signs, arguments that follow from others left out. Variables are called by their places,
//! `x1` for the declaration's first binder, since terms do not know what their authors called them.

use atlas_lean_kernel::{Expr, ExprId, Name, NameId};

use super::look::Look;

/// Nesting at which the rest becomes an ellipsis, and bytes after which it does.
const DEEPEST: usize = 14;
const LONGEST: usize = 240;

/// `e` in words.
pub(super) fn term(look: &mut Look<'_, '_>, e: ExprId, vars: &[ExprId]) -> String {
    let names = vars.iter().enumerate().map(|(k, var)| (*var, format!("x{}", k + 1))).collect();
    let mut printer = Printer { look, names, locals: 0, depth: 0 };
    let mut text = printer.term(e, 0);
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

struct Printer<'p, 'l, 'a> {
    look: &'p mut Look<'l, 'a>,
    names: Vec<(ExprId, String)>,
    locals: usize,
    depth: usize,
}

/// Sign, how many arguments the constant takes, how tightly it binds. Its operands are the last two arguments.
fn infix(name: &str) -> Option<(&'static str, usize, u8)> {
    Some(match name {
        "Iff" => ("↔", 2, 20),
        "Or" => ("∨", 2, 30),
        "And" => ("∧", 2, 35),
        "Eq" => ("=", 3, 50),
        "Ne" => ("≠", 3, 50),
        "HEq" => ("≍", 4, 50),
        "LE.le" => ("≤", 4, 50),
        "LT.lt" => ("<", 4, 50),
        "GE.ge" => ("≥", 4, 50),
        "GT.gt" => (">", 4, 50),
        "Dvd.dvd" => ("∣", 4, 50),
        "HAdd.hAdd" => ("+", 6, 65),
        "HSub.hSub" => ("-", 6, 65),
        "HAppend.hAppend" => ("++", 6, 65),
        "HMul.hMul" => ("*", 6, 70),
        "HDiv.hDiv" => ("/", 6, 70),
        "HMod.hMod" => ("%", 6, 70),
        "HPow.hPow" => ("^", 6, 75),
        _ => return None,
    })
}

impl Printer<'_, '_, '_> {
    /// `e` in a place that binds with `tight`: in parentheses if it is looser.
    fn term(&mut self, e: ExprId, tight: u8) -> String {
        if let Some((_, name)) = self.names.iter().find(|(var, _)| *var == e) {
            return name.clone();
        }
        if self.depth >= DEEPEST {
            return "…".to_owned();
        }
        self.depth += 1;
        let (text, binds) = self.inner(e);
        self.depth -= 1;
        if binds < tight { format!("({text})") } else { text }
    }

    fn inner(&mut self, e: ExprId) -> (String, u8) {
        let terms = self.look.see.terms();
        match terms.get(e) {
            Expr::BVar(_) | Expr::FVar(..) => ("_".to_owned(), 100),
            Expr::Sort(_) if self.look.see.is_prop_sort(e) => ("Prop".to_owned(), 100),
            Expr::Sort(_) => ("Type _".to_owned(), 80),
            Expr::Const(name, _) => (self.look.show(name), 100),
            Expr::Nat(n) => (terms.get_nat(n).to_string(), 100),
            Expr::Str(s) => (format!("{:?}", terms.get_text(s)), 100),
            Expr::Proj(structure, field, value) => {
                let value = self.term(value, 90);
                match self.look.field(structure, field).split('`').nth(1) {
                    Some(name) if name.contains('.') => {
                        (format!("{value}.{}", name.rsplit('.').next().unwrap_or_default()), 90)
                    }
                    _ => (format!("{value}.{}", field + 1), 90),
                }
            }
            Expr::Let(_, value, body) => {
                let body = self.look.see.apply_let(body, value);
                self.inner(body)
            }
            Expr::Lam(domain, _) => {
                let (name, body) = self.bind(e, domain);
                (format!("fun {name} => {}", self.term(body, 0)), 0)
            }
            Expr::Pi(domain, codomain) => {
                let dependent = !self.look.see.terms().closed(codomain);
                let (said, (name, body)) = (self.term(domain, 26), self.bind(e, domain));
                match dependent {
                    true => (format!("∀ {name} : {said}, {}", self.term(body, 0)), 0),
                    false => (format!("{said} → {}", self.term(body, 25)), 25),
                }
            }
            Expr::App(..) => self.application(e),
        }
    }

    /// Opens a binder: what the variable is called, and the body.
    fn bind(&mut self, e: ExprId, domain: ExprId) -> (String, ExprId) {
        let var = self.look.see.variable(domain);
        let body = self.look.see.body(e, var);
        self.locals += 1;
        let name = format!("y{}", self.locals);
        self.names.push((var, name.clone()));
        (name, body)
    }

    fn application(&mut self, e: ExprId) -> (String, u8) {
        let (head, args) = self.look.see.spine(e);
        let Expr::Const(name, _) = self.look.see.terms().get(head) else {
            return (self.applied(head, &args), 95);
        };
        let shown = self.look.show(name);
        match (shown.as_str(), &args[..]) {
            ("OfNat.ofNat", [_, n, _]) => return (self.term(*n, 100), 100),
            ("Not", [p]) => return (format!("¬{}", self.term(*p, 60)), 60),
            ("Neg.neg", [.., a]) if args.len() == 3 => return (format!("-{}", self.term(*a, 75)), 75),
            ("Inv.inv", [.., a]) if args.len() == 3 => return (format!("{}⁻¹", self.term(*a, 95)), 95),
            ("Membership.mem", [_, _, _, set, a]) => {
                return (format!("{} ∈ {}", self.term(*a, 51), self.term(*set, 51)), 50);
            }
            ("Exists", [kind, p]) => {
                let var = self.look.see.variable(*kind);
                let body = self.look.see.apply(*p, &[var]);
                self.locals += 1;
                let local = format!("y{}", self.locals);
                self.names.push((var, local.clone()));
                let kind = self.term(*kind, 0);
                return (format!("∃ {local} : {kind}, {}", self.term(body, 0)), 0);
            }
            (name, [.., a, b]) => {
                if let Some((sign, arity, binds)) = infix(name)
                    && args.len() == arity
                {
                    let (a, b) = (self.term(*a, binds + 1), self.term(*b, binds + 1));
                    return (format!("{a} {sign} {b}"), binds);
                }
            }
            _ => {}
        }
        let told = self.told(name, &args);
        (self.applied(head, &told), if told.is_empty() { 100 } else { 95 })
    }

    fn applied(&mut self, head: ExprId, args: &[ExprId]) -> String {
        let parts: Vec<String> =
            std::iter::once(&head).chain(args).map(|part| self.term(*part, 96)).collect();
        parts.join(" ")
    }

    /// The arguments that a person would write: no type that a later argument tells, no instance.
    fn told(&self, name: NameId, args: &[ExprId]) -> Vec<ExprId> {
        let terms = self.look.see.terms();
        let mut ty = self.look.see.declared_type(name);
        let mut told = vec![];
        for arg in args {
            let opened = ty.map(|ty| terms.get(ty));
            let Some(Expr::Pi(domain, codomain)) = opened else {
                told.push(*arg);
                continue;
            };
            let is_type = matches!(terms.get(domain), Expr::Sort(_));
            let later = matches!(terms.get(codomain), Expr::Pi(domain, _) if !terms.closed(domain));
            if !(self.is_instance(*arg) || is_type && later) {
                told.push(*arg);
            }
            ty = Some(codomain);
        }
        told
    }

    /// Whether a term is an instance by its name, as Lean makes them: `instAddNat`.
    fn is_instance(&self, e: ExprId) -> bool {
        let terms = self.look.see.terms();
        let last = self.look.see.head(e).map(|name| terms.get_name(name));
        matches!(last, Some(Name::Str(_, part)) if terms.get_text(part).starts_with("inst"))
    }
}
