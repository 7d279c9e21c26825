//! The judge: reads the text that left a guest over what has been certified, and says what it declares, what of it no library may
//! have, and whether the second kernel accepts it.
//!
//! Nothing that the submission's code has touched is believed here: not which declarations there are, nor what they are called, state or
//! rest on. What the guest hides does not exist for the judge, and cannot be rested on later either, since later verdicts rest on this
//! text. Pure: what it needs is fetched by whoever asks; what comes out is plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use atlas_lean_kernel::{
    AllowedAxioms, Base, ConstantKind, Declarations, Limits, NameId, Policy, Terms, Verdict, check, ndjson,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::facts::{Facts, LibraryFacts};
use crate::gate::foreign_axioms;
use crate::kernels::{Spoken, Word};
use crate::library::{TOOLCHAIN_AXIOMS, TooLarge};
use crate::names::is_auxiliary_text;
use crate::receipt::AXIOMS;
use crate::tags::{self, Tag};

/// Names the code that judges, in receipts and in keys of verdicts; another version may judge otherwise.
pub const JUDGE: &str = concat!("atlas-judge ", env!("CARGO_PKG_VERSION"), " judge 2");
/// Names the kernel that judges here.
pub const KERNEL: &str = concat!("atlas-lean-kernel ", env!("CARGO_PKG_VERSION"));

/// Bases that are kept beyond the toolchain's, the last used first. One takes little more than its modules' own terms.
const MOST_BASES: usize = 64;

/// What a module's verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// Names the toolchain and everything that its export depends on.
    pub identity: String,
    /// Modules of the toolchain, beyond `Init`, that the module and those below import, sorted.
    pub toolchain: Vec<String>,
    /// SHA-256 (hex) of the certified exports of the library modules below, each after those that it imports.
    pub exports: Vec<String>,
}

/// A text that the judge asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Wanted<'a> {
    /// What [`Judge::frozen`] gave for a ground with these modules of the toolchain, from a place that only its owner writes; asked for
    /// first, and [`Wanted::Toolchain`] where it cannot be had or is damaged.
    Frozen(&'a [String]),
    /// The declarations of the toolchain's `Init` and of these modules, theorems and hidden values as `axiom` lines.
    Toolchain(&'a [String]),
    /// The certified export with this SHA-256.
    Export(&'a str),
}

/// Gives the texts that the judge asks for; an error says why one cannot be had.
pub type Fetch<'f> = dyn FnMut(Wanted<'_>) -> Result<Arc<[u8]>, String> + 'f;

/// What one examination may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bound {
    /// Bytes of the export.
    pub bytes: u64,
    /// Names, levels and terms of the export.
    pub nodes: u32,
    /// Steps of the kernel for one declaration.
    pub steps: u64,
    /// Steps of the kernel for all of them.
    pub total_steps: u64,
}

impl Default for Bound {
    /// A gigabyte, some ten seconds for one declaration and some minutes for all.
    fn default() -> Self {
        Self { bytes: 1 << 30, nodes: 1 << 24, steps: 200_000_000, total_steps: 6_000_000_000 }
    }
}

/// A declaration (or what else) and why it must not pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refusal {
    /// Its full name.
    pub declaration: String,
    /// Why.
    pub why: String,
}

/// What the judge says of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Facts of its declarations: of those that a person would name and of those that were asked for.
    pub declarations: Vec<Facts>,
    /// What no library may have.
    pub refusals: Vec<Refusal>,
    /// What was noticed of declarations, by name, that no kernel refuses; where the kernel accepted them.
    pub tags: BTreeMap<String, Vec<Tag>>,
    /// The second kernel's word.
    pub kernel: Spoken,
    /// Two ways of finding out the same thing do not agree: this code has a mistake.
    pub incident: Option<Refusal>,
}

