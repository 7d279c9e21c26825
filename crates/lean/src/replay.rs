//! Lean's own kernel, in a guest that has elaborated nothing.
//!
//! What a submission's guest gave is text by now. Here the text is read, strictly, and rebuilt as Lean's objects in a copy of a guest that holds
//! the toolchain and, on top of it, certified exports of the modules below: rebuilt and accepted in the same way, one layer an export, never a
//! compiled module. Lean's kernel is handed one declaration after the other; what then stands in its environment is read back and compared
//! with the text.

use std::sync::Arc;

use atlas_judge::{Ground, Spoken, Word};
use atlas_lean_export::{Objects, WalkError};
use atlas_lean_kernel::{Base, Declaration, Declarations, Terms, ndjson};
use atlas_lean_wasm::{End, Job, Recipe, Snapshot};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::frame::{Frame, frames};
use crate::guests::{Guests, IMPORT_MEMORY, Making, Store, failure, job};
use crate::key::Key;
use crate::pipeline::{Budget, Failure};
use crate::rebuild;

/// How receipts name Lean's kernel.
const LEAN_KERNEL: &str = "Lean";
/// In messages, what is at fault when a text as a whole is.
const EXPORT: &str = "the export";

/// What Lean's kernel says of the declarations in a text. Only [`Replayed::Accepted`] is a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replayed {
    /// It accepts every one, and they are what the text says.
    Accepted {
        /// How many, an inductive block counted as one.
        declarations: u32,
        /// Wall time, from reading the text to the comparison.
        milliseconds: u32,
    },
    /// It refuses one, or the text cannot be read, or what it made is not what the text says.
    Refused {
        /// Which.
        declaration: String,
        /// Lean's message.
        why: String,
    },
    /// It gave up on one: too deep, out of time or memory.
    Undecided {
        /// Which.
        declaration: String,
        /// Lean's message.
        why: String,
    },
}

impl Replayed {
    /// As the judge takes it.
    pub(crate) fn spoken(self) -> Spoken {
        let word = match self {
            Self::Accepted { declarations, milliseconds } => Word::Accepted { declarations, milliseconds },
            Self::Refused { declaration, why } => Word::Rejected { declaration, reason: why },
            Self::Undecided { declaration, why } => Word::Undecided { declaration, reason: why },
        };
        Spoken { kernel: LEAN_KERNEL.to_owned(), word }
    }
}

/// Asks about the declarations in `export`.
pub(crate) fn replay(
    guests: &Guests,
    ground: &Ground,
    export: &[u8],
    store: &dyn Store,
    budget: &Budget,
) -> Result<Replayed, Failure> {
    let from = stand_on(guests, ground, store, budget)?;
    let started = std::time::Instant::now();
    let Asked { declarations, recipe, back } = match Asked::read(export) {
        Ok(asked) => asked,
        Err((declaration, why)) => return Ok(Replayed::Refused { declaration, why }),
    };
    let (job, back) = back.job("accept\n---\n", recipe, budget.memory, budget)?;
    let run = guests.image.run(&from, job).map_err(Error::from)?;
    budget.used(run.elapsed, run.memory_bytes);
    let End::Answered(answer) = &run.end else { return Err(failure(&run, "Lean's kernel")) };
    let milliseconds = started.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
    Ok(told_of_one(answer, &back)?.unwrap_or(Replayed::Accepted { declarations, milliseconds }))
}

/// A guest with the toolchain and all exports of the ground, each accepted there by Lean's kernel.
fn stand_on(
    guests: &Guests,
    ground: &Ground,
    store: &dyn Store,
    budget: &Budget,
) -> Result<Arc<Snapshot>, Failure> {
    let (toolchain, mut guest) = guests.imported(&[], &ground.toolchain, &[], store, budget)?;
    let mut key = Key::new("accepted 1").with(&toolchain);
    let keys: Vec<String> = ground
        .exports
        .iter()
        .map(|digest| {
            key = key.clone().with(digest);
            key.clone().finish()
        })
        .collect();
    let known = keys.iter().enumerate().rev().find_map(|(k, key)| Some((k + 1, guests.find(key)?)));
    let mut done = 0;
    if let Some(known) = known {
        (done, guest) = known;
    }
    for (digest, key) in ground.exports.iter().zip(&keys).skip(done) {
        guest = guests.layer(key, "accepting the modules below", budget, || {
            let text = store.export(digest)?;
            let digest = digest.clone();
            let again = move |(name, why): (String, String)| unsound(&digest, &name, &why);
            let Asked { recipe, back, .. } = Asked::read(&text).map_err(again.clone())?;
            let (job, back) = back.job("keep\n---\n", recipe, IMPORT_MEMORY, budget)?;
            let answered = Box::new(move |answer: &[u8]| match told_of_one(answer, &back)? {
                Some(Replayed::Refused { declaration, why } | Replayed::Undecided { declaration, why }) => {
                    Err(again((declaration, why)))
                }
                _ => Ok(()),
            });
            Ok(Making { from: guest.clone(), job, answered })
        })?;
    }
    Ok(guest)
}

