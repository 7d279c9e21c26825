//! The merge queue under random submissions, conflicts, breaks, faults, changes of policy, redelivered letters and crashes at any point.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use atlas_actor::Machine as _;
use atlas_merge_coordinator::bench::{Simulation, Truth, actor, request};
use atlas_merge_coordinator::{Command, Effect, MergeQueue, Policy, SKELETON};
use atlas_proto::merge_event::Event;
use atlas_proto::{ClearIncident, MergeEvent, MergeOutcome, merge_outcome};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

const MODULES: [&str; 4] = ["N.A", "N.B", "N.C", "N.Top"];

fn name(at: usize) -> String {
    format!("s{at}")
}

fn truth(random: &mut StdRng, submissions: usize) -> Truth {
    let mut truth = Truth::default();
    let alike = random.random_bool(0.3);
    let modules = if random.random_bool(0.5) { &MODULES[..] } else { &MODULES[..3] };
    for at in 0..submissions {
        let id = name(at);
        if random.random_bool(0.15) {
            truth.bad.insert(id.clone());
        }
        if random.random_bool(0.05) {
            truth.forbidden.insert(id.clone());
        }
        if random.random_bool(0.1) {
            truth.faults.insert(id.clone(), *[1, 1, 9].choose(random).unwrap());
        }
        if at > 0 && random.random_bool(0.15) {
            truth.clashes.insert((name(random.random_range(0..at)), id.clone()));
        }
        if at > 0 && random.random_bool(0.1) {
            truth.conflicts.insert((name(random.random_range(0..at)), id.clone()));
        }
        let module = if alike { "N.A" } else { modules.choose(random).unwrap() };
        truth.writes.insert(id, vec![module.to_owned()]);
    }
    for at in 0..submissions {
        if random.random_bool(0.1) {
            truth.axioms.insert(name(at), atlas_judge::AXIOMS.choose(random).unwrap().to_string());
        }
    }
    for module in MODULES {
        if random.random_bool(0.1) {
            truth.faults.insert(module.to_owned(), random.random_range(1..6));
        }
    }
    // Lean sees a clash only where both are elaborated, git a conflict only in one file.
    let meet = |(one, other): &(String, String)| truth.writes[one] == truth.writes[other];
    truth.clashes = truth.clashes.iter().filter(|pair| meet(pair)).cloned().collect();
    truth.conflicts = truth.conflicts.iter().filter(|pair| meet(pair)).cloned().collect();
    truth
}

struct Chaos {
    simulation: Simulation,
    random: StdRng,
    letters: Vec<Command>,
    /// A snapshot, and how long the journal was then.
    snapshot: Option<(Vec<u8>, usize)>,
}

impl Chaos {
    /// Tells a command, or crashes before it is journaled: the machine starts again from its journal.
    fn tell(&mut self, command: Command, chaos: bool) {
        if chaos && self.random.random_bool(0.1) {
            return self.crash();
        }
        self.simulation.tell(command);
        if chaos && self.random.random_bool(0.05) {
            self.crash();
        }
    }

    fn crash(&mut self) {
        let mut again = MergeQueue::new(&actor());
        for (time_ms, event) in &self.simulation.journal {
            again.apply(event, *time_ms);
        }
        assert_eq!(again.view(), self.simulation.machine.view(), "the journal says all");
        let keys =
            |machine: &MergeQueue| machine.effects().into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(&again), keys(&self.simulation.machine));
        let journal = &self.simulation.journal;
        let now = (self.simulation.machine.snapshot().unwrap(), journal.len());
        for (state, folded) in self.snapshot.iter().chain([&now]) {
            let mut restored = MergeQueue::restore(state).unwrap();
            for (time_ms, event) in &journal[*folded..] {
                restored.apply(event, *time_ms);
            }
            assert!(restored == again, "{folded} of {} events were in the snapshot", journal.len());
        }
        self.snapshot = Some(now);
        self.simulation.machine = again;
    }

    /// Runs one effect, whichever. `false`: there is none.
    fn step(&mut self, chaos: bool) -> bool {
        self.simulation.now_ms += self.random.random_range(0..500);
        if chaos && self.random.random_bool(0.1) && !self.letters.is_empty() {
            let letter = self.letters.choose(&mut self.random).unwrap().clone();
            self.tell(letter, true);
        }
        let effects = self.simulation.effects();
        let Some((_, effect)) = effects.choose(&mut self.random) else { return false };
        let command = match effect {
            Effect::Certify { id, tree, check, .. } => {
                let command = Command::Checked(self.simulation.world.check(id, tree, check));
                self.letters.push(command.clone());
                command
            }
            Effect::Wait { until_ms } => {
                self.simulation.now_ms = self.simulation.now_ms.max(*until_ms);
                Command::Waited
            }
            effect => self.simulation.act(effect).unwrap(),
        };
        let landed = matches!(command, Command::Landed { .. });
        self.tell(command, chaos);
        if landed {
            assert!(self.simulation.world.main_builds(), "main holds {:?}", self.simulation.world.main);
        }
        true
    }
}

