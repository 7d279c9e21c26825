//! Both wire formats against a real HTTP server: what is sent, what is understood, and what happens when it goes wrong.

use std::time::Duration;

use crate::common::{Reply, Server, anthropic_events, call, models, openai_events, options};
use atlas_llm::{Answer, Content, KeySource, ModelError, ModelOptions, Models, Provider, Stop};
use serde_json::{Value, json};

/// A model of `provider` with the key `sk-secret`, at a server that gives `replies`.
async fn model(provider: Provider, retries: u32, replies: Vec<Reply>) -> (Server, Models) {
    let server = Server::start(replies).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "sk-secret\n").unwrap();
    let options =
        ModelOptions { key: Some(KeySource::File(file)), ..options(provider, &server.url, retries) };
    let models = models(options);
    (server, models)
}

fn checks(answer: &Answer) {
    assert_eq!(answer.content[0], Content::Text("I check ∀ first.".into()));
    let Content::ToolUse { name, arguments, .. } = &answer.content[1] else { panic!("{answer:?}") };
    assert_eq!((name.as_str(), arguments), ("check", &json!({"path": "A.lean"})));
    assert_eq!((answer.content.len(), answer.stop), (2, Stop::ToolUse));
}

const INPUT: &str = r#"{"path": "A.lean"}"#;

#[tokio::test]
async fn anthropic_is_asked_with_marks_for_its_cache_and_its_answer_is_understood() {
    let (server, models) = model(Provider::Anthropic, 0, vec![Reply::Events(anthropic_events(INPUT))]).await;
    let answer = models.call(&call()).await.unwrap();
    checks(&answer);
    let usage = answer.usage;
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens),
        (12, 42, 2000, 300)
    );
    assert_eq!(usage.cost_microdollars, 2391, "12·3 + 42·15 + 2000·0.3 + 300·3.75");
    let asked = server.asked().remove(0);
    assert_eq!(
        (asked.path.as_str(), &asked.headers["x-api-key"], asked.body["stream"].as_bool()),
        ("/v1/messages", &"sk-secret".parse().unwrap(), Some(true))
    );
    insta::assert_json_snapshot!("anthropic_request", asked.body);
}

#[tokio::test]
async fn openai_is_asked_in_its_own_way_and_its_answer_is_understood() {
    let (server, models) = model(Provider::Openai, 0, vec![Reply::Events(openai_events(INPUT, false))]).await;
    let answer = models.call(&call()).await.unwrap();
    checks(&answer);
    let usage = answer.usage;
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens),
        (312, 42, 2000, 0)
    );
    let asked = server.asked().remove(0);
    assert_eq!(
        (asked.path.as_str(), &asked.headers["authorization"]),
        ("/v1/chat/completions", &"Bearer sk-secret".parse().unwrap())
    );
    insta::assert_json_snapshot!("openai_request", asked.body);
}

