//! Batches: each item by itself, streams, clients that go away, a verifier that is stopped.

use futures::StreamExt as _;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

use crate::server::{Verifier, options, result, start};

const LOOP: &str = "partial def spin (n : Nat) : Nat := spin (n + 1)\n#eval spin 0\n-- loops";

fn good(n: usize) -> Value {
    json!({"id": format!("good {n}"), "code": format!("theorem t{n} (a : Nat) : a + {n} = {n} + a := by omega")})
}

/// Waits until Lean has been asked what holds `text`.
async fn begun(verifier: &Verifier, text: &str) {
    let mut begun = verifier.asked.begun.subscribe();
    begun.wait_for(|sources| sources.iter().any(|source| source.contains(text))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snippet_that_loops_ends_at_its_deadline_and_its_neighbours_are_none_the_worse() {
    let mut two = options();
    (two.concurrency, two.client.at_once) = (2, 2);
    let verifier = start(two).await;
    let mut snippets: Vec<Value> = (0..6).map(good).collect();
    snippets.insert(0, json!({"id": "loops", "code": LOOP}));
    snippets.insert(3, json!({"id": "wrong", "code": "theorem t : 1 = 2 := by decide"}));
    let response = verifier
        .post("/api/check")
        .header(ACCEPT, "application/x-ndjson")
        .json(&json!({"snippets": snippets, "timeout": 4}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    let results: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results.len(), 8, "{text}");
    assert_eq!(results[7]["id"], "loops", "the first to be asked is the last to be done: {text}");
    assert_eq!(results[7]["outcome"], "timed-out");
    assert!(results[7]["error"].as_str().unwrap().contains("timed out"), "{text}");
    for result in &results[..7] {
        let wanted = if result["id"] == "wrong" { "rejected" } else { "accepted" };
        assert_eq!(result["outcome"], wanted, "{result:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_checked_once_is_found_whoever_asks_and_clients_at_once_share_one_lean() {
    let mut two = options();
    (two.concurrency, two.client.at_once) = (2, 2);
    let verifier = start(two).await;
    let body = |offset| json!({"snippets": (offset..offset + 5).map(good).collect::<Vec<_>>()});
    let ask = async |offset: usize| verifier.ask("/api/check", &body(offset)).await.1;
    // Items 102 to 104 are asked for twice at once: Lean does each once.
    let (first, second) = tokio::join!(ask(100), ask(102));
    let cached = |answer: &Value| {
        answer["results"].as_array().unwrap().iter().filter(|result| result["cached"] == true).count()
    };
    assert_eq!(cached(&first) + cached(&second), 3, "{first:#} {second:#}");
    for (n, result) in first["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(result["id"], format!("good {}", 100 + n), "in the order of the request");
        assert_eq!(result["outcome"], "accepted");
    }
    assert_eq!(cached(&ask(102).await), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_that_went_away_still_waited_for_is_not_asked_of_lean() {
    let verifier = start(options()).await;
    for stream in [true, false] {
        let tag = if stream { "streamed" } else { "whole" };
        let mut snippets = vec![json!({"id": "loops", "code": format!("{LOOP} {tag}")})];
        snippets.extend((200..210).map(good));
        if stream {
            snippets.insert(0, json!({"id": "quick", "code": "example : 1 = 1 := rfl -- quick"}));
        }
        let loops = format!("loops {tag}");
        let accept = if stream { "application/x-ndjson" } else { "application/json" };
        let body = json!({"snippets": snippets, "timeout": 5});
        let asked = verifier.post("/api/check").header(ACCEPT, accept).json(&body).send();
        if stream {
            let mut lines = asked.await.unwrap().bytes_stream();
            assert!(
                String::from_utf8(lines.next().await.unwrap().unwrap().to_vec()).unwrap().contains("quick")
            );
            begun(&verifier, &loops).await;
            drop(lines);
        } else {
            tokio::select! {
                _ = asked => panic!("it was answered"),
                () = begun(&verifier, &loops) => {}
            }
        }
        // The next client's turn comes when the loop has ended, and not after ten more.
        let (_, answer) = verifier
            .ask(
                "/api/check",
                &json!({"snippets": [{"id": "next", "code": format!("example : 2 = 2 := rfl -- {tag}")}]}),
            )
            .await;
        assert_eq!(result(&answer, "next")["outcome"], "accepted");
        let begun = verifier.asked.begun.borrow().clone();
        assert!(!begun.iter().any(|source| source.contains("theorem t20")), "{begun:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_stream_holds_nobody_up() {
    let verifier = start(options()).await;
    // More than what lies between a server and a client that does not read.
    let said = format!("noncomputable def s := \"{}\"\n{}", "a".repeat(2000), "#print s\n".repeat(500));
    let long = |n: usize| json!({"id": n.to_string(), "code": format!("{said}-- {n}")});
    let body = json!({"snippets": (0..24).map(long).collect::<Vec<_>>()});
    let stream =
        verifier.post("/api/check").header(ACCEPT, "application/x-ndjson").json(&body).send().await.unwrap();
    begun(&verifier, "-- 23").await;
    let (_, answer) = verifier.ask("/api/check", &json!({"snippets": [good(400)]})).await;
    assert_eq!(result(&answer, "good 400")["outcome"], "accepted");
    let text = stream.text().await.unwrap();
    for line in text.lines() {
        let end = line.floor_char_boundary(300);
        assert!(line.contains("\"outcome\":\"accepted\""), "{}", &line[..end]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_is_stopped_finishes_what_is_under_way_and_takes_nothing_more_on() {
    let verifier = start(options()).await;
    let body =
        json!({"snippets": [{"id": "loops", "code": format!("{LOOP} stop")}, good(300)], "timeout": 3});
    let under_way = verifier.ask("/api/check", &body);
    let stop = async {
        begun(&verifier, "loops stop").await;
        // This connection is open already, so it still gets an answer.
        verifier.stopping.cancel();
    };
    let ((status, answer), ()) = tokio::join!(under_way, stop);
    assert_eq!(status, 200);
    assert_eq!(result(&answer, "loops")["outcome"], "timed-out");
    assert_eq!(result(&answer, "good 300")["outcome"], "accepted");
    verifier.running.await.unwrap();
    assert!(reqwest::get(format!("{}/healthz", verifier.url)).await.is_err(), "nobody listens any more");
}
