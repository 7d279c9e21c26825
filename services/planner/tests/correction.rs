//! What becomes of proofs when a statement that they rest on is corrected or refuted: told to the planner's machine word by
//! word.

#![allow(clippy::unwrap_used)] // a test may panic

use atlas_actor::Machine as _;
use atlas_domain::{ActorId, ActorKind, RunId, Standing, TargetState};
use atlas_planner::{Command, Effect, MergeOrder, Planner};
use atlas_proto::{
    Decision, DeclarationFacts, Landed, MergeOutcome, Policy, Report, Review, RunSpec, Submission, Target,
    Task, Triage, merge_outcome, report, triage,
};

/// A planner, and the landings so far.
struct Run {
    planner: Planner,
    landings: u64,
}

impl Run {
    /// A book in which the proof of `top` uses `low`, both stated.
    fn stated() -> Self {
        let target = |id: &str, proof: &[&str]| Target {
            id: id.into(),
            kind: "theorem".into(),
            statement: format!("The book's words on {id}."),
            proof_depends_on: proof.iter().map(|&on| on.to_owned()).collect(),
            declaration: format!("N.{id}"),
            module: "N.A".into(),
            ..Target::default()
        };
        let spec = RunSpec {
            run: "book".into(),
            targets: vec![target("low", &[]), target("top", &["low"])],
            package: "N".into(),
            policy: Some(Policy { max_agents: 8, attempts_per_task: 1, racing: 1, ..Policy::default() }),
            ..RunSpec::default()
        };
        let planner = Planner::new(&ActorId::singleton(&RunId::new("book").unwrap(), ActorKind::Plan));
        let mut run = Self { planner, landings: 0 };
        run.tell(Command::Open(Box::new(spec)));
        run.tell(Command::LedgerOpened(1));
        run.outcome("skeleton", "", vec![]);
        for target in ["low", "top"] {
            let task = run.task(target, "formalizer");
            run.submit(&task);
            run.approve(target, "mathematical-reviewer");
            run.land(target, vec![facts(target, 1, &[target])]);
        }
        run
    }

    fn tell(&mut self, command: Command) {
        for event in self.planner.decide(command, 1_000) {
            self.planner.apply(&event, 1_000);
        }
        while let Some((_, Effect::Plan)) =
            self.planner.effects().into_iter().find(|(_, effect)| matches!(effect, Effect::Plan))
        {
            for event in self.planner.decide(Command::Plan, 1_000) {
                self.planner.apply(&event, 1_000);
            }
        }
    }

    /// The task of a role that is at work on the target.
    fn task(&self, target: &str, role: &str) -> Task {
        let at_work = |effect: Effect| match effect {
            Effect::Start(task) if task.role == role && task.target.as_ref().unwrap().id == target => {
                Some(task)
            }
            _ => None,
        };
        let task = self.planner.effects().into_iter().find_map(|(_, effect)| at_work(effect));
        (*task.unwrap_or_else(|| panic!("no {role} at {target}: {:#?}", self.planner.status()))).clone()
    }

    fn report(&mut self, task: &Task, result: report::Result) {
        self.tell(Command::Report(Box::new(Report {
            attempt: task.attempt.clone(),
            role: task.role.clone(),
            target: task.target.as_ref().unwrap().id.clone(),
            number: task.number,
            result: Some(result),
            ..Report::default()
        })));
    }

    fn submit(&mut self, task: &Task) {
        let submission = Submission {
            id: format!("{}.1", task.attempt),
            target: task.target.as_ref().unwrap().id.clone(),
            role: task.role.clone(),
            ..Submission::default()
        };
        self.report(task, report::Result::Submission(submission));
    }

    fn approve(&mut self, target: &str, reviewer: &str) {
        let task = self.task(target, reviewer);
        let submission = task.subject.as_ref().unwrap().id.clone();
        let decision = Decision::Approve.into();
        self.report(
            &task,
            report::Result::Review(Review { submission, decision, reasons: vec![], ..Review::default() }),
        );
    }

