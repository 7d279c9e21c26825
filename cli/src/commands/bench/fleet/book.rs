//! A book of any size: theorems that rest on nothing, twenty to a chapter.

use atlas_domain::RunId;
use atlas_proto::{Chapter, Policy, RunSpec, Target};

/// The library's root module.
pub const PACKAGE: &str = "Fleet";
/// Targets of a chapter.
const CHAPTER: u32 = 20;

/// A target's number, from its label.
pub fn number(target: &str) -> Option<u32> {
    target.strip_prefix('t')?.parse().ok()
}

/// The module of a target.
pub fn module(number: u32) -> String {
    format!("{PACKAGE}.C{:05}", number / CHAPTER)
}

/// What a target's region holds: its statement, with the proof that the gate takes or with `sorry`.
pub fn region(number: u32, note: &str, proved: bool) -> String {
    let proof = if proved { proof(number) } else { "by\n  sorry".to_owned() };
    format!("/-- {note} -/\ntheorem t{number:05} (n : Nat) : n + {number} = {number} + n := {proof}\n")
}

/// The one proof of a target.
pub fn proof(number: u32) -> String {
    format!("Nat.add_comm n {number}")
}

/// A run on a book of `targets` targets, as many agents at once, of `turns` turns each. An attempt that fails is not repeated: triage asks a
/// person.
pub fn spec(run: &RunId, targets: u32, turns: u32) -> RunSpec {
    let target = |number: u32| Target {
        id: format!("t{number:05}"),
        kind: "theorem".to_owned(),
        chapter: format!("c{:05}", number / CHAPTER),
        statement: format!("For every n, n + {number} = {number} + n."),
        declaration: format!("{PACKAGE}.t{number:05}"),
        module: module(number),
        ..Target::default()
    };
    let chapter = |at: u32| Chapter {
        slug: format!("c{at:05}"),
        title: format!("Chapter {at}"),
        module: module(at * CHAPTER),
        ..Chapter::default()
    };
    RunSpec {
        run: run.to_string(),
        targets: (0..targets).map(target).collect(),
        chapters: (0..targets.div_ceil(CHAPTER)).map(chapter).collect(),
        package: PACKAGE.to_owned(),
        policy: Some(Policy {
            max_agents: targets,
            attempts_per_task: 1,
            racing: 1,
            max_turns: turns + 1,
            triage_limit: 1,
            ..Policy::default()
        }),
        ..RunSpec::default()
    }
}
