//! What the terms say of a declaration. At both levels the same: of an elaborated module's declarations as they stand in a
//! guest's memory, of a certified one's as they were read over a certified base.

use std::collections::BTreeSet;

use atlas_lean_kernel::{Base, ConstantKind, Declarations, ExprId, NameId, TermError, Terms};
use serde::{Deserialize, Serialize};

use crate::foundation::{Foundation, Foundations};
use crate::library::{Kind, Library, TOOLCHAIN_AXIOMS, TooLarge};
use crate::names;
use crate::outline::Said;
use crate::receipt::SORRY;
use crate::statement::Statements;

/// What the terms say of one declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Full name, as Lean prints it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Lean made it for its own use.
    pub auxiliary: bool,
    /// SHA-256 (hex) of what it states, through all that this rests on.
    pub statement_hash: String,
    /// Of a theorem: the hash of a theorem that states its negation. Else empty.
    pub negation_hash: String,
    /// Axioms that it rests on, at any depth: what of the toolchain has been read counts too.
    pub axioms: Vec<String>,
    /// Whose `sorry` it rests on.
    pub sorry_from: Vec<String>,
    /// The same of what it says, without its proof.
    pub statement_sorry_from: Vec<String>,
    /// What it says by itself, for whoever asks what has changed.
    pub said: Said,
    /// Library declarations that its statement rests on.
    pub statement_constants: Vec<String>,
    /// Library declarations that its proof names and its statement does not rest on.
    pub proof_constants: Vec<String>,
}

/// Works out facts of a library's declarations.
pub struct LibraryFacts<'l> {
    library: Library<'l>,
    statements: Statements,
    foundations: Foundations,
    /// Of each theorem: its negation.
    negated: Vec<(NameId, ExprId)>,
}

impl<'l> LibraryFacts<'l> {
    /// Facts of `declarations`, made of ids of `terms`; `toolchain` is the part of their base that is the toolchain's, `None` when
    /// nothing of it has been read.
    ///
    /// # Errors
    /// [`TermError`]: `terms` are full.
    pub fn new(
        terms: &'l mut Terms,
        declarations: &'l Declarations,
        toolchain: Option<&'l Base>,
    ) -> Result<Self, TermError> {
        let axioms = TOOLCHAIN_AXIOMS.iter().map(|name| terms.name_path(name)).collect::<Result<_, _>>()?;
        let sorry = terms.name_path(SORRY)?;
        let not = terms.name_path("Not")?;
        let not = terms.expr_const(not, &[])?;
        let mut negated = Vec::new();
        for name in declarations.names() {
            if let Some(constant) = declarations.constant(name)
                && constant.kind == ConstantKind::Theorem
            {
                negated.push((name, terms.expr_app(not, constant.ty)?));
            }
        }
        negated.sort_unstable();
        let library = Library::new(terms, declarations, toolchain, axioms);
        Ok(Self { library, statements: Statements::default(), foundations: Foundations::new(sorry), negated })
    }

    /// How Lean prints a name.
    pub fn text(&self, name: NameId) -> String {
        names::text(self.library.terms, name)
    }

    /// Whether Lean made up a name for its own use.
    pub fn is_auxiliary(&self, name: NameId) -> bool {
        names::is_auxiliary(self.library.terms, name)
    }

    /// The facts of one declaration; `None`: the library has none of this name.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn facts(&mut self, name: NameId) -> Result<Option<Facts>, TooLarge> {
        let Some(constant) = self.library.constant(name) else { return Ok(None) };
        let Self { library, statements, foundations, negated } = self;
        let closure = statements.closure(library, name)?;
        let (type_hash, content_hash) = statements.said(library, name, constant.ty)?;
        let (type_hash, content_hash) = (type_hash.to_string(), content_hash.to_string());
        let said = Said { kind: Kind::of(&constant), type_hash, content_hash };
        let statement_hash = statements.hash(library, name, &closure, None)?.to_string();
        let negation_hash = match negated.binary_search_by_key(&name, |(theorem, _)| *theorem) {
            Ok(at) => statements.hash(library, name, &closure, Some(negated[at].1))?.to_string(),
            Err(_) => String::new(),
        };
        let mut proof = BTreeSet::new();
        if let Some(value) = constant.value {
            proof.extend(library.uses(&[value])?);
            proof
                .retain(|used| *used != name && !closure.contains(used) && library.constant(*used).is_some());
        }
        let all = foundations.of(library, name)?;
        let statement = match constant.kind {
            ConstantKind::Theorem => foundations.of_part(library, name, &[constant.ty])?,
            _ => all.clone(),
        };
        let people = |names: &BTreeSet<NameId>| {
            let people = names.iter().copied().filter(|name| !names::is_auxiliary(library.terms, *name));
            library.texts(people)
        };
        Ok(Some(Facts {
            name: names::text(library.terms, name),
            kind: Kind::of(&constant),
            auxiliary: names::is_auxiliary(library.terms, name),
            statement_hash,
            negation_hash,
            axioms: library.texts(all.axioms),
            sorry_from: library.texts(all.sorry_from),
            said,
            statement_sorry_from: library.texts(statement.sorry_from),
            statement_constants: people(&closure),
            proof_constants: people(&proof),
        }))
    }

    /// Names as Lean prints them, sorted.
    pub(crate) fn texts(&self, names: &[NameId]) -> Vec<String> {
        self.library.texts(names.iter().copied())
    }

    /// Axioms that a declaration rests on, as texts, sorted.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn axioms(&mut self, name: NameId) -> Result<Vec<String>, TooLarge> {
        let Foundation { axioms, .. } = self.foundations.of(&mut self.library, name)?;
        Ok(self.library.texts(axioms))
    }
}