    fn prove(&mut self, target: &str) {
        let task = self.task(target, "prover");
        self.submit(&task);
        self.approve(target, "engineering-reviewer");
    }

    /// The order that waits at the merge queue.
    fn order(&self, target: &str) -> MergeOrder {
        let wanted = |effect: Effect| match effect {
            Effect::Merge(order) if order.submission.target == target => Some(order),
            _ => None,
        };
        self.planner.effects().into_iter().find_map(|(_, effect)| wanted(effect)).unwrap()
    }

    fn land(&mut self, target: &str, declarations: Vec<DeclarationFacts>) {
        let submission = self.order(target).submission.id.clone();
        self.outcome(&submission, target, declarations);
    }

    fn outcome(&mut self, submission: &str, target: &str, declarations: Vec<DeclarationFacts>) {
        self.landings += 1;
        let (sequence, commit) = (self.landings, format!("{:040x}", self.landings));
        let landed = merge_outcome::Result::Landed(Landed { commit, declarations, sequence });
        self.tell(Command::Merged(Box::new(MergeOutcome {
            submission: submission.into(),
            target: target.into(),
            result: Some(landed),
        })));
    }

    /// The prover of `low` gives up and triage decides.
    fn triage(&mut self, action: triage::Action) {
        let task = self.task("low", "prover");
        self.report(&task, report::Result::GaveUp("FALSE: n = 0".into()));
        let task = self.task("low", "triage");
        self.report(&task, report::Result::Triage(Triage { action: Some(action) }));
    }

    fn standing(&self, target: &str) -> Standing {
        let blueprint = self.planner.blueprint();
        blueprint.standing(blueprint.find(target).unwrap())
    }

    fn state(&self, target: &str) -> TargetState {
        self.planner.targets().iter().find(|entry| entry.id == target).unwrap().state
    }
}

fn facts(target: &str, version: u32, sorry_from: &[&str]) -> DeclarationFacts {
    DeclarationFacts {
        name: format!("N.{target}"),
        kind: "theorem".into(),
        statement: format!("statement {version}"),
        statement_hash: format!("hash {target} {version}"),
        uses_sorry: !sorry_from.is_empty(),
        sorry_from: sorry_from.iter().map(|from| format!("N.{from}")).collect(),
        ..DeclarationFacts::default()
    }
}

/// `top` is proved from `low`, which is stated only.
fn proved_from_above() -> Run {
    let mut run = Run::stated();
    run.prove("top");
    run.land("top", vec![facts("top", 1, &["low"])]);
    assert_eq!((run.standing("top"), run.state("top")), (Standing::Proved, TargetState::Proved));
    run
}

#[test]
fn a_proof_from_a_stated_lemma_is_certified_with_it() {
    let mut run = proved_from_above();
    assert_eq!(run.planner.status().counts.get("certified"), None);
    let entry = run.planner.targets().iter().find(|entry| entry.id == "top").unwrap();
    assert_eq!(entry.reason.as_deref(), Some("rests on what is not certified: `low`"));
    run.prove("low");
    run.land("low", vec![facts("low", 1, &[])]);
    assert_eq!((run.standing("low"), run.standing("top")), (Standing::Certified, Standing::Certified));
    assert_eq!(run.planner.finished().unwrap().reason, "all 2 targets are certified");
}

