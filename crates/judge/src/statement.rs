//! The statement's hash: SHA-256 over what a declaration says and what each library constant says that it rests on, at any depth.
//!
//! A theorem says its type; a definition, an instance or an opaque constant also its value; an inductive type its constructors. Binder
//! names and infos do not count; universe parameters count by name; a constant counts by its name and is itself part of the
//! closure, but one that Lean split off (a matcher, a proof) counts by its content, since such are shared between declarations and
//! named after the first that needed them.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use atlas_lean_kernel::{Constant, Digest, Digests, ExprId, NameId};
use sha2::{Digest as _, Sha256};

use crate::library::{Kind, Library, TooLarge, said};

/// SHA-256 over parts that are framed by their lengths, so that different lists of parts differ.
fn digest(tag: &str, parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    for part in std::iter::once(tag.as_bytes()).chain(parts.iter().copied()) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

/// What has been worked out of statements.
#[derive(Default)]
pub(crate) struct Statements {
    digests: Digests,
    contents: HashMap<NameId, Digest>,
    uses: HashMap<NameId, Rc<[NameId]>>,
    /// Inlined constants that have been given a digest to stand in for them, or are being given one.
    inlined: BTreeSet<NameId>,
}

impl Statements {
    /// The library constants that what a declaration says rests on, at any depth: its own name is not among them unless it refers to
    /// itself (an inductive type).
    pub(crate) fn closure(
        &mut self,
        library: &mut Library<'_>,
        name: NameId,
    ) -> Result<BTreeSet<NameId>, TooLarge> {
        let mut closure = BTreeSet::new();
        let mut todo = self.content_uses(library, name)?.to_vec();
        while let Some(used) = todo.pop() {
            if library.constant(used).is_some() && closure.insert(used) {
                library.spend(1)?;
                todo.extend(self.content_uses(library, used)?.iter());
            }
        }
        Ok(closure)
    }

    /// The hash of a declaration's statement, whose closure is `closure`; with `instead`, as if that were its type.
    pub(crate) fn hash(
        &mut self,
        library: &mut Library<'_>,
        name: NameId,
        closure: &BTreeSet<NameId>,
        instead: Option<ExprId>,
    ) -> Result<Digest, TooLarge> {
        let content = match (instead, library.constant(name)) {
            (Some(ty), Some(constant)) => self.content_with(library, &Constant { ty, ..constant })?,
            _ => self.content(library, name)?,
        };
        let mut entries = Vec::with_capacity(closure.len());
        for used in closure {
            entries.push((self.digests.name(library.terms, *used).0, self.content(library, *used)?.0));
        }
        // By name: ids depend on the order in which names were met.
        entries.sort_unstable();
        let parts: Vec<&[u8]> = std::iter::once(&content.0[..])
            .chain(entries.iter().flat_map(|(name, content)| [&name[..], &content[..]]))
            .collect();
        library.spend(entries.len())?;
        Ok(digest("atlas statement 2", &parts))
    }

    /// The digests of a declaration's type and of all that it says by itself.
    pub(crate) fn said(
        &mut self,
        library: &mut Library<'_>,
        name: NameId,
        ty: ExprId,
    ) -> Result<(Digest, Digest), TooLarge> {
        // Its content first: then everything in its type has been given what stands in for it.
        let content = self.content(library, name)?;
        Ok((self.digests.expr(library.terms, ty), content))
    }

    /// The constants that what a declaration says refers to.
    fn content_uses(&mut self, library: &mut Library<'_>, name: NameId) -> Result<Rc<[NameId]>, TooLarge> {
        if let Some(known) = self.uses.get(&name) {
            return Ok(known.clone());
        }
        let mut uses = Vec::new();
        if let Some(constant) = library.constant(name) {
            uses = library.uses(&said(&constant))?;
            uses.extend(constant.constructors.iter().chain(&constant.inductive));
        }
        let uses: Rc<[NameId]> = uses.into();
        self.uses.insert(name, uses.clone());
        Ok(uses)
    }

    /// The digest of what a constant says, its name left out.
    fn content(&mut self, library: &mut Library<'_>, name: NameId) -> Result<Digest, TooLarge> {
        if let Some(known) = self.contents.get(&name) {
            return Ok(*known);
        }
        let content = match library.constant(name) {
            Some(constant) => self.content_with(library, &constant)?,
            None => digest("unknown", &[]),
        };
        self.contents.insert(name, content);
        Ok(content)
    }

    fn content_with(
        &mut self,
        library: &mut Library<'_>,
        constant: &Constant<'_>,
    ) -> Result<Digest, TooLarge> {
        let said = said(constant);
        self.stand_in(library, &said)?;
        let mut parts = Vec::new();
        for term in said {
            parts.push(self.digests.expr(library.terms, term).0.to_vec());
        }
        parts.push(constant.num_params.to_be_bytes().to_vec());
        let names = [constant.universe_params, constant.constructors, constant.inductive.as_slice()];
        for list in names {
            parts.push((list.len() as u64).to_be_bytes().to_vec());
            for name in list {
                parts.push(self.digests.name(library.terms, *name).0.to_vec());
            }
        }
        let kind = Kind::of(constant).as_str();
        let parts: Vec<&[u8]> =
            std::iter::once(kind.as_bytes()).chain(parts.iter().map(Vec::as_slice)).collect();
        Ok(digest("content", &parts))
    }

    /// Gives the inlined constants in these terms, and those in them, the digests that stand in for them: what is needed first. One that
    /// refers to itself, which no kernel accepts, keeps its name.
    fn stand_in(&mut self, library: &mut Library<'_>, terms: &[ExprId]) -> Result<(), TooLarge> {
        let names = library.names_in(terms)?;
        // By hand and not by recursion: they may be nested deeper than any stack.
        let mut todo: Vec<(NameId, bool)> = names.into_iter().map(|name| (name, false)).collect();
        while let Some((name, ready)) = todo.pop() {
            if !library.is_inlined(name) {
                continue;
            }
            if !ready {
                if self.inlined.insert(name) {
                    todo.push((name, true));
                    todo.extend(library.inlined_uses(name)?.iter().map(|below| (*below, false)));
                }
                continue;
            }
            if let Some(constant) = library.constant(name) {
                // All that stands in it has been met: this goes no deeper.
                let content = self.content_with(library, &constant)?;
                self.digests.stand_in(name, content);
            }
        }
        Ok(())
    }
}