fn kind(outcome: &MergeOutcome) -> &str {
    match outcome.result.as_ref().unwrap() {
        merge_outcome::Result::Landed(_) => "landed",
        merge_outcome::Result::Refused(refused) => &refused.kind,
    }
}

/// Another judge, other axioms.
fn any_policy(random: &mut StdRng) -> Policy {
    let judge = Some(format!("judge {}", random.random_range(1..4)));
    let axioms = atlas_judge::AXIOMS.into_iter().filter(|_| random.random_bool(0.7));
    Policy { judge, axioms: axioms.map(str::to_owned).collect(), ..Policy::default() }
}

/// Each module of `main` has a receipt of the policy of today or is told to have lapsed, by what it rests on; each was asked about once
/// for a policy, and only while no submission waited for the verifier. Nothing has landed under a policy of yesterday.
fn assert_certified_again(simulation: &Simulation, seed: u64) {
    let (world, view) = (&simulation.world, simulation.machine.view());
    let modules: BTreeSet<&String> =
        simulation.machine.receipts().keys().chain(view.lapsed.iter().map(|lapsed| &lapsed.module)).collect();
    for module in &modules {
        let foreign = world.foreign_axiom(&world.main, &[(*module).clone()]);
        let lapsed = view.lapsed.iter().find(|lapsed| lapsed.module == **module);
        assert_eq!(foreign.is_some(), lapsed.is_some(), "seed {seed}: {module} {foreign:?} {lapsed:?}");
        assert!(lapsed.is_none_or(|lapsed| lapsed.reason.contains(foreign.unwrap().as_str())));
    }
    let receipts = &view.receipts;
    assert_eq!((receipts.renewing, receipts.undecided), (0, 0), "seed {seed}: {receipts:?}");
    assert_eq!(receipts.current, modules.len() - view.lapsed.len(), "seed {seed}");
    assert_eq!(view.policy, Some(world.policy.message()), "seed {seed}");

    let mut machine = MergeQueue::new(&actor());
    let (mut judged, mut policies) = (BTreeSet::new(), 0);
    for (time_ms, event) in &simulation.journal {
        let effects = || machine.effects().into_iter().map(|(_, effect)| effect);
        match event.event.as_ref().unwrap() {
            Event::Policy(_) => policies += 1,
            Event::Renewing(_) => assert!(
                effects().all(|effect| match effect {
                    Effect::Assemble { .. } => false,
                    Effect::Certify { traceparents, .. } => traceparents.is_empty(),
                    _ => true,
                }),
                "seed {seed}: a submission waits"
            ),
            Event::Verdict(verdict) => {
                let again = effects().find_map(|effect| match effect {
                    Effect::Certify { key, check, traceparents, .. }
                        if key == verdict.key && traceparents.is_empty() =>
                    {
                        Some(check)
                    }
                    _ => None,
                });
                assert!(
                    again.is_none_or(|module| judged.insert((policies, verdict.key.clone(), module))),
                    "seed {seed}: judged twice"
                );
            }
            Event::Renewed(renewed) => {
                let module = &renewed.receipt.as_ref().unwrap().module;
                let kept = effects().find_map(|effect| match effect {
                    Effect::Keep { module: of, receipt } if of == *module => Some(receipt),
                    _ => None,
                });
                assert_eq!(kept.unwrap().judge, machine.view().policy.unwrap().judge, "seed {seed}");
            }
            _ => {}
        }
        machine.apply(event, *time_ms);
        // What begins to land is of the policy of the moment and stands on nothing that has lapsed.
        if let Some(Event::Chosen(_)) = &event.event {
            let landing = machine.effects().into_iter().find_map(|(_, effect)| match effect {
                Effect::Land { assembly, verdict, .. } => Some((assembly, verdict)),
                _ => None,
            });
            let (assembly, verdict) = landing.unwrap();
            let judge = machine.view().policy.unwrap().judge;
            assert!(verdict.receipts.iter().all(|receipt| receipt.judge == judge), "seed {seed}: {judge}");
            let mut lapsed = machine.lapsed();
            assert!(lapsed.all(|lapsed| !assembly.footprint.below.contains(&lapsed.module)), "seed {seed}");
        }
    }
}