#[test]
fn who_corrects_a_statement_may_open_the_proofs_that_rest_on_it() {
    let mut run = proved_from_above();
    run.triage(triage::Action::CorrectStatement("it forgets n > 0".into()));
    assert_eq!((run.standing("low"), run.state("top")), (Standing::Unstated, TargetState::Proved));
    let task = run.task("low", "formalizer");
    assert_eq!(task.users.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["top"]);
    run.submit(&task);
    run.approve("low", "mathematical-reviewer");
    let order = run.order("low");
    assert_eq!((order.unfreeze, order.reopen), (vec!["N.low".to_owned()], vec!["N.top".to_owned()]));
    // The submission puts `sorry` back: `top` is to be proved again, and its prover is told why.
    run.land("low", vec![facts("low", 2, &["low"]), facts("top", 1, &["top"])]);
    assert_eq!((run.standing("low"), run.standing("top")), (Standing::Stated, Standing::Stated));
    let task = run.task("top", "prover");
    let last = task.memory.iter().find(|past| past.outcome == "reopened").unwrap();
    assert_eq!(last.reason, "its proof rested on `low`, which has changed: it is open again");
    run.prove("top");
    assert_eq!(run.order("top").expectations[0].statement_hash, "hash top 1");
    run.land("top", vec![facts("top", 1, &["low"])]);
    run.prove("low");
    assert_eq!(run.order("low").expectations[0].statement_hash, "hash low 2");
    run.land("low", vec![facts("low", 2, &[])]);
    assert_eq!(run.planner.finished().unwrap().exit_code, 0);
}

#[test]
fn a_proof_that_holds_all_the_same_stays() {
    let mut run = proved_from_above();
    run.triage(triage::Action::CorrectStatement("it forgets n > 0".into()));
    let task = run.task("low", "formalizer");
    run.submit(&task);
    run.approve("low", "mathematical-reviewer");
    run.land("low", vec![facts("low", 2, &["low"])]);
    assert_eq!((run.standing("low"), run.standing("top")), (Standing::Stated, Standing::Proved));
}

#[test]
fn what_rested_on_a_refuted_statement_is_open_again_or_does_without() {
    for mended in [false, true] {
        let mut run = proved_from_above();
        run.triage(triage::Action::Refute("n = 0".into()));
        let task = run.task("low", "prover");
        assert!(task.refute && task.users.len() == 1);
        run.submit(&task);
        let review = run.task("low", "engineering-reviewer");
        assert!(review.refute, "its reviewer and its fixer look at the negation too");
        run.approve("low", "engineering-reviewer");
        let order = run.order("low");
        assert_eq!((order.unfreeze, order.reopen), (vec!["N.low".to_owned()], vec!["N.top".to_owned()]));
        let negation = DeclarationFacts { name: "N.low_refuted".into(), ..facts("low", 2, &[]) };
        let top = if mended { facts("top", 1, &[]) } else { facts("top", 1, &["top"]) };
        run.land("low", vec![negation, top]);
        assert_eq!(run.standing("low"), Standing::Refuted);
        if mended {
            assert_eq!(run.standing("top"), Standing::Certified, "the book's edge to it is gone");
        } else {
            // The book's proof is no more: triage decides how to go on.
            assert_eq!(run.standing("top"), Standing::Stated);
            let task = run.task("top", "triage");
            assert!(task.memory.iter().any(|past| past.outcome == "reopened"), "{:?}", task.memory);
        }
    }
}

#[test]
fn a_landing_that_nobody_waits_for_any_more_counts_all_the_same() {
    let mut run = Run::stated();
    run.prove("top");
    let in_queue = run.order("top").submission.id.clone();
    run.triage(triage::Action::Refute("n = 0".into()));
    let task = run.task("low", "prover");
    run.submit(&task);
    run.approve("low", "engineering-reviewer");
    // `top` has landed before, without `low`; its outcome comes later.
    run.landings += 1;
    let negation = DeclarationFacts { name: "N.low_refuted".into(), ..facts("low", 2, &[]) };
    run.land("low", vec![negation]);
    assert_eq!((run.standing("low"), run.standing("top")), (Standing::Refuted, Standing::Stated));
    run.landings = 3;
    run.outcome(&in_queue, "top", vec![facts("top", 1, &[])]);
    assert_eq!(run.standing("top"), Standing::Certified);
}
