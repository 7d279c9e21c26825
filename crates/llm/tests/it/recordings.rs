//! Recordings: written by hand, played back, written down by a run, and what is said when one is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{call, key, options};
use atlas_llm::{
    Answer, Call, CallKey, Content, Message, ModelError, ModelOptions, Models, Provider, Recorder, Recording,
    Stop,
};
use serde_json::{Value, json};

const RECORDING: &str = r#"
- role: prover
  target: even-add
  turns:
    - fault: {status: 429, retry_after: 0, times: 2}
    - say: I try induction first.
      call:
        write_region:
          content: |
            theorem even_add : 1 = 1 := by
              rfl
    - fault: cut
    - call: [{check: {}}, {find_declarations: {name: n}}]
      usage: {input: 5, output: 7, cache_read: 11, cache_write: 13}
    - say: I give up.
- human: perfect-number
  reply: Yes, count only proper divisors.
"#;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turns.yaml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn recorded(path: &Path) -> ModelOptions {
    ModelOptions { recording: Some(path.to_owned()), base_url: None, ..options(Provider::Recorded, "", 6) }
}

fn turn(turn: u32) -> Call {
    Call { key: key(turn), ..call() }
}

#[tokio::test]
async fn turns_are_found_by_their_key_in_any_order_and_faults_are_shown_first() {
    let (folder, path) = written(RECORDING);
    let log = folder.path().join("calls.jsonl");
    let models =
        Models::new(vec![ModelOptions { call_log: Some(log.clone()), ..recorded(&path) }], None).unwrap();
    let second = models.call(&turn(2)).await.unwrap();
    assert_eq!(
        second.content,
        [("call_2_0", "check", json!({})), ("call_2_1", "find_declarations", json!({"name": "n"}))]
            .map(|(id, name, arguments)| Content::ToolUse { id: id.into(), name: name.into(), arguments })
    );
    let usage = second.usage;
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens),
        (5, 7, 11, 13)
    );
    let first = models.call(&turn(1)).await.unwrap();
    assert_eq!(
        (first.stop, &first.content[0]),
        (Stop::ToolUse, &Content::Text("I try induction first.".into()))
    );
    let third = models.call(&turn(3)).await.unwrap();
    assert_eq!((third.stop, third.content), (Stop::EndTurn, vec![Content::Text("I give up.".into())]));
    let calls: Vec<Value> = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        calls.iter().map(|call| call["turn"].as_u64().unwrap()).collect::<Vec<_>>(),
        [2, 1, 3],
        "faults are not answers"
    );
    assert_eq!(models.recordings()[0].replies("perfect-number"), ["Yes, count only proper divisors."]);
}

#[tokio::test]
async fn a_missing_turn_says_which_and_where_to_add_it() {
    let (_folder, path) = written(RECORDING);
    let models = Models::new(vec![recorded(&path)], None).unwrap();
    let error = models.call(&turn(4)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("recording has no turn 4 for prover \"even-add\" attempt 1; add it to {}", path.display())
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn usage_that_is_not_written_down_is_modelled_as_a_provider_with_a_cache_would_count() {
    let (_folder, path) = written(RECORDING);
    let models = Models::new(vec![recorded(&path)], None).unwrap();
    let usage = models.call(&turn(3)).await.unwrap().usage;
    let all = models.estimate(&turn(3)).unwrap().cache_write_tokens;
    assert_eq!(
        usage.cache_read_tokens + usage.cache_write_tokens,
        all,
        "all input is read from the cache or written to it"
    );
    assert!(usage.cache_write_tokens < 12, "only what came since the last call is new: {usage:?}");
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.model_calls), (0, 3, 1));
    let mut fresh = turn(3);
    fresh.messages = vec![Arc::new(Message::user("Prove it."))];
    assert_eq!(
        models.call(&fresh).await.unwrap().usage.cache_read_tokens,
        0,
        "nothing of a compacted conversation was sent before"
    );
}

#[test]
fn all_mistakes_of_a_recording_are_shown_with_their_places() {
    let problems = Recording::load("tests/fixtures/mistakes.yaml").unwrap_err();
    insta::assert_snapshot!(problems);
}

#[test]
fn a_folder_is_read_in_the_order_of_names_and_an_empty_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = Recording::load(folder.path()).unwrap_err().to_string();
    assert!(empty.contains("no `*.yaml` file"), "{empty}");
    for (name, reply) in [("b.yaml", "second"), ("a.yaml", "first")] {
        std::fs::write(folder.path().join(name), format!("- {{human: t, reply: {reply}}}\n")).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "not: [a recording").unwrap();
    assert_eq!(Recording::load(folder.path()).unwrap().replies("t"), ["first", "second"]);
    let absent = Recording::load(folder.path().join("c.yaml")).unwrap_err().to_string();
    assert!(absent.contains("cannot read the recording"), "{absent}");
}