/// Why there is nothing to rest a verdict on: a fault of the environment.
#[derive(Debug, thiserror::Error)]
pub enum Groundless {
    /// A text could not be had.
    #[error("{0}")]
    Fetch(String),
    /// A text is not what it must be.
    #[error("{what}: {why}")]
    Damaged {
        /// Which text.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Groundless {
    fn export(digest: &str, why: impl ToString) -> Self {
        Self::Damaged { what: format!("the certified export {digest}"), why: why.to_string() }
    }
}

/// What verdicts rest on, loaded: the toolchain's declarations and, on top, those of certified modules.
#[derive(Clone)]
struct Loaded {
    key: String,
    /// The toolchain's part of it.
    toolchain: Base,
    base: Base,
}

/// The judge, with the bases that it has loaded.
#[derive(Default)]
pub struct Judge {
    bases: Mutex<Vec<Loaded>>,
}

impl Judge {
    /// Examines `export`, the declarations of a module in lean4export's format, on `ground`. `asked` are declarations whose facts are
    /// wanted although Lean made them up. `fetch` gives the texts that are not loaded yet.
    ///
    /// # Errors
    /// [`Groundless`]: nothing has been said of the module.
    pub fn examine(
        &self,
        ground: &Ground,
        export: &[u8],
        asked: &BTreeSet<String>,
        bound: &Bound,
        fetch: &mut Fetch<'_>,
    ) -> Result<Judged, Groundless> {
        let loaded = self.stand(ground, fetch)?;
        let (mut terms, given) = match read(&loaded.base, export, bound) {
            Ok(read) => read,
            Err(error) => return Ok(unread(&error)),
        };
        let started = Instant::now();
        let verdict = check(&mut terms, &given, &policy(), &limits(bound));
        let milliseconds = started.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
        let grown = match &verdict {
            Verdict::Accepted(accepted) => loaded.base.extend(&accepted.certified),
            _ => None,
        };
        let examined = Examination { toolchain: &loaded.toolchain, grown: grown.as_ref(), asked };
        let (declarations, refusals, incident) = examined
            .run(&mut terms, &given)
            .unwrap_or_else(|why| (Vec::new(), vec![the_export(why.to_string())], None));
        let tags = match &grown {
            Some(_) => tags::of(&mut terms, &given, loaded.toolchain.len(), &|name| !is_auxiliary_text(name)),
            None => BTreeMap::new(),
        };
        if let Some(base) = grown.filter(|_| refusals.is_empty() && incident.is_none()) {
            self.keep(ground, export, Loaded { base, ..loaded });
        }
        let kernel = Spoken { kernel: KERNEL.to_owned(), word: word(verdict, milliseconds) };
        Ok(Judged { declarations, refusals, tags, kernel, incident })
    }

