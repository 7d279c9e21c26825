//! Clients beyond their limits, without keys, and with bodies that are none.

use atlas_lean_verifier::http::Keys;
use serde_json::{Value, json};

use crate::server::{options, result, start};

fn snippets(count: usize) -> Value {
    let one = |n: usize| json!({"id": n.to_string(), "code": format!("example : {n} = {n} := rfl")});
    json!({"snippets": (0..count).map(one).collect::<Vec<_>>()})
}

#[tokio::test(flavor = "multi_thread")]
async fn items_beyond_a_clients_limit_are_refused_one_by_one_and_a_batch_only_when_all_are() {
    let mut narrow = options();
    narrow.client.per_minute = 3;
    let verifier = start(narrow).await;
    let (status, answer) = verifier.ask("/api/check", &snippets(5)).await;
    assert_eq!(status, 200);
    for (id, outcome) in [("0", "accepted"), ("2", "accepted"), ("3", "refused"), ("4", "refused")] {
        assert_eq!(result(&answer, id)["outcome"], outcome, "{answer:#}");
    }
    let refused = result(&answer, "4");
    assert!(
        refused["retry_after"].as_u64().is_some_and(|seconds| (1..=20).contains(&seconds)),
        "{refused:#}"
    );
    let response = verifier.post("/api/check").json(&snippets(2)).send().await.unwrap();
    assert_eq!(response.status(), 429);
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    assert!(response.text().await.unwrap().contains("in a minute"));
    assert_eq!(verifier.asked.begun.borrow().len(), 3, "what is refused costs Lean nothing");
    let metrics = verifier.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("atlas_checks_refused_total{reason=\"client-rate\"} 4"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_keys_are_asked_for_each_is_a_client_and_nobody_else_may_ask() {
    let mut keyed = options();
    keyed.keys = Keys::parse("alpha\nbeta");
    keyed.client.open = 1;
    let verifier = start(keyed).await;
    let ask = async |name: &str, key: &str| {
        let asked = verifier.post("/api/check").header(name, key).json(&snippets(1));
        asked.send().await.unwrap().status().as_u16()
    };
    assert_eq!(verifier.ask("/api/check", &snippets(1)).await.0, 401);
    assert_eq!(ask("authorization", "Bearer gamma").await, 401);
    assert_eq!(ask("authorization", "Bearer alpha").await, 200);
    assert_eq!(ask("x-auth-token", "Bearer beta").await, 200);
    assert_eq!(verifier.get("/docs").await.status(), 200);
    // One open check each: the second of a batch is beyond it, for the first takes all of its second.
    let endless =
        json!({"id": "0", "code": "partial def spin (n : Nat) : IO Nat := spin (n + 1)\n#eval spin 0"});
    let batch = json!({"snippets": [endless, {"id": "1", "code": ""}], "timeout": 1});
    let asked = verifier.post("/api/check").bearer_auth("alpha").json(&batch);
    let answer: Value = asked.send().await.unwrap().json().await.unwrap();
    assert_eq!(result(&answer, "1")["outcome"], "refused", "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_none_are_told_what_is_wrong_and_the_next_one_is_answered() {
    let verifier = start(options()).await;
    let told = async |path: &str, body: String| {
        let asked = verifier.post(path).header("content-type", "application/json").body(body);
        let response = asked.send().await.unwrap();
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        (status, answer["detail"].as_str().unwrap_or_default().to_owned())
    };
    let twice = json!({"snippets": [{"id": "a", "code": ""}, {"id": "a", "code": ""}]}).to_string();
    for (path, body, status, reason) in [
        ("/verify", "{\"codes\": [".to_owned(), 422, "EOF"),
        ("/verify", "{\"codes\": []}".to_owned(), 422, "empty"),
        ("/verify", "[]".to_owned(), 422, "not what it must be"),
        ("/api/check", "{\"snippets\": []}".to_owned(), 422, "empty"),
        ("/api/check", twice, 422, "`a` is there twice"),
        ("/v1/check", json!({"modules": [], "levl": "certified"}).to_string(), 422, "levl"),
        (
            "/api/check",
            json!({"snippets": [{"id": "a", "code": "x".repeat(10 << 20)}]}).to_string(),
            413,
            "larger",
        ),
        ("/nowhere", String::new(), 404, "/docs"),
        ("/docs", String::new(), 405, "/docs"),
    ] {
        let (code, detail) = told(path, body).await;
        assert_eq!(code, status, "{path}: {detail}");
        assert!(detail.contains(reason), "{path}: {detail}");
    }
    // A body within the limit, with one item that is too long.
    let long = json!({"snippets": [{"id": "long", "code": "x".repeat(2 << 20)}, {"id": "b", "code": "example : 1 = 1 := rfl"}]});
    let (status, answer) = verifier.ask("/api/check", &long).await;
    assert_eq!((status, &result(&answer, "b")["outcome"]), (200, &json!("accepted")));
    assert!(result(&answer, "long")["error"].as_str().unwrap().contains("longer than"));
}