/// `policies`: how often the policy changes, at most. Gives the journal.
fn run(seed: u64, chaos: bool, mut policies: u32) -> Vec<(u64, MergeEvent)> {
    let mut random = StdRng::seed_from_u64(seed);
    let submissions = random.random_range(1..25);
    let mut truth = truth(&mut random, submissions);
    truth.receipts = policies > 0;
    let window = (1, random.random_range(1..10));
    let simulation = Simulation::new(truth, window);
    let truth = simulation.world.truth.clone();
    let mut chaos_run = Chaos { simulation, random, letters: Vec::new(), snapshot: None };
    let mut to_send: Vec<String> = (0..submissions).map(name).collect();
    to_send.insert(0, SKELETON.to_owned());
    to_send.reverse();
    let mut steps = 0;
    loop {
        if let Some(id) = to_send.last().cloned()
            && chaos_run.random.random_bool(0.3)
        {
            let letter = Command::Request(request(&id));
            chaos_run.letters.push(letter.clone());
            // A letter is acknowledged once it is journaled: after a crash it comes again.
            chaos_run.tell(letter, chaos);
            if chaos_run.simulation.machine.totals().received as usize == submissions + 2 - to_send.len() {
                to_send.pop();
            }
        }
        // A skeleton that is refused is the run's end.
        let laid_out = !chaos_run.simulation.world.main.is_empty();
        if policies > 0 && laid_out && chaos_run.random.random_bool(0.02) {
            policies -= 1;
            chaos_run.simulation.world.policy = any_policy(&mut chaos_run.random);
        }
        steps += 1;
        assert!(steps < 50_000, "seed {seed}: no end: {:?}", chaos_run.simulation.machine.view());
        if !chaos_run.step(chaos) && to_send.is_empty() {
            break;
        }
    }
    if truth.receipts {
        assert_certified_again(&chaos_run.simulation, seed);
    }
    let world = &chaos_run.simulation.world;
    let machine = &chaos_run.simulation.machine;
    assert_eq!(machine.waiting(), 0, "seed {seed}");
    let once: BTreeSet<&String> = world.main.iter().collect();
    assert_eq!(once.len(), world.main.len(), "nothing lands twice");
    for at in 0..submissions {
        let id = name(at);
        let outcomes = world.outcomes.get(&id).unwrap_or_else(|| panic!("seed {seed}: {id} never ended"));
        assert!(
            outcomes.iter().all(|outcome| outcome == &outcomes[0]),
            "seed {seed}: {id} ended in two ways"
        );
        let kind = kind(&outcomes[0]);
        assert_eq!(kind == "landed", world.main.contains(&id), "seed {seed}: {id} {kind}");
        let met = |pairs: &BTreeSet<(String, String)>| {
            pairs.iter().any(|(one, other)| *one == id && world.main.contains(other))
        };
        let flaky = truth.faults.contains_key(&id);
        match kind {
            "landed" => assert!(!truth.bad.contains(&id) && !truth.forbidden.contains(&id)),
            "policy" if reason(&outcomes[0]).contains("is no longer certified") => assert!(truth.receipts),
            "policy" => assert!(truth.forbidden.contains(&id), "seed {seed}: {id}: {}", reason(&outcomes[0])),
            // Of another policy than the verifier's: either was just told.
            "axioms" => assert!(truth.receipts, "seed {seed}: {id}"),
            "environment" if truth.receipts => {}
            "conflict" => {
                assert!(met(&truth.conflicts), "seed {seed}: {id} conflicts with nothing that landed")
            }
            "build" => assert!(
                truth.bad.contains(&id) || met(&truth.clashes),
                "seed {seed}: {id} is good and breaks with nothing that landed"
            ),
            "environment" => assert!(flaky, "seed {seed}: {id}"),
            other => panic!("{other}"),
        }
    }
    chaos_run.simulation.journal
}

