//! A provider that refuses, breaks off or talks nonsense, and a recording that lacks a turn: the attempt ends, the run does
//! not, and the reason stands in the report and in `atlas logs`.

use std::time::Duration;

use serde_json::{Value, json};

use super::provider::{Provider, Reply};
use super::{Project, Told, common, machine};

/// What the provider does with each target, and the guide's line about it.
const TARGETS: [(&str, &str); 10] = [
    ("limited", "429"),
    ("broken", "500, 502, 503, 504, 529"),
    ("half", "half a stream"),
    ("nothing", "nothing, no connection"),
    ("nonsense", "an answer that is none"),
    ("page", "half a stream"),
    ("refused", "401, 403"),
    ("unknown", "404"),
    ("words", "words instead of a tool call"),
    ("tool", "an unknown tool"),
];

fn misbehave(target: &str, before: usize, body: &Value) -> Reply {
    if body["messages"].to_string().contains("What is to be done about") {
        return Reply::Calls("triage", json!({"action": "escalate", "text": "The model fails; now what?"}));
    }
    match target {
        // Passes after a while: the provider says when.
        "patient" if before < 2 => {
            Reply::Status(429, "retry-after: 2\r\n", r#"{"error": {"message": "slow down"}}"#)
        }
        "patient" => Reply::Calls("give_up", json!({"reason": "answered at last"})),
        "limited" => Reply::Status(429, "retry-after: 1\r\n", r#"{"error": {"message": "slow down"}}"#),
        "broken" => Reply::Status(500, "retry-after: 1\r\n", r#"{"error": {"message": "out of order"}}"#),
        "half" => Reply::Half,
        "nothing" => Reply::Nothing,
        "nonsense" => Reply::Status(200, "", "data: Welcome to nginx!\n\n"),
        "page" => Reply::Status(200, "", "<html>Welcome to nginx!</html>"),
        "refused" => Reply::Status(401, "", r#"{"error": {"message": "bad key"}}"#),
        "unknown" => Reply::Status(404, "", r#"{"error": {"message": "no such model"}}"#),
        "tool" if before == 0 => Reply::Calls("lake_build", json!({})),
        "tool" => Reply::Calls("give_up", json!({"reason": "there is no such tool"})),
        _ => Reply::Says("It is obvious."),
    }
}

#[test]
fn each_way_in_which_a_provider_fails_is_told_with_its_way_out() {
    let _machine = machine();
    let provider = Provider::start(misbehave);
    let project = Project::new();
    let definition = |(at, name): (usize, &str)| {
        let lean = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        format!(
            "**Definition 1.{}** ({lean}). {{#{name} lean={lean}}}\nA number is *{name}* if it is zero.\n\n",
            at + 1
        )
    };
    let names = TARGETS.iter().map(|(name, _)| *name).chain(["patient"]);
    project.write("book.md", format!("# Book\n\n{}", names.enumerate().map(definition).collect::<String>()));
    project.edit(
        "provider: recorded\n      recording: recording.yaml",
        "provider: openai\n      model: m\n      baseUrl: URL\n      limits: {retries: 1}",
    );
    project.edit("URL", &provider.url);
    project.edit("  models:", "  agents: {attemptsPerTask: 1, maximum: 16}\n  models:");

    let run = project.run().exits(3);
    // The screen names what fails while it fails, and the way out.
    for (target, what) in TARGETS {
        if !matches!(target, "words" | "tool") {
            let lines: Vec<&str> =
                run.text.lines().filter(|line| line.contains(&format!("{target}.formalizer.1"))).collect();
            super::troubleshooting::assert_shown(what, &lines.join("\n"));
        }
    }
    let report = common::json(&project.folder().join("runs/pair/report/report.json"));
    for (target, what) in TARGETS {
        let entry = report["targets"].as_array().unwrap().iter().find(|entry| entry["id"] == target).unwrap();
        let first = &entry["history"][0];
        let story = Told::by(project.atlas(&["logs", &format!("{target}.formalizer.1")])).exits(0);
        let told = match target {
            "tool" => story.way_out("Your tools are: "),
            "words" => story.way_out("tool"),
            // All else the attempt itself ended with.
            _ => Told { code: Some(0), text: first["reasons"].to_string().replace("\\\"", "\"") },
        };
        told.documented(what);
        assert_ne!(first["outcome"], "submitted", "{target}");
    }

    // What the provider asks for is done: two pauses of two seconds, then the answer.
    let asked = provider.asked("patient");
    for pair in asked[..3].windows(2) {
        let pause = pair[1].at.duration_since(pair[0].at);
        assert!(pause >= Duration::from_secs(2), "asked again after {pause:?}");
    }
    let patient = Told::by(project.atlas(&["logs", "patient.formalizer.1"]));
    patient.exits(0).at("answered at last");
    // An unknown tool is answered with those that there are.
    let told = provider.asked("tool")[1].body["messages"].to_string();
    assert!(told.contains("There is no tool `lake_build`. Your tools are: "), "{told}");
    // A key that is refused is not tried again, half an answer is.
    assert_eq!(provider.asked("refused").iter().filter(|asked| !triage(&asked.body)).count(), 1);
    assert!(provider.asked("half").len() >= 2);
}

fn triage(body: &Value) -> bool {
    body["messages"].to_string().contains("What is to be done about")
}

#[test]
fn a_recording_that_lacks_a_turn_says_which_and_where_to_add_it() {
    let _machine = machine();
    let project = Project::new();
    project.edit("  models:", "  agents: {attemptsPerTask: 1}\n  models:");
    project
        .write("recording.yaml", "- role: formalizer\n  target: even\n  turns:\n    - call: {check: {}}\n");
    project
        .run()
        .exits(3)
        .at("turn 2 for formalizer \"even\"")
        .way_out("recording.yaml")
        .documented("a recording lacks a turn");

    // The run is there now, so that what asks for it can be wrong about it.
    Told::by(project.atlas(&["logs", "even.prover.7"]))
        .exits(2)
        .at("even.prover.7")
        .way_out("`atlas logs` lists")
        .documented("no such agent");
    Told::by(project.atlas(&["reply", "even-two", "Yes."]))
        .exits(2)
        .at("`even-two` asks nothing of you")
        .way_out("open questions: even")
        .documented("no such question");
    Told::by(project.atlas(&["status", "nothing"]))
        .exits(2)
        .way_out("there are: pair")
        .documented("no such run");
    project.write("book.md", super::BOOK.replace("The number $2$", "The number $4$"));
    project.run().exits(2).at("target `even-two` has changed").way_out("--run").documented("changed inputs");
}