#[tokio::test]
async fn a_run_that_is_recorded_can_be_played_back_and_goes_on_after_a_kill() {
    let (folder, path) = written(RECORDING);
    let copy = folder.path().join("out/copy.yaml");
    let mut answers = Vec::new();
    for number in [2, 1] {
        let models = Models::new(vec![recorded(&path)], Some(Recorder::open(&copy).unwrap())).unwrap();
        answers.push(models.call(&turn(number)).await.unwrap());
    }
    let recorder = Recorder::open(&copy).unwrap();
    recorder.reply("perfect-number", "Yes:\n  only proper ones.").await.unwrap();
    // Killed after the answer was recorded and before the agent's journal had it: the turn is asked again.
    let again = Answer {
        content: vec![Content::Text("Another way.".into())],
        stop: Stop::EndTurn,
        ..answers[0].clone()
    };
    recorder.answer(&key(2), &again).await.unwrap();

    let models = Models::new(vec![recorded(&copy)], None).unwrap();
    assert_eq!(models.call(&turn(1)).await.unwrap(), answers[1]);
    assert_eq!(models.call(&turn(2)).await.unwrap(), again, "the last answer is the one that counts");
    assert!(matches!(models.call(&turn(3)).await, Err(ModelError::MissingTurn { .. })));
    assert_eq!(models.recordings()[0].replies("perfect-number"), ["Yes:\n  only proper ones."]);
}

mod round_trip {
    use super::*;
    use proptest::prelude::*;

    /// Text that YAML finds hard.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\n".to_owned()),
            Just("  ".to_owned()),
            Just("\t".to_owned()),
            Just("- ".to_owned()),
            Just(": ".to_owned()),
            Just("# ".to_owned()),
            Just("true".to_owned()),
            Just("0x1F".to_owned()),
            Just("~".to_owned()),
            Just("'\"".to_owned()),
            Just("\\".to_owned()),
            Just("∀ x : ℕ".to_owned()),
            Just("---".to_owned()),
            Just("|".to_owned()),
            Just("\r\n".to_owned()),
            Just(
                "a long sentence that goes on and on beyond the width at which a line is folded, and on"
                    .to_owned()
            ),
            "[ -~]{1,12}",
        ];
        proptest::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
    }

    fn arguments() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6).prop_map(Value::from),
            text().prop_map(Value::from)
        ];
        let tree = leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map(text(), inner, 0..3).prop_map(Value::from_iter),
            ]
        });
        prop_oneof![
            proptest::collection::btree_map("[a-z]{1,6}", tree, 0..4).prop_map(Value::from_iter),
            text().prop_map(Value::from), // what was not JSON
        ]
    }

    fn answer() -> impl Strategy<Value = Answer> {
        (
            proptest::option::of(text()),
            proptest::collection::vec(("[a-z_]{1,12}", arguments()), 0..3),
            any::<[u32; 4]>(),
        )
            .prop_map(|(say, calls, usage)| {
                let mut content: Vec<Content> = say.map(Content::Text).into_iter().collect();
                let uses = calls.into_iter().enumerate();
                content.extend(uses.map(|(index, (name, arguments))| Content::ToolUse {
                    id: format!("call_1_{index}"),
                    name,
                    arguments,
                }));
                let stop = if content.iter().any(|c| matches!(c, Content::ToolUse { .. })) {
                    Stop::ToolUse
                } else if content.is_empty() {
                    Stop::Refusal
                } else {
                    Stop::EndTurn
                };
                let [input, output, read, write] = usage.map(u64::from);
                let usage = atlas_domain::Usage {
                    input_tokens: input,
                    output_tokens: output,
                    cache_read_tokens: read,
                    cache_write_tokens: write,
                    ..Default::default()
                };
                Answer { content, usage, stop, model: "recorded".into() }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_recorded_is_read_back_byte_for_byte(answers in proptest::collection::vec(answer(), 1..4), reply in text()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run.yaml");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let keys: Vec<CallKey> = (1..).take(answers.len()).map(|attempt| CallKey { attempt, ..key(1) }).collect();
            runtime.block_on(async {
                let recorder = Recorder::open(&path).unwrap();
                for (key, answer) in keys.iter().zip(&answers) {
                    recorder.answer(key, answer).await.unwrap();
                }
                recorder.reply("t", &reply).await.unwrap();
            });
            let written = std::fs::read_to_string(&path).unwrap();
            let recording = Recording::load(&path).unwrap_or_else(|problems| panic!("{problems}\n{written}"));
            for (key, answer) in keys.iter().zip(&answers) {
                let turn = recording.turn(key).unwrap();
                prop_assert_eq!(&turn.content, &answer.content, "{}", written);
                prop_assert_eq!((turn.usage, turn.stop), (Some(answer.usage), answer.stop));
            }
            prop_assert_eq!(recording.replies("t"), [reply]);
        }
    }
}
