//! A world of declarations to test with, and a small language to write them in.
#![allow(dead_code)] // each test binary uses its own part

mod lower;
mod notation;
mod tokens;

use atlas_lean_kernel::{
    Base, Declaration, Declarations, Inductive, Limits, NameId, Policy, Rule, Terms, Verdict, check, complete,
};

pub use notation::parse;

/// What most tests rest on, as Lean declares it.
pub const PRELUDE: &str = include_str!("prelude.txt");

/// Declarations over an empty base.
pub struct World {
    pub base: Base,
    pub terms: Terms,
    pub declarations: Declarations,
    pub policy: Policy,
    pub limits: Limits,
}

impl World {
    /// With nothing in it.
    pub fn empty() -> World {
        let base = Base::empty();
        let (terms, declarations) = (base.terms(), Declarations::over(&base));
        World { base, terms, declarations, policy: Policy::default(), limits: Limits::default() }
    }

    /// With [`PRELUDE`].
    pub fn new() -> World {
        World::empty().with(PRELUDE)
    }

    /// Over another base.
    pub fn over(base: &Base) -> World {
        World {
            terms: base.terms(),
            declarations: Declarations::over(base),
            base: base.clone(),
            ..World::empty()
        }
    }

    /// Adds what `script` says; blocks are completed.
    pub fn with(mut self, script: &str) -> World {
        self.say(script).unwrap_or_else(|e| panic!("{e}"));
        self
    }

    /// Adds what `script` says. An error is a block that has no recursors or a declaration that cannot be added.
    pub fn say(&mut self, script: &str) -> Result<(), Verdict> {
        for command in parse(script) {
            let d = match command.declaration(&mut self.terms) {
                Declaration::Inductive(block) => Declaration::Inductive(self.complete(&block)?),
                d => d,
            };
            self.add(d);
        }
        Ok(())
    }

    /// The block that `script` describes, completed and not added.
    pub fn block(&mut self, script: &str) -> Inductive {
        let block = self.raw_block(script);
        self.complete(&block).unwrap_or_else(|v| panic!("{v}"))
    }

    /// The block as it is written: no recursors.
    pub fn raw_block(&mut self, script: &str) -> Inductive {
        let commands = parse(script);
        let [command] = &commands[..] else { panic!("one block expected: {script}") };
        match command.declaration(&mut self.terms) {
            Declaration::Inductive(block) => block,
            d => panic!("a block expected, not {d:?}"),
        }
    }

    pub fn complete(&mut self, block: &Inductive) -> Result<Inductive, Verdict> {
        complete(&mut self.terms, &self.declarations, block, &self.limits)
    }

    pub fn add(&mut self, d: Declaration) {
        self.declarations.add(&self.terms, d).unwrap_or_else(|e| panic!("{e}"));
    }

    pub fn name(&mut self, path: &str) -> NameId {
        self.terms.name_path(path).unwrap()
    }

    pub fn verdict(&mut self) -> Verdict {
        check(&mut self.terms, &self.declarations, &self.policy, &self.limits)
    }
}

/// The rule that was broken, if one was.
pub fn rule(v: &Verdict) -> Option<Rule> {
    match v {
        Verdict::Rejected(r) => Some(r.rule),
        Verdict::Accepted(_) | Verdict::Undecided(_) => None,
    }
}

/// What becomes of `script` on top of the prelude: the rule that it breaks, or none.
pub fn judge(script: &str) -> Result<(), Rule> {
    let mut w = World::new();
    let v = match w.say(script) {
        Err(v) => v,
        Ok(()) => w.verdict(),
    };
    match v {
        Verdict::Accepted(_) => Ok(()),
        Verdict::Rejected(r) => Err(r.rule),
        Verdict::Undecided(u) => panic!("undecided: {}: {}", u.declaration, u.limit),
    }
}

/// Goes through a table and reports all lines that came out differently.
pub fn table(cases: &[(&str, &str, Result<(), Rule>)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(name, script, want)| {
            let got = judge(script);
            (got != *want).then(|| format!("{name}: {got:?} instead of {want:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