#[tokio::test]
async fn a_local_server_gets_no_key_and_its_numbered_uses_get_ids_of_their_own() {
    let server = Server::start(vec![Reply::Events(openai_events(INPUT, true))]).await;
    let answer = models(options(Provider::Openai, &server.url, 0)).call(&call()).await.unwrap();
    checks(&answer);
    assert!(matches!(&answer.content[1], Content::ToolUse { id, .. } if id == "call_3_0"), "{answer:?}");
    assert!(!server.asked()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn arguments_that_are_not_json_and_tools_that_do_not_exist_are_passed_up() {
    let unknown = |events: Vec<String>| {
        Reply::Events(events.into_iter().map(|event| event.replace("\"check\"", "\"prove_it\"")).collect())
    };
    for (provider, reply) in [
        (Provider::Anthropic, unknown(anthropic_events("{\"path\": "))),
        (Provider::Openai, unknown(openai_events("{\"path\": ", false))),
    ] {
        let (_server, models) = model(provider, 0, vec![reply]).await;
        let answer = models.call(&call()).await.unwrap();
        let Content::ToolUse { name, arguments, .. } = &answer.content[1] else { panic!("{answer:?}") };
        assert_eq!((name.as_str(), arguments), ("prove_it", &json!("{\"path\": ")));
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_out_as_long_as_the_provider_asks() {
    let limited = Reply::Status(429, vec![("retry-after", "2")], fault("rate_limit_error", "slow down"));
    let (server, models) =
        model(Provider::Anthropic, 3, vec![limited, Reply::Events(anthropic_events(INPUT))]).await;
    checks(&models.call(&call()).await.unwrap());
    let asked = server.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(2));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_until_it_does() {
    for (provider, good) in
        [(Provider::Anthropic, anthropic_events(INPUT)), (Provider::Openai, openai_events(INPUT, false))]
    {
        let half = good[..good.len() / 2].to_vec();
        let all_but_the_end = good[..good.len() - 1].to_vec();
        let overloaded = format!("event: error\ndata: {}\n\n", fault("overloaded_error", "Overloaded"));
        let faults: Vec<Vec<Reply>> = vec![
            vec![
                Reply::Status(500, vec![], "oops".into()),
                Reply::Status(529, vec![], fault("overloaded_error", "later")),
            ],
            vec![Reply::Dropped(half)],
            vec![Reply::Events(all_but_the_end)],
            vec![Reply::Events(vec![])],
            vec![Reply::Events(vec!["event: content_block_start\ndata: {\"type\": \n\n".into()])],
            vec![Reply::Events(vec![overloaded])],
            vec![Reply::Status(200, vec![], "<html>It works!</html>".into())],
        ];
        let calls = faults.into_iter().map(|mut replies| {
            let good = good.clone();
            async move {
                let expected = replies.len() + 1;
                replies.push(Reply::Events(good));
                let (server, models) = model(provider, 3, replies).await;
                checks(&models.call(&call()).await.unwrap());
                assert_eq!(server.asked().len(), expected);
            }
        });
        futures::future::join_all(calls).await;
    }
}

#[tokio::test]
async fn half_an_answer_is_never_taken_for_one() {
    for provider in [Provider::Anthropic, Provider::Openai] {
        let good = if provider == Provider::Anthropic {
            anthropic_events(INPUT)
        } else {
            openai_events(INPUT, false)
        };
        for end in 0..good.len() {
            let (_server, models) = model(provider, 0, vec![Reply::Events(good[..end].to_vec())]).await;
            let error = models.call(&call()).await.unwrap_err();
            assert!(matches!(error, ModelError::Cut { .. }), "after {end} events: {error}");
        }
    }
}

#[tokio::test]
async fn what_cannot_pass_is_said_at_once_with_the_way_out_and_without_the_key() {
    type Case = (u16, Vec<(&'static str, &'static str)>, String, &'static str);
    let cases: [Case; 6] = [
        (
            401,
            vec![],
            fault("authentication_error", "invalid x-api-key: sk-secret"),
            "check that the key is valid",
        ),
        (404, vec![], fault("not_found_error", "model: model-1"), "correct `model` or `baseUrl`"),
        (400, vec![], fault("invalid_request_error", "max_tokens is too large"), "max_tokens is too large"),
        (400, vec![], fault("invalid_request_error", "Your credit balance is too low"), "top it up"),
        (413, vec![], "too large".into(), "status 413"),
        (307, vec![("location", "http://127.0.0.1:1/v1")], String::new(), "set `baseUrl` to where it leads"),
    ];
    for (status, headers, body, way_out) in cases {
        for provider in [Provider::Anthropic, Provider::Openai] {
            let (server, models) =
                model(provider, 3, vec![Reply::Status(status, headers.clone(), body.clone())]).await;
            let error = models.call(&call()).await.unwrap_err();
            let text = format!("{error} {error:?} {models:?}");
            assert!(text.contains(way_out) && !error.is_transient(), "{status}: {text}");
            assert!(!text.contains("sk-secret"), "the key is shown: {text}");
            assert_eq!(server.asked().len(), 1, "{status} is not tried again");
        }
    }
}

#[tokio::test]
async fn retries_end_and_the_last_fault_is_told() {
    let broken = || Reply::Status(503, vec![], fault("api_error", "down for maintenance"));
    let (server, models) = model(Provider::Anthropic, 1, vec![broken(), broken()]).await;
    let error = models.call(&call()).await.unwrap_err();
    assert!(
        error.to_string().contains("status 503: down for maintenance") && error.is_transient(),
        "{error}"
    );
    assert_eq!(server.asked().len(), 2);
    let far = Reply::Status(429, vec![("retry-after", "86400")], fault("rate_limit_error", "tomorrow"));
    let (_server, models) = model(Provider::Anthropic, 5, vec![far]).await;
    assert!(matches!(models.call(&call()).await.unwrap_err(), ModelError::RateLimited { .. }));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = models(options(Provider::Openai, &url, 0)).call(&call()).await.unwrap_err();
    assert!(matches!(&error, ModelError::Transport { url: named, .. } if named.starts_with(&url)), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn the_estimate_is_never_below_what_a_call_may_cost() {
    let (_server, models) = model(Provider::Anthropic, 0, vec![]).await;
    let estimate = models.estimate(&call()).unwrap();
    assert_eq!(estimate.output_tokens, 1000);
    assert!(estimate.cache_write_tokens > 0 && estimate.cost_microdollars >= 15_000, "{estimate:?}");
    let mut unknown = call();
    unknown.model = "other".into();
    assert_eq!(
        models.estimate(&unknown).unwrap_err().to_string(),
        "no model `other` in this run; it has: main"
    );
    assert_eq!(models.context_window("main"), 200_000);
}

fn fault(kind: &str, message: &str) -> String {
    let value: Value = json!({"type": "error", "error": {"type": kind, "message": message}});
    value.to_string()
}
