//! The second kernel's part of a certified verdict: what its verdicts rest on is held loaded, and what it accepts is added to that.
//!
//! Both kernels must accept every declaration. What Lean's accepts and this one does not is never passed, and is reported as what it is: one
//! of the two has a mistake.

use std::time::Instant;

use atlas_judge::tags;
use atlas_lean_kernel::{
    AllowedAxioms, Base, Declarations, Limits, Policy, Stands, Terms, Verdict, check, ndjson,
};
use atlas_proto::DeclarationFacts;
use atlas_proto::receipt::KernelVerdict;
use parking_lot::Mutex;

use crate::cache::Cache;
use crate::facts::TOOLCHAIN_AXIOMS;
use crate::key::Key;
use crate::name::is_auxiliary_text;
use crate::pipeline::{Budget, Engine, Failure};

/// Bases that are kept beyond the toolchain's, the last used first. One takes little more than its modules' own terms.
const MOST_BASES: usize = 64;
/// Steps for one declaration: some ten seconds.
const STEPS: u64 = 200_000_000;

/// The kernel with the bases that it has loaded.
#[derive(Default)]
pub(crate) struct SecondKernel {
    bases: Mutex<Vec<(String, Loaded)>>,
}

/// A base in memory.
#[derive(Clone)]
struct Loaded {
    base: Base,
    /// How many of its declarations are the toolchain's: those after them are the library's.
    toolchain: usize,
}

/// What a module's verdict rests on.
pub(crate) struct Ground {
    /// Modules of the toolchain, beyond `Init`, that it and those below import.
    pub(crate) toolchain: Vec<String>,
    /// Digests of the exports of the library modules below, each after those that it imports.
    pub(crate) exports: Vec<String>,
}

/// Its verdict on a module; else a declaration and why that must not pass.
pub(crate) type Answer = Result<KernelVerdict, (String, String)>;