fn reason(outcome: &MergeOutcome) -> &str {
    match outcome.result.as_ref().unwrap() {
        merge_outcome::Result::Landed(_) => "",
        merge_outcome::Result::Refused(refused) => &refused.reason,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn each_ends_once_for_its_own_fault_and_main_always_builds(seed in any::<u64>()) {
        run(seed, false, 0);
    }

    #[test]
    fn crashes_and_redelivered_letters_change_nothing(seed in any::<u64>()) {
        run(seed, true, 0);
    }

    #[test]
    fn whatever_policies_come_all_of_main_is_certified_under_the_last_or_said_not_to_be(seed in any::<u64>()) {
        run(seed, true, 4);
    }
}

/// Drives all effects but the checks of the submissions in `silent`.
fn settle(simulation: &mut Simulation, silent: &str) {
    loop {
        // As on real machines: git takes milliseconds, Lean seconds.
        let effects = simulation.effects();
        let quick = |effect: &Effect| !matches!(effect, Effect::Certify { .. } | Effect::Wait { .. });
        let asked = |effect: &Effect| matches!(effect, Effect::Certify { tree, .. } if silent.is_empty() || !tree.contains(silent));
        let next = effects
            .iter()
            .find(|(_, effect)| quick(effect))
            .or_else(|| effects.iter().find(|(_, effect)| asked(effect)))
            .cloned();
        let Some((_, effect)) = next else { return };
        let command = match &effect {
            Effect::Certify { id, tree, check, .. } => {
                Command::Checked(simulation.world.check(id, tree, check))
            }
            effect => simulation.act(effect).unwrap(),
        };
        simulation.tell(command);
    }
}

fn simulation(truth: Truth, submissions: &[&str]) -> Simulation {
    let mut simulation = Simulation::new(truth, (1, 20));
    simulation.submit(SKELETON);
    settle(&mut simulation, "");
    for id in submissions {
        simulation.submit(id);
    }
    simulation
}

#[test]
fn independent_submissions_land_past_a_slow_one() {
    let mut truth = Truth::default();
    truth.writes.insert("slow".to_owned(), vec!["N.Slow".to_owned()]);
    let mut simulation = simulation(truth, &["slow", "quick"]);
    settle(&mut simulation, "slow");
    assert_eq!(simulation.world.main, [SKELETON, "quick"]);
    settle(&mut simulation, "");
    assert_eq!(simulation.world.main, [SKELETON, "quick", "slow"]);
    // Each was checked once: what was certified before the other landed held after it.
    assert_eq!(simulation.machine.totals().checks, 3);
}

#[test]
fn dependent_submissions_wait_for_a_slow_one_only_so_long() {
    let mut simulation = simulation(Truth::default(), &["slow", "quick"]);
    settle(&mut simulation, "slow");
    assert_eq!(simulation.world.main, [SKELETON], "first come, first served");
    let wait = simulation.machine.effects().into_iter().find_map(|(_, effect)| match effect {
        Effect::Wait { until_ms } => Some(until_ms),
        _ => None,
    });
    simulation.now_ms = wait.unwrap();
    simulation.tell(Command::Waited);
    settle(&mut simulation, "slow");
    assert_eq!(simulation.world.main, [SKELETON, "quick"]);
    settle(&mut simulation, "");
    assert_eq!(simulation.world.main, [SKELETON, "quick", "slow"]);
}

#[test]
fn what_breaks_only_together_is_refused_with_the_others_title() {
    let mut truth = Truth::default();
    truth.clashes.insert(("first".to_owned(), "second".to_owned()));
    let mut simulation = simulation(truth, &["first", "second", "third"]);
    settle(&mut simulation, "");
    assert_eq!(simulation.world.main, [SKELETON, "first", "third"]);
    let outcome = &simulation.world.outcomes["second"][0];
    let Some(merge_outcome::Result::Refused(refused)) = &outcome.result else { panic!("{outcome:?}") };
    assert_eq!(refused.kind, "build");
    assert!(
        refused.reason.contains("broke only together with what landed meanwhile: “State first”"),
        "{}",
        refused.reason
    );
    assert_eq!(refused.diagnostics.len(), 1);
}

#[test]
fn a_bad_neighbour_takes_nobody_with_it() {
    let mut truth = Truth::default();
    truth.bad.insert("bad".to_owned());
    truth.conflicts.insert(("bad".to_owned(), "after".to_owned()));
    let mut simulation = simulation(truth, &["bad", "after", "last"]);
    settle(&mut simulation, "");
    assert_eq!(simulation.world.main[0], SKELETON);
    assert_eq!(simulation.world.main.len(), 3, "{:?}", simulation.world.outcomes);
    let facts = &simulation.world.outcomes["last"][0];
    let Some(merge_outcome::Result::Landed(landed)) = &facts.result else { panic!("{facts:?}") };
    assert_eq!(landed.declarations[0].name, "N.last");
    assert!(landed.sequence >= 2);
}

#[test]
fn a_verifier_that_never_answers_is_asked_twice() {
    let mut simulation = simulation(Truth::default(), &["one"]);
    for attempt in 1..=2 {
        settle(&mut simulation, "one");
        let (key, asked) = simulation
            .machine
            .effects()
            .into_iter()
            .find_map(|(_, effect)| match effect {
                Effect::Certify { key, attempt, .. } => Some((key, attempt)),
                _ => None,
            })
            .unwrap();
        assert_eq!(asked, attempt);
        simulation.tell(Command::Silent { key, attempt: asked, seconds: 60 });
    }
    settle(&mut simulation, "");
    let outcome = &simulation.world.outcomes["one"][0];
    let Some(merge_outcome::Result::Refused(refused)) = &outcome.result else { panic!("{outcome:?}") };
    assert_eq!(refused.kind, "environment");
    assert!(refused.reason.contains("no verifier answered within 60 s, 2 times"), "{}", refused.reason);
}

#[test]
fn nothing_lands_while_a_contradiction_of_kernels_is_not_cleared_and_all_that_is_good_afterwards() {
    let mut truth = Truth::default();
    truth.contradicted.insert(name(1));
    let mut chaos = Chaos {
        simulation: Simulation::new(truth, (1, 8)),
        random: StdRng::seed_from_u64(5),
        letters: Vec::new(),
        snapshot: None,
    };
    let idle = |chaos: &mut Chaos| while chaos.step(false) {};
    chaos.simulation.submit(SKELETON);
    idle(&mut chaos);
    for at in 1..4 {
        chaos.simulation.submit(&name(at));
    }
    idle(&mut chaos);
    let view = chaos.simulation.machine.view();
    let [incident] = &view.incidents[..] else { panic!("{view:?}") };
    assert_eq!(
        (incident.what.as_str(), incident.submissions.contains(&name(1))),
        ("N.s1: one kernel accepts it", true)
    );
    let main = chaos.simulation.world.main.clone();
    assert!(chaos.simulation.machine.waiting() > 0 && main.len() < 3, "what is good waits: {main:?}");
    assert_eq!(kind(&chaos.simulation.world.outcomes[&name(1)][0]), "incident");
    // It outlives the process.
    chaos.crash();
    idle(&mut chaos);
    assert_eq!(chaos.simulation.world.main, main);
    let clear =
        |incident: &str| Command::Clear(ClearIncident { incident: incident.into(), note: "read".into() });
    chaos.simulation.tell(clear("another"));
    idle(&mut chaos);
    assert_eq!(chaos.simulation.world.main, main);
    chaos.simulation.tell(clear(&incident.id));
    idle(&mut chaos);
    assert_eq!(chaos.simulation.machine.waiting(), 0);
    assert!([name(2), name(3)].iter().all(|good| chaos.simulation.world.main.contains(good)));
    assert_eq!(chaos.simulation.machine.view().open_incidents().count(), 0);
}

#[test]
fn a_module_that_rests_on_an_axiom_of_yesterday_is_named_and_carries_nothing_new() {
    let writes = [("odd", "N.A"), ("good", "N.B"), ("above", "N.Top"), ("over", "N.Top"), ("beside", "N.B")];
    let truth = Truth {
        writes: writes.map(|(id, module)| (id.to_owned(), vec![module.to_owned()])).into(),
        axioms: [("odd".to_owned(), "Classical.choice".to_owned())].into(),
        receipts: true,
        ..Truth::default()
    };
    let mut simulation = simulation(truth, &["odd", "good", "above"]);
    settle(&mut simulation, "");
    assert_eq!(simulation.world.main.len(), 4);
    let before = simulation.machine.receipts().clone();
    assert_eq!(simulation.machine.view().receipts.current, 3);

    let narrow = ["propext".to_owned(), "Quot.sound".to_owned()];
    let wide = std::mem::replace(&mut simulation.world.policy.axioms, narrow.into());
    settle(&mut simulation, "");
    let view = simulation.machine.view();
    let [lapsed] = &view.lapsed[..] else { panic!("{view:?}") };
    assert_eq!((lapsed.module.as_str(), lapsed.kind.as_str()), ("N.A", "axioms"));
    assert!(lapsed.reason.contains("`Classical.choice`"), "{lapsed:?}");
    assert_eq!((view.receipts.current, view.receipts.renewed), (2, 2));
    let after = simulation.machine.receipts();
    assert_eq!(after["N.A"], before["N.A"], "its receipt stays what it was");
    assert!(["N.B", "N.Top"].iter().all(|module| after[*module] != before[*module]));

    // What imports it is refused with the reason; what only others import beside it lands.
    simulation.submit("over");
    simulation.submit("beside");
    settle(&mut simulation, "");
    let refused = &simulation.world.outcomes["over"][0];
    assert_eq!(kind(refused), "policy");
    assert!(reason(refused).starts_with("N.A, which it imports, is no longer certified"), "{refused:?}");
    assert!(reason(refused).contains("`Classical.choice`"), "{refused:?}");
    assert_eq!(kind(&simulation.world.outcomes["beside"][0]), "landed");

    // Allowed again, its receipt is enough again.
    simulation.world.policy.axioms = wide;
    settle(&mut simulation, "");
    let view = simulation.machine.view();
    assert_eq!((view.lapsed.len(), view.receipts.current, view.receipts.renewing), (0, 3, 0));
    assert_eq!(simulation.machine.receipts()["N.A"], before["N.A"]);
}

/// Where a journal and its snapshot are on file.
fn on_file() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

#[test]
fn a_journal_is_folded_into_what_the_snapshot_on_file_holds() {
    atlas_actor::fixture::check::<MergeQueue>(&on_file(), "merging", &actor()).unwrap();
}

#[test]
#[ignore = "writes the journal of the test above, and with it the contract: only when events are new"]
fn a_journal_for_the_snapshot_on_file() {
    // A long one, up to where a receipt that has become stale is being made anew.
    let journals = (0..).map(|seed| run(seed, false, 4));
    let cut = |journal: Vec<(u64, MergeEvent)>| {
        let renewing = |(_, event): &(u64, MergeEvent)| matches!(event.event, Some(Event::Renewing(_)));
        let end = journal.iter().rposition(renewing)?;
        (end > 200).then(|| journal[..=end].to_vec())
    };
    let journal = journals.filter_map(cut).next().unwrap();
    let events = journal.iter().map(|(time_ms, event)| (event, *time_ms));
    atlas_actor::fixture::write::<MergeQueue>(&on_file(), "merging", events).unwrap();
}