/// What the session says, if it is not that everything was accepted.
fn told_of_one(answer: &[u8], back: &Compared) -> Result<Option<Replayed>, Failure> {
    let unreadable = || Failure::unreadable("Lean's kernel");
    let text = std::str::from_utf8(answer).map_err(|_| unreadable())?;
    let frames = frames(text).ok_or_else(unreadable)?;
    let [frame] = &frames[..] else { return Err(unreadable()) };
    told(frame, back.lock().take())
}

/// What the session says of one text, if it is not that everything was accepted; `compared` is how the comparison came out of what it handed
/// over, if it did.
pub(crate) fn told(
    frame: &Frame<'_>,
    compared: Option<Result<(), (String, String)>>,
) -> Result<Option<Replayed>, Failure> {
    let (declaration, why) = (frame.text(0).to_owned(), frame.text(1).trim_end().to_owned());
    match (frame.tag, compared) {
        ("rejected", _) => Ok(Some(Replayed::Refused { declaration, why })),
        ("undecided", _) => Ok(Some(Replayed::Undecided { declaration, why })),
        ("end", Some(Ok(()))) => Ok(None),
        ("end", Some(Err((declaration, why)))) => Ok(Some(Replayed::Refused { declaration, why })),
        _ => Err(Failure::unreadable("Lean's kernel")),
    }
}

/// A certified export that Lean's kernel does not accept.
pub(crate) fn unsound(digest: &str, declaration: &str, why: &str) -> Failure {
    Failure::environment(format!("the certified export {digest}: `{declaration}`: {why}"))
}

/// A text that was read: what a guest is given, and what must come back.
pub(crate) struct Asked {
    pub(crate) declarations: u32,
    pub(crate) recipe: Recipe,
    pub(crate) back: Back,
}

impl Asked {
    /// Reads a text; else, which declaration is at fault and why.
    pub(crate) fn read(export: &[u8]) -> Result<Self, (String, String)> {
        let base = Base::empty();
        let mut reader = ndjson::Reader::new(&base, &ndjson::Bounds::default());
        reader
            .read(&mut &export[..])
            .map_err(|error| (EXPORT.to_owned(), format!("it cannot be read: {error}")))?;
        let (terms, declarations) = reader.finish();
        let recipe = rebuild::recipe(&terms, &declarations).map_err(|(name, why)| (name, why.to_owned()))?;
        let count = u32::try_from(declarations.len()).unwrap_or(u32::MAX);
        Ok(Self { declarations: count, recipe, back: Back { base, terms, declarations } })
    }
}

/// What was given, to be compared with what comes back.
pub(crate) struct Back {
    base: Base,
    terms: Terms,
    declarations: Declarations,
}

/// How the comparison came out; nothing if the session handed nothing over.
type Compared = Arc<Mutex<Option<Result<(), (String, String)>>>>;

impl Back {
    /// The run that gives `recipe` to the session, and where the comparison's outcome will be.
    fn job(
        self,
        request: &str,
        recipe: Recipe,
        memory: u64,
        budget: &Budget,
    ) -> Result<(Job, Compared), Failure> {
        let compared = Compared::default();
        let (slot, mut this) = (compared.clone(), Some(self));
        let mut job = job(request.to_owned(), memory, budget)?;
        job.given = recipe;
        job.reader = Some(Box::new(move |heap, address| {
            // The first counts.
            if let Some(this) = this.take() {
                *slot.lock() = Some(this.compare(heap, address));
            }
        }));
        Ok((job, compared))
    }

    /// Are the constants in the pair at `address` those that were given? They are read into the same tables, in which equal terms have
    /// equal ids.
    pub(crate) fn compare(self, heap: &dyn Objects, address: u32) -> Result<(), (String, String)> {
        let unreadable = |error: WalkError| {
            (EXPORT.to_owned(), format!("what Lean's kernel made of it cannot be read: {error}"))
        };
        let constants = heap.field(address, 0).and_then(|made| heap.array(made)).map_err(WalkError::from);
        let (terms, made) = constants
            .and_then(|constants| atlas_lean_export::read(heap, &constants, self.terms, &self.base))
            .map_err(unreadable)?;
        for given in self.declarations.iter() {
            let Some(name) = name(&given) else { continue };
            if made.get(name).map(in_order) != Some(in_order(given)) {
                let why = "what Lean's kernel has now under this name is not what the text says";
                return Err((terms.show(name), why.to_owned()));
            }
        }
        if made.len() != self.declarations.len() {
            return Err((
                EXPORT.to_owned(),
                "Lean's kernel has made another number of declarations".to_owned(),
            ));
        }
        Ok(())
    }
}

fn name(declaration: &Declaration) -> Option<atlas_lean_kernel::NameId> {
    Some(match declaration {
        Declaration::Axiom(s) => s.name,
        Declaration::Definition { signature, .. }
        | Declaration::Theorem { signature, .. }
        | Declaration::Opaque { signature, .. }
        | Declaration::Quotient { signature, .. } => signature.name,
        Declaration::Inductive(block) => block.types.first()?.signature.name,
    })
}

/// Recursors come in any order.
fn in_order(mut declaration: Declaration) -> Declaration {
    if let Declaration::Inductive(block) = &mut declaration {
        block.recursors.sort_by_key(|recursor| recursor.signature.name);
    }
    declaration
}
