//! The agent machine against a scripted world that answers late, twice and out of turn.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use atlas_actor::Machine;
use atlas_agent_runner::Agent;
use atlas_agent_runner::command::{Command, Effect};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::agent_event::Event;
use atlas_proto::report::Result as Outcome;
use atlas_proto::{
    AgentEvent, AgentPrepared, AnswerBlock, AnswerStop, Automated, BaseFile, BudgetRefused, ModelAnswered,
    ModelFailed, Report, Target, Task, ToolCall, ToolResult, ToolsAnswered, Usage, answer_block,
};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

const MODULE: &str = "module\n\nnamespace N\n-- begin a\n-- end a\n-- begin b\n-- end b\nend N\n";

/// One thing that a model may say in an answer.
#[derive(Debug, Clone)]
enum Say {
    Words,
    Unknown,
    Torn,
    WriteRegion(u8),
    EditOther,
    EditNothing,
    Check,
    Search,
    Submit { accepted: bool },
    GiveUp,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        2 => Just(Say::Words),
        1 => Just(Say::Unknown),
        1 => Just(Say::Torn),
        3 => any::<u8>().prop_map(Say::WriteRegion),
        2 => Just(Say::EditOther),
        1 => Just(Say::EditNothing),
        3 => Just(Say::Check),
        2 => Just(Say::Search),
        2 => Just(Say::Submit { accepted: false }),
        1 => Just(Say::Submit { accepted: true }),
        1 => Just(Say::GiveUp),
    ]
}

impl Say {
    fn block(&self, id: usize) -> AnswerBlock {
        let call = |name: &str, arguments: Value| {
            answer_block::Block::Call(ToolCall {
                id: id.to_string(),
                name: name.into(),
                arguments: arguments.to_string(),
            })
        };
        AnswerBlock {
            block: Some(match self {
                Self::Words => answer_block::Block::Text("Let me think.".into()),
                Self::Unknown => call("lake_build", json!({})),
                Self::Torn => {
                    let torn =
                        ToolCall { id: id.to_string(), name: "check".into(), arguments: "{\"pa".into() };
                    answer_block::Block::Call(torn)
                }
                Self::WriteRegion(n) => {
                    call("write_region", json!({"content": format!("theorem a{n} : True := trivial")}))
                }
                Self::EditOther => {
                    call("edit_file", json!({"path": "N/B.lean", "old": "old", "new": "old new"}))
                }
                Self::EditNothing => call("edit_file", json!({"path": "../x", "old": "a", "new": "b"})),
                Self::Check => call("check", json!({})),
                Self::Search => call("search", json!({"pattern": "x"})),
                Self::Submit { .. } => call("submit", json!({"summary": "done"})),
                Self::GiveUp => call("give_up", json!({"reason": "no"})),
            }),
        }
    }
}

fn id() -> ActorId {
    ActorId { run: RunId::new("run").unwrap(), kind: ActorKind::Agent, id: "a.prover.1".into() }
}

fn task() -> Task {
    let target =
        Target { id: "a".into(), module: "N.A".into(), declaration: "N.a".into(), ..Target::default() };
    Task {
        run: "run".into(),
        attempt: "a.prover.1".into(),
        role: "prover".into(),
        number: 1,
        target: Some(target),
        ..Task::default()
    }
}

fn prepared(max_turns: u32, context_window: u64) -> AgentPrepared {
    let tools =
        ["check", "search", "write_region", "edit_file", "submit", "give_up"].map(str::to_owned).to_vec();
    AgentPrepared {
        model: "m".into(),
        opening: "Prove it.".into(),
        tools,
        ends_with: vec!["submit".into(), "give_up".into()],
        max_turns,
        max_tokens: 1_000_000,
        context_window,
        loaded: vec![BaseFile { path: "N/A.lean".into(), text: Some(MODULE.into()) }],
        ..AgentPrepared::default()
    }
}

fn usage() -> Option<Usage> {
    Some(Usage { input_tokens: 100, output_tokens: 10, model_calls: 1, ..Usage::default() })
}

/// The world: what it answers to an effect is a function of the effect, so that it answers the same twice.
struct World {
    script: Vec<Vec<Say>>,
    max_turns: u32,
    context_window: u64,
}

impl World {
    fn said(&self, turn: u32) -> &[Say] {
        &self.script[turn as usize % self.script.len()]
    }