impl SecondKernel {
    /// Asks about the declarations in `export`, of which Lean's kernel has accepted all; `facts` is what was worked out of those that a
    /// person would name, and comes to name all axioms that are found, and what is noticed besides. `None`: there is nothing to rest a
    /// verdict on.
    pub(crate) fn judge(
        &self,
        engine: &dyn Engine,
        ground: &Ground,
        export: &[u8],
        facts: &mut [DeclarationFacts],
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Option<Answer>, Failure> {
        let Some(Loaded { base, toolchain }) = self.base(engine, ground, cache, budget)? else {
            return Ok(None);
        };
        let started = Instant::now();
        let verdict = match ask(&base, export) {
            Ok((Verdict::Accepted(accepted), mut terms, declarations)) => {
                match agree(facts, &accepted.declarations) {
                    Err(differs) => Err(differs),
                    Ok(()) => {
                        let milliseconds = started.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
                        notice(facts, &mut terms, &declarations, toolchain);
                        Ok(KernelVerdict {
                            kernel: format!("atlas-lean-kernel {}", env!("CARGO_PKG_VERSION")),
                            declarations: u32::try_from(accepted.declarations.len()).unwrap_or(u32::MAX),
                            milliseconds,
                        })
                    }
                }
            }
            Ok((Verdict::Rejected(no), ..)) => Err((
                no.declaration,
                format!("the second kernel rejects what Lean's accepts: {} ({})", no.reason, no.rule),
            )),
            Ok((Verdict::Undecided(no), ..)) => {
                Err((no.declaration, format!("the second kernel comes to no verdict: {}", no.limit)))
            }
            Err(error) => {
                Err(("the export".to_owned(), format!("the second kernel cannot read it: {error}")))
            }
        };
        if let Err((declaration, why)) = &verdict {
            tracing::error!(incident = true, declaration, why, "the kernels do not agree");
        }
        Ok(Some(verdict))
    }

    /// The toolchain's declarations and, on top, those of the modules below.
    fn base(
        &self,
        engine: &dyn Engine,
        ground: &Ground,
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Option<Loaded>, Failure> {
        let mut key = Key::new("base 1").with(&engine.identity());
        for name in &ground.toolchain {
            key = key.with(name);
        }
        let keys: Vec<String> = std::iter::once(key.clone().finish())
            .chain(ground.exports.iter().map(|digest| {
                key = key.clone().with(digest);
                key.clone().finish()
            }))
            .collect();
        // One at a time: what two would load at once is loaded once.
        let mut bases = self.bases.lock();
        let known = keys.iter().enumerate().rev().find_map(|(k, key)| {
            let at = bases.iter().position(|(known, _)| known == key)?;
            Some((k, bases[at].1.clone()))
        });
        let (mut done, mut loaded) = match known {
            Some(known) => known,
            None => {
                let Some(text) = engine.foundation(&ground.toolchain, cache, budget)? else {
                    return Ok(None);
                };
                let axioms: Vec<String> = TOOLCHAIN_AXIOMS.iter().map(|parts| parts.join(".")).collect();
                let axioms: Vec<&str> = axioms.iter().map(String::as_str).collect();
                let base = Base::load_statements(&mut &text[..], &axioms, &ndjson::Bounds::default())
                    .map_err(|error| Failure::environment(format!("the toolchain's export: {error}")))?;
                let loaded = Loaded { toolchain: base.len(), base };
                bases.insert(0, (keys[0].clone(), loaded.clone()));
                (0, loaded)
            }
        };
        while let Some(digest) = ground.exports.get(done) {
            let again = |why: String| Failure::environment(format!("the certified export {digest}: {why}"));
            let export = cache.export(digest)?;
            let (verdict, ..) = ask(&loaded.base, &export).map_err(|error| again(error.to_string()))?;
            let Verdict::Accepted(accepted) = verdict else { return Err(again(verdict.to_string())) };
            let next = loaded.base.extend(&accepted.certified);
            loaded.base = next.ok_or_else(|| again("it was checked over another base".to_owned()))?;
            done += 1;
            bases.insert(0, (keys[done].clone(), loaded.clone()));
        }
        // The toolchain's own is always the hardest to come by.
        while bases.len() > MOST_BASES {
            match bases.iter().rposition(|(key, _)| *key != keys[0]) {
                Some(last) => drop(bases.remove(last)),
                None => break,
            }
        }
        Ok(Some(loaded))
    }
}

/// Puts what is noticed of declarations that were accepted into their facts.
fn notice(facts: &mut [DeclarationFacts], terms: &mut Terms, declarations: &Declarations, toolchain: usize) {
    let started = Instant::now();
    let noticed = tags::of(terms, declarations, toolchain, &|name| !is_auxiliary_text(name));
    tracing::debug!(
        declarations = declarations.len(),
        ms = started.elapsed().as_millis() as u64,
        "looked for tags"
    );
    for facts in facts {
        facts.tags = noticed.get(&facts.name).into_iter().flatten().map(Into::into).collect();
    }
}

/// Compares two walks over the axioms: that of the facts, which ends at the toolchain's library, and the kernel's, which goes on
/// through what that library shows. The longer one counts; it must find what the other has found.
fn agree(facts: &mut [DeclarationFacts], stands: &[Stands]) -> Result<(), (String, String)> {
    for facts in facts {
        let Some(stands) = stands.iter().find(|stands| stands.name == facts.name) else { continue };
        if let Some(lost) = facts.axioms.iter().find(|axiom| !stands.axioms.contains(axiom)) {
            let why =
                format!("it rests on `{lost}`, which the second kernel's walk over its axioms has not met");
            return Err((facts.name.clone(), why));
        }
        facts.axioms.clone_from(&stands.axioms);
        facts.axioms.sort();
    }
    Ok(())
}

/// Which axioms may be rested on is the gate's to say, of each declaration; here they only have to be what their names say.
fn ask(base: &Base, export: &[u8]) -> Result<(Verdict, Terms, Declarations), ndjson::ReadError> {
    let mut reader = ndjson::Reader::new(base, &ndjson::Bounds::default());
    reader.read(&mut &export[..])?;
    let (mut terms, declarations) = reader.finish();
    let policy = Policy { axioms: AllowedAxioms::Any, ..Policy::default() };
    let verdict = check(&mut terms, &declarations, &policy, &Limits { steps: STEPS, ..Limits::default() });
    Ok((verdict, terms, declarations))
}