    /// The toolchain's part of a ground that has been examined on, for [`Wanted::Frozen`]: several times as fast to load as its text.
    /// `None` when it is no longer loaded.
    pub fn frozen(&self, ground: &Ground) -> Option<Vec<u8>> {
        let key = keys(ground).swap_remove(0);
        let base = self.bases.lock().iter().find(|known| known.key == key)?.base.clone();
        let mut bytes = Vec::new();
        base.write_frozen(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The base that `ground` makes.
    fn stand(&self, ground: &Ground, fetch: &mut Fetch<'_>) -> Result<Loaded, Groundless> {
        let keys = keys(ground);
        // One at a time: what two would load at once is loaded once.
        let mut bases = self.bases.lock();
        let known = keys.iter().enumerate().rev().find_map(|(done, key)| {
            let at = bases.iter().position(|known| known.key == *key)?;
            let found = bases.remove(at);
            bases.insert(0, found.clone());
            Some((done, found))
        });
        let (mut done, mut loaded) = match known {
            Some(known) => known,
            None => {
                let frozen = fetch(Wanted::Frozen(&ground.toolchain)).ok();
                let toolchain = match frozen.and_then(|bytes| Base::read_frozen(&bytes).ok()) {
                    Some(base) => base,
                    None => toolchain(&ground.toolchain, fetch)?,
                };
                let loaded = Loaded { key: keys[0].clone(), base: toolchain.clone(), toolchain };
                bases.insert(0, loaded.clone());
                (0, loaded)
            }
        };
        while let Some(digest) = ground.exports.get(done) {
            let export = fetch(Wanted::Export(digest)).map_err(Groundless::Fetch)?;
            if hex::encode(Sha256::digest(&export)) != *digest {
                return Err(Groundless::export(digest, "its content has another digest"));
            }
            let bound = Bound::default();
            let (mut terms, declarations) =
                read(&loaded.base, &export, &bound).map_err(|error| Groundless::export(digest, error))?;
            let verdict = check(&mut terms, &declarations, &policy(), &limits(&bound));
            let Verdict::Accepted(accepted) = verdict else {
                return Err(Groundless::export(digest, verdict));
            };
            let next = loaded.base.extend(&accepted.certified);
            done += 1;
            loaded.base =
                next.ok_or_else(|| Groundless::export(digest, "it was checked over another base"))?;
            loaded.key.clone_from(&keys[done]);
            bases.insert(0, loaded.clone());
        }
        evict(&mut bases, &keys[0]);
        Ok(loaded)
    }

    /// Keeps the base that a module makes with what it rests on, for the modules above it: if it is certified, they will name its export.
    fn keep(&self, ground: &Ground, export: &[u8], above: Loaded) {
        let mut ground = ground.clone();
        ground.exports.push(hex::encode(Sha256::digest(export)));
        let mut keys = keys(&ground);
        let Some(key) = keys.pop() else { return };
        let mut bases = self.bases.lock();
        if !bases.iter().any(|known| known.key == key) {
            bases.insert(0, Loaded { key, ..above });
            evict(&mut bases, &keys[0]);
        }
    }
}

/// The base that the toolchain's text makes.
fn toolchain(modules: &[String], fetch: &mut Fetch<'_>) -> Result<Base, Groundless> {
    let text = fetch(Wanted::Toolchain(modules)).map_err(Groundless::Fetch)?;
    let base = Base::load_statements(&mut &text[..], &TOOLCHAIN_AXIOMS, &ndjson::Bounds::default());
    base.map_err(|error| Groundless::Damaged {
        what: "the toolchain's export".to_owned(),
        why: error.to_string(),
    })
}

/// Lets the bases go that were used least, but for the toolchain's own, which is the hardest to come by.
fn evict(bases: &mut Vec<Loaded>, toolchain: &str) {
    while bases.len() > MOST_BASES {
        match bases.iter().rposition(|known| known.key != toolchain) {
            Some(last) => drop(bases.remove(last)),
            None => break,
        }
    }
}

/// The keys of the bases that a ground is built of: the toolchain's, then with one export more each.
fn keys(ground: &Ground) -> Vec<String> {
    let mut hash = Sha256::new();
    let mut with = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
        hash.clone()
    };
    let mut toolchain = with(&ground.identity);
    for name in &ground.toolchain {
        toolchain = with(name);
    }
    let exports = ground.exports.iter().map(|digest| with(digest)).collect::<Vec<_>>();
    std::iter::once(toolchain).chain(exports).map(|hash| hex::encode(hash.finalize())).collect()
}

/// Reads an export strictly, over what it must rest on: nothing may refer forward, be there twice or differ from what the base has.
fn read(base: &Base, export: &[u8], bound: &Bound) -> Result<(Terms, Declarations), ndjson::ReadError> {
    let bounds = ndjson::Bounds { bytes: bound.bytes, nodes: bound.nodes, ..ndjson::Bounds::default() };
    let mut reader = ndjson::Reader::new(base, &bounds);
    reader.read(&mut &export[..])?;
    Ok(reader.finish())
}

/// Which axioms may be rested on is said below, of each declaration; to the kernel they only have to be what their names say.
fn policy() -> Policy {
    Policy { axioms: AllowedAxioms::Any, ..Policy::default() }
}

fn limits(bound: &Bound) -> Limits {
    Limits { steps: bound.steps, total_steps: bound.total_steps, ..Limits::default() }
}

fn word(verdict: Verdict, milliseconds: u32) -> Word {
    match verdict {
        Verdict::Accepted(accepted) => Word::Accepted {
            declarations: u32::try_from(accepted.declarations.len()).unwrap_or(u32::MAX),
            milliseconds,
        },
        Verdict::Rejected(no) => {
            Word::Rejected { declaration: no.declaration, reason: format!("{} ({})", no.reason, no.rule) }
        }
        Verdict::Undecided(no) => {
            Word::Undecided { declaration: no.declaration, reason: no.limit.to_string() }
        }
    }
}

fn the_export(why: String) -> Refusal {
    Refusal { declaration: "the export".to_owned(), why }
}

/// What is said of a text that is none: nothing is known of what it declares.
fn unread(error: &ndjson::ReadError) -> Judged {
    let Refusal { declaration, why: reason } = the_export(format!("it cannot be read: {error}"));
    let word = Word::Undecided { declaration, reason };
    let kernel = Spoken { kernel: KERNEL.to_owned(), word };
    Judged { declarations: Vec::new(), refusals: Vec::new(), tags: BTreeMap::new(), kernel, incident: None }
}

/// Facts, what is refused, and an incident.
type Examined = (Vec<Facts>, Vec<Refusal>, Option<Refusal>);

/// Looks at the declarations of an export beyond their types.
struct Examination<'e> {
    toolchain: &'e Base,
    /// The base with the declarations on top, if the kernel accepted them.
    grown: Option<&'e Base>,
    asked: &'e BTreeSet<String>,
}

impl Examination<'_> {
    fn run(&self, terms: &mut Terms, declarations: &Declarations) -> Result<Examined, TooLarge> {
        let special: BTreeSet<NameId> = terms.special_names().into_iter().collect();
        let full = |_| TooLarge;
        let mut library = LibraryFacts::new(terms, declarations, Some(self.toolchain)).map_err(full)?;
        let (mut facts, mut refusals, mut incident) = (Vec::new(), Vec::new(), None);
        let mut printed: BTreeMap<String, NameId> = BTreeMap::new();
        for name in declarations.names() {
            let text = library.text(name);
            let mut refuse = |why: &str| {
                refusals.push(Refusal { declaration: text.clone(), why: why.to_owned() });
            };
            match declarations.constant(name).map(|constant| constant.kind) {
                Some(ConstantKind::Axiom | ConstantKind::Given) => refuse("a library declares no axioms"),
                Some(ConstantKind::Quotient) => refuse("a library declares no quotient types of its own"),
                _ => {}
            }
            if special.contains(&name) {
                refuse("the kernel gives this name a meaning of its own: no library may");
            }
            if printed.insert(text.clone(), name).is_some() {
                refuse("another declaration has a name that prints alike");
            }
            let axioms = library.axioms(name)?;
            if let Some(foreign) = foreign_axioms(&axioms, &AXIOMS) {
                refuse(&format!("it rests on {foreign}"));
            }
            if let Some(grown) = self.grown {
                let kernel = library.texts(grown.axioms(name));
                if kernel != axioms {
                    let why = format!("two walks over its axioms differ: {kernel:?} and {axioms:?}");
                    incident = Some(Refusal { declaration: text.clone(), why });
                }
            }
            if !library.is_auxiliary(name) || self.asked.contains(&text) {
                facts.extend(library.facts(name)?);
            }
        }
        Ok((facts, refusals, incident))
    }
}