    fn answer(&self, effect: &Effect) -> Command {
        match effect {
            Effect::Prepare { .. } => {
                Command::Prepared(Box::new(prepared(self.max_turns, self.context_window)))
            }
            Effect::CallModel(call) => {
                let blocks = self.said(call.turn).iter().enumerate().map(|(at, say)| say.block(at)).collect();
                let stop = AnswerStop::ToolUse.into();
                Command::Answered(Box::new(ModelAnswered {
                    turn: call.turn,
                    blocks,
                    usage: usage(),
                    model: "m-1".into(),
                    stop,
                }))
            }
            Effect::RunTools(work) => {
                let result = |call: &atlas_agent_runner::command::Call| {
                    let at: usize = call.id.parse().unwrap();
                    let accepted = matches!(self.said(work.turn)[at], Say::Submit { accepted: true });
                    ToolResult { text: "x".repeat(3000), accepted, checks: 1, ..ToolResult::default() }
                };
                let loaded =
                    work.load.iter().map(|path| BaseFile { path: path.clone(), text: Some("old".into()) });
                Command::Worked(ToolsAnswered {
                    turn: work.turn,
                    first: work.first,
                    results: work.calls.iter().map(result).collect(),
                    loaded: loaded.collect(),
                })
            }
            Effect::Automate { .. } => Command::Automated(Automated::default()),
            Effect::SendReport { .. } => Command::Reported,
        }
    }
}

/// An agent and its journal.
struct Live {
    agent: Agent,
    journal: Vec<(AgentEvent, u64)>,
}

impl Live {
    fn new() -> Self {
        Self { agent: Agent::new(&id()), journal: Vec::new() }
    }

    fn tell(&mut self, command: Command) -> usize {
        let now = self.journal.len() as u64;
        let events = self.agent.decide(command, now);
        for event in &events {
            self.agent.apply(event, now);
            self.journal.push((event.clone(), now));
        }
        events.len()
    }

    /// The agent as a new host sees it.
    fn replayed(&self) -> Agent {
        let mut agent = Agent::new(&id());
        for (event, time) in &self.journal {
            let bytes = event.encode_to_vec();
            agent.apply(&AgentEvent::decode(bytes.as_slice()).unwrap(), *time);
        }
        agent
    }

    fn count(&self, which: impl Fn(&Event) -> bool) -> usize {
        self.journal.iter().filter(|(event, _)| event.event.as_ref().is_some_and(&which)).count()
    }

    fn report(&self) -> Report {
        let found = self.journal.iter().find_map(|(event, _)| match &event.event {
            Some(Event::Concluded(report)) => Some(report.clone()),
            _ => None,
        });
        found.unwrap()
    }

    /// Runs to the end in an undisturbed world.
    fn finish(&mut self, world: &World) {
        self.tell(Command::Start(Box::new(task())));
        while let Some((_, effect)) = self.agent.effects().pop() {
            assert!(self.tell(world.answer(&effect)) > 0, "an answered effect is recorded: {effect:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_twice_late_or_after_a_kill_the_attempt_is_the_same(
        script in prop::collection::vec(prop::collection::vec(say(), 0..5), 1..6),
        max_turns in 1_u32..8,
        context_window in prop_oneof![Just(0_u64), Just(3_000), Just(20_000)],
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..40),
    ) {
        let world = World { script, max_turns, context_window };
        let mut calm = Live::new();
        calm.finish(&world);

        let mut live = Live::new();
        let mut told = vec![Command::Start(Box::new(task()))];
        live.tell(told[0].clone());
        let mut noise = noise.into_iter();
        let mut keys = Vec::new();
        while let Some((key, effect)) = live.agent.effects().pop() {
            prop_assert!(!keys.contains(&key), "the effect {} comes back after its result", key);
            keys.push(key);
            if let Some((index, kill)) = noise.next() {
                // Something old is delivered again: nothing happens.
                let old = told[index.index(told.len())].clone();
                prop_assert_eq!(live.tell(old), 0);
                if kill {
                    live.agent = live.replayed();
                }
            }
            let answer = world.answer(&effect);
            told.push(answer.clone());
            prop_assert!(live.tell(answer.clone()) > 0);
            prop_assert_eq!(live.tell(answer), 0, "a result that comes twice is recorded once");
        }
        for old in told {
            prop_assert_eq!(live.tell(old), 0);
        }
        // The same journal and, folded anew, the same state.
        prop_assert_eq!(&live.journal, &calm.journal);
        prop_assert_eq!(format!("{:?}", live.replayed()), format!("{:?}", live.agent));
        prop_assert!(live.agent.is_finished());
        // One answer a turn, one report.
        for turn in 1..=max_turns + 1 {
            let answers = live.count(|event| matches!(event, Event::ModelAnswered(answer) if answer.turn == turn));
            prop_assert!(answers <= usize::from(turn <= max_turns));
        }
        prop_assert_eq!(live.count(|event| matches!(event, Event::Concluded(_))), 1);
        prop_assert_eq!(live.count(|event| matches!(event, Event::Finished(_))), 1);
        let report = live.report();
        prop_assert_eq!(report.usage.unwrap().model_calls, u64::from(report.turns));
    }
}

fn ended(script: Vec<Vec<Say>>, max_turns: u32) -> (Live, Outcome) {
    let mut live = Live::new();
    live.finish(&World { script, max_turns, context_window: 0 });
    let outcome = live.report().result.unwrap();
    (live, outcome)
}

#[test]
fn a_submission_carries_what_the_journaled_calls_wrote() {
    let script =
        vec![vec![Say::Submit { accepted: true }], vec![Say::WriteRegion(7), Say::EditOther, Say::Check]];
    let (_, outcome) = ended(script, 5);
    let Outcome::Submission(submission) = outcome else { panic!("{outcome:?}") };
    let changes: Vec<(&str, &str)> = submission
        .changes
        .iter()
        .map(|change| {
            (change.path.as_str(), std::str::from_utf8(change.content.as_deref().unwrap()).unwrap())
        })
        .collect();
    let module = MODULE.replace("-- begin a\n", "-- begin a\ntheorem a7 : True := trivial\n");
    assert_eq!(changes, [("N/A.lean", module.as_str()), ("N/B.lean", "old new")]);
    assert_eq!(
        (submission.id.as_str(), submission.title.as_str(), submission.agent.as_str()),
        ("a.prover.1.1", "Prove a", "m-1")
    );
}

#[test]
fn three_answers_in_a_row_without_a_usable_call_fail_the_attempt() {
    let (live, outcome) = ended(vec![vec![Say::Words], vec![], vec![Say::Unknown, Say::Torn]], 9);
    let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.starts_with("the model gave 3 answers in a row that cannot be used; of the last:"), "{why}");
    assert_eq!(
        live.count(|event| matches!(event, Event::Nudged(_))),
        1,
        "answers with calls are told in the results"
    );
    let (_, outcome) =
        ended(vec![vec![Say::Words], vec![Say::Words], vec![Say::Check], vec![Say::Words, Say::GiveUp]], 9);
    assert!(matches!(outcome, Outcome::GaveUp(_)), "a usable call begins the count anew: {outcome:?}");
}

