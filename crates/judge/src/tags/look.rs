//! What the rules share.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use atlas_lean_kernel::{Expr, ExprId, Inspector, Name, NameId, Nature, OutOfReach, Seen, TermError, Terms};

use super::{Tag, print};

/// Constants that the rules know by name.
const WORDS: &[&str] = &[
    "And",
    "Dvd.dvd",
    "Empty.casesOn",
    "Empty.elim",
    "Empty.rec",
    "Eq",
    "Exists",
    "False",
    "False.casesOn",
    "False.elim",
    "False.rec",
    "GE.ge",
    "HDiv.hDiv",
    "HEq",
    "HMod.hMod",
    "HSub.hSub",
    "Iff",
    "Inhabited",
    "Int",
    "Int.toNat",
    "Inv.inv",
    "LE.le",
    "Nat",
    "Nat.div",
    "Nat.log2",
    "Nat.mod",
    "Nat.pred",
    "Nat.sub",
    "Ne",
    "Nonempty",
    "Not",
    "OfNat.ofNat",
    "Option.get!",
    "Or",
    "PEmpty.elim",
    "PUnit",
    "Subsingleton",
    "Subsingleton.elim",
    "Subsingleton.helim",
    "True",
    "absurd",
    "sorryAx",
];

/// The ids of [`WORDS`].
pub(super) struct Words(HashMap<NameId, &'static str>);

impl Words {
    pub(super) fn new(terms: &mut Terms) -> Result<Self, TermError> {
        WORDS.iter().map(|word| Ok((terms.name_path(word)?, *word))).collect::<Result<_, _>>().map(Self)
    }
}

/// Looks at declarations.
pub(super) struct Look<'l, 'a> {
    pub(super) see: &'l mut Inspector<'a>,
    words: &'l Words,
    /// Number of the first declaration that is the library's.
    library: usize,
    /// What is known of the library, made when it is first asked for.
    shelf: Option<Rc<Shelf>>,
    /// What was noticed of definitions, for what rests on them.
    pub(super) noticed: HashMap<NameId, Rc<[Tag]>>,
}

/// What is known of the library as a whole.
#[derive(Default)]
pub(super) struct Shelf {
    /// Structures of which something is built, or shown to exist.
    pub(super) built: HashSet<NameId>,
    /// Theorems by what they say.
    pub(super) theorems: HashMap<ExprId, Vec<NameId>>,
    /// The functions that take a field out of a structure of the library.
    pub(super) projections: HashMap<(NameId, u32), NameId>,
}

/// A declaration with the binders of its type opened.
pub(super) struct Opened {
    /// A variable for each binder.
    pub(super) vars: Vec<ExprId>,
    /// Their types.
    pub(super) types: Vec<ExprId>,
    /// Which of them are hypotheses: variables whose type is a proposition.
    pub(super) hypotheses: Vec<usize>,
    /// What is left of the type.
    pub(super) conclusion: ExprId,
    /// The value, if there is one, at these variables.
    pub(super) body: Option<ExprId>,
}

impl Opened {
    /// The conclusion with none, some or all of the quantifiers behind binder `from`: the forms in which something else may
    /// say it.
    pub(super) fn forms(&self, look: &mut Look<'_, '_>, from: usize) -> Vec<ExprId> {
        (from..=self.vars.len()).map(|k| look.see.closed_over(&self.vars[k..], self.conclusion)).collect()
    }
}

impl<'l, 'a> Look<'l, 'a> {
    pub(super) fn new(see: &'l mut Inspector<'a>, words: &'l Words, library: usize) -> Self {
        Self { see, words, library, shelf: None, noticed: HashMap::new() }
    }

    /// A name as text.
    pub(super) fn show(&self, name: NameId) -> String {
        self.see.terms().show(name)
    }

    /// Whether a constant is the library's.
    pub(super) fn is_library(&self, name: NameId) -> bool {
        self.see.number(name).is_some_and(|number| number >= self.library)
    }

    /// The constant at the head of a term, if it is one of the rules' words; else nothing.
    pub(super) fn word(&self, e: ExprId) -> &'static str {
        self.see.head(e).and_then(|name| self.words.0.get(&name).copied()).unwrap_or_default()
    }

    /// The word that a name is.
    pub(super) fn as_word(&self, name: NameId) -> &'static str {
        self.words.0.get(&name).copied().unwrap_or_default()
    }

    /// Opens a declaration, on a fresh count of steps.
    pub(super) fn open(&mut self, name: NameId) -> Seen<Opened> {
        self.see.begin();
        let ty = self.see.declared_type(name).ok_or(OutOfReach)?;
        let (vars, conclusion) = self.see.open(ty);
        let types: Vec<ExprId> = vars.iter().filter_map(|var| self.see.variable_type(*var)).collect();
        let mut hypotheses = vec![];
        for (k, ty) in types.iter().enumerate() {
            if self.see.is_proposition(*ty)? {
                hypotheses.push(k);
            }
        }
        let body = self.see.value(name).map(|value| self.see.apply(value, &vars));
        Ok(Opened { vars, types, hypotheses, conclusion, body })
    }

    /// The variables that occur in some terms.
    pub(super) fn variables(&self, terms: impl IntoIterator<Item = ExprId>) -> HashSet<ExprId> {
        let all = terms.into_iter().flat_map(|e| self.see.subterms(e));
        all.filter(|e| matches!(self.see.terms().get(*e), Expr::FVar(..))).collect()
    }

    /// Whether a variable occurs in a term.
    pub(super) fn occurs(&self, var: ExprId, e: ExprId) -> bool {
        self.see.subterms(e).contains(&var)
    }

    /// A term in words; `vars` are called by their places.
    pub(super) fn say(&mut self, e: ExprId, vars: &[ExprId]) -> String {
        print::term(self, e, vars)
    }

    /// Whether two propositions are the same up to computation. They are only compared in earnest if they look alike: the same
    /// constant at the head of what they conclude, or one that the library defines.
    pub(super) fn same(&mut self, a: ExprId, b: ExprId) -> Seen<bool> {
        if a == b {
            return Ok(true);
        }
        let (x, y) = (self.target(a), self.target(b));
        let unfolds = |name: Option<NameId>| {
            name.is_some_and(|n| self.is_library(n) && self.see.nature(n) == Some(Nature::Definition))
        };
        let worth = match (x, y) {
            (None, None) => true,
            _ => x == y || unfolds(x) || unfolds(y),
        };
        if worth { self.see.equal(a, b) } else { Ok(false) }
    }

    /// The constant at the head of what a function type ends in.
    fn target(&self, mut e: ExprId) -> Option<NameId> {
        while let Expr::Pi(_, codomain) = self.see.terms().get(e) {
            e = codomain;
        }
        self.see.head(e)
    }

    /// What is known of the library as a whole.
    pub(super) fn shelf(&mut self) -> Rc<Shelf> {
        if let Some(shelf) = &self.shelf {
            return Rc::clone(shelf);
        }
        let mut shelf = Shelf::default();
        let names = self.see.names_from(self.library);
        let mut projecting = HashSet::new();
        for name in &names {
            if let Some((field, of)) = self.projection(*name) {
                shelf.projections.insert((of, field), *name);
                projecting.insert(*name);
            }
        }
        for name in names {
            let Some(ty) = self.see.declared_type(name) else { continue };
            let nature = self.see.nature(name);
            // Lean's own functions on a structure show nothing of it.
            if projecting.contains(&name) || self.is_of_constructor(name) {
                continue;
            }
            if nature == Some(Nature::Theorem) {
                shelf.theorems.entry(ty).or_default().push(name);
            }
            if matches!(nature, Some(Nature::Theorem | Nature::Definition | Nature::Opaque))
                && let Some(built) = self.builds(ty)
            {
                shelf.built.insert(built);
            }
        }
        let shelf = Rc::new(shelf);
        self.shelf = Some(Rc::clone(&shelf));
        shelf
    }

    /// Whether a name stands below that of a constructor, as what Lean derives from one does.
    fn is_of_constructor(&self, name: NameId) -> bool {
        match self.see.terms().get_name(name) {
            Name::Str(of, _) => self.see.nature(of) == Some(Nature::Constructor),
            _ => false,
        }
    }

    /// The field that a definition takes out of its last argument, and the structure's name.
    fn projection(&self, name: NameId) -> Option<(u32, NameId)> {
        let terms = self.see.terms();
        let mut body = self.see.value(name)?;
        while let Expr::Lam(_, inner) = terms.get(body) {
            body = inner;
        }
        match terms.get(body) {
            Expr::Proj(structure, field, value) if terms.get(value) == Expr::BVar(0) => {
                Some((field, structure))
            }
            _ => None,
        }
    }

    /// The type of which something with the type `ty` is a value, or shows that there is one, out of others.
    fn builds(&self, ty: ExprId) -> Option<NameId> {
        let (mut ty, mut given) = (ty, vec![]);
        while let Expr::Pi(domain, codomain) = self.see.terms().get(ty) {
            given.extend(self.see.head(domain));
            ty = codomain;
        }
        let built = match self.word(ty) {
            "Nonempty" | "Inhabited" | "Exists" => self.see.head(*self.see.spine(ty).1.first()?),
            _ => self.see.head(ty),
        };
        built.filter(|built| !given.contains(built))
    }

    /// A field as a person calls it: by its projection, or by its number.
    pub(super) fn field(&mut self, structure: NameId, field: u32) -> String {
        match self.shelf().projections.get(&(structure, field)) {
            Some(name) => format!("field `{}`", self.show(*name)),
            None => format!("field {} of `{}`", field + 1, self.show(structure)),
        }
    }
}