#[test]
fn turns_end_with_what_was_missing() {
    let (live, outcome) = ended(vec![vec![Say::Check]], 3);
    let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, "all 3 turns are used without `submit` or `give_up`");
    assert_eq!(live.report().checks, 3);
    let told = format!("{:?}", live.agent.messages());
    assert!(told.contains("[1 turn is left. End with `submit` or `give_up`.]"), "{told}");
}

#[test]
fn budget_and_faults_end_the_attempt_and_settle_what_was_reserved() {
    for budget in [true, false] {
        let world = World { script: vec![vec![Say::Check]], max_turns: 5, context_window: 0 };
        let mut live = Live::new();
        live.tell(Command::Start(Box::new(task())));
        let (_, prepare) = live.agent.effects().pop().unwrap();
        live.tell(world.answer(&prepare));
        let reason = "why".to_owned();
        live.tell(if budget {
            Command::Refused(BudgetRefused { turn: 1, reason })
        } else {
            Command::Failed(ModelFailed { turn: 1, reason })
        });
        let Some((_, Effect::SendReport { report, settle, .. })) = live.agent.effects().pop() else {
            panic!()
        };
        if budget {
            assert_eq!((report.result.unwrap(), settle), (Outcome::OutOfBudget("why".into()), None));
        } else {
            assert_eq!(report.result.unwrap(), Outcome::Failed("why".into()));
            let settle = settle.unwrap();
            assert_eq!((settle.call.as_str(), settle.usage.tokens()), ("a.prover.1/1", 0));
        }
    }
}

#[test]
fn each_call_is_settled_by_the_effect_after_it() {
    let world = World {
        script: vec![vec![Say::GiveUp], vec![Say::Check], vec![Say::WriteRegion(1)]],
        max_turns: 5,
        context_window: 0,
    };
    let mut live = Live::new();
    live.tell(Command::Start(Box::new(task())));
    let mut settled = Vec::new();
    while let Some((key, effect)) = live.agent.effects().pop() {
        let settle = match &effect {
            Effect::CallModel(call) => call.settle.clone(),
            Effect::RunTools(work) => work.settle.clone(),
            Effect::SendReport { settle, .. } => settle.clone(),
            _ => None,
        };
        settled.extend(settle.map(|settle| (key, settle.call)));
        live.tell(world.answer(&effect));
    }
    let pair = |key: &str, call: &str| (key.to_owned(), call.to_owned());
    assert_eq!(
        settled,
        [pair("tools/1/0", "a.prover.1/1"), pair("model/3", "a.prover.1/2"), pair("report", "a.prover.1/3")]
    );
}
