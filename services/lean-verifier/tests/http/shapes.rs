//! Kimina's shapes, our own, and what is said about them.

use serde_json::{Value, json};

use crate::server::{options, result, start};

#[tokio::test(flavor = "multi_thread")]
async fn verify_answers_in_kiminas_shape_with_places_in_the_snippet_as_it_was_sent() {
    let verifier = start(options()).await;
    let body = json!({
        "codes": [
            {"custom_id": "good", "proof": "theorem t (a b : Nat) : a + b = b + a := by omega"},
            {"custom_id": 7, "code": "import Init\n\n#check Nat\ntheorem t : 1 = 2 := by rfl"},
            {"custom_id": "open", "proof": "set_option warn.sorry false in\ntheorem t : 1 = 2 := sorry"},
            {"custom_id": "nothing"},
        ],
        "timeout": 60,
        "infotree_type": "original",
        "disable_cache": true,
    });
    let (status, answer) = verifier.ask("/verify", &body).await;
    assert_eq!(status, 200, "{answer:#}");
    let good = result(&answer, "good");
    assert_eq!((&good["outcome"], &good["response"]["env"]), (&json!("accepted"), &json!(0)), "{good:#}");
    assert!(good.get("error").is_none() && good["response"].get("messages").is_none(), "{good:#}");
    assert_eq!(good["notes"], json!(["info trees are not given"]));
    let bad = result(&answer, "7");
    let messages = bad["response"]["messages"].as_array().unwrap();
    assert_eq!(
        messages[0],
        json!({
            "severity": "info", "pos": {"line": 3, "column": 0}, "endPos": {"line": 3, "column": 6}, "data": "Nat : Type",
        })
    );
    assert_eq!(
        (&messages[1]["severity"], &messages[1]["pos"]["line"]),
        (&json!("error"), &json!(4)),
        "{bad:#}"
    );
    // A source that turns the warning off does not hide a `sorry`.
    let open = result(&answer, "open");
    assert_eq!(open["response"]["sorries"][0]["goal"], "t : 1 = 2", "{open:#}");
    assert_eq!(result(&answer, "nothing")["outcome"], "rejected");
    assert!(result(&answer, "nothing")["error"].as_str().unwrap().contains("neither `proof` nor `code`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_are_honoured_as_they_are_written() {
    let verifier = start(options()).await;
    let map = "theorem t (m : Std.HashMap Nat Nat) : m = m := rfl";
    let body = json!({
        "snippets": [
            {"id": "std", "code": format!("import Std.Data.HashMap\n{map}")},
            {"id": "init", "code": map},
            {"id": "unknown", "code": "import Mathlib.Data.Nat.Basic\ntheorem t : 1 = 1 := rfl"},
            {"id": "main", "code": "import Main\ntheorem t : 1 = 1 := rfl"},
        ],
        "debug": true,
    });
    let (_, answer) = verifier.ask("/api/check", &body).await;
    assert_eq!(result(&answer, "std")["outcome"], "accepted", "{answer:#}");
    assert!(result(&answer, "std")["diagnostics"]["toolchain"].as_str().unwrap().contains("4.28"));
    assert_eq!(result(&answer, "init")["outcome"], "rejected", "{answer:#}");
    let unknown = &result(&answer, "unknown")["response"]["messages"][0];
    assert_eq!((&unknown["severity"], &unknown["pos"]["line"]), (&json!("error"), &json!(1)));
    assert!(unknown["data"].as_str().unwrap().contains("Mathlib.Data.Nat.Basic"), "{unknown}");
    assert_eq!(result(&answer, "main")["outcome"], "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_check_brings_a_receipt_that_the_public_keys_verify() {
    let verifier = start(options()).await;
    let source = "module\n\npublic import Init\n\npublic theorem two (n : Nat) : n + n = 2 * n := by omega\n";
    let mut body = json!({"id": "q", "level": "certified", "modules": [{"name": "Sums", "source": source}]});
    let (_, answer) = verifier.ask("/v1/check", &body).await;
    assert_eq!((&answer["outcome"], &answer["id"]), (&json!("accepted"), &json!("q")), "{answer:#}");
    let two = &answer["declarations"][0];
    assert_eq!((&two["name"], &two["sorry_from"]), (&json!("two"), &json!([])));
    let receipt = atlas_judge::Receipt::from_json(answer["receipts"][0].to_string().as_bytes()).unwrap();
    let ring = verifier.get("/v1/keys").await.bytes().await.unwrap();
    let ring = atlas_judge::KeyRing::from_json(&ring).unwrap();
    atlas_judge::verify(&receipt, &ring, &atlas_judge::Policy::default()).unwrap();
    // The same content again is found; a `sorry` is refused.
    assert_eq!(verifier.ask("/v1/check", &body).await.1["cached"], true);
    body["modules"][0]["source"] = json!(source.replace("by omega", "sorry"));
    body["expectations"] = json!([{"declaration": "two"}]);
    let (_, refused) = verifier.ask("/v1/check", &body).await;
    assert_eq!((&refused["outcome"], &refused["receipts"]), (&json!("rejected"), &json!([])), "{refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_describes_what_is_served_and_its_examples_are_answered() {
    let verifier = start(options()).await;
    let document: Value = verifier.get("/openapi.json").await.json().await.unwrap();
    let mut references = Vec::new();
    find_references(&document, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        assert!(
            document.pointer(reference.strip_prefix('#').unwrap()).is_some(),
            "{reference} leads nowhere"
        );
    }
    let page = verifier.get("/docs").await.text().await.unwrap();
    assert!(!page.contains("src=") && !page.contains("https://"), "the page asks nothing of the network");
    for (path, methods) in document["paths"].as_object().unwrap() {
        assert!(page.contains(path.as_str()), "{path}");
        let Some(example) = methods.pointer("/post/requestBody/content/application~1json/example") else {
            assert_eq!(verifier.get(path).await.status(), 200, "{path}");
            continue;
        };
        let (status, answer) = verifier.ask(path, example).await;
        assert_eq!(status, 200, "{path}");
        assert!(answer.to_string().contains("accepted"), "{path}: {answer:#}");
    }
    let metrics = verifier.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("atlas_http_requests_total{path=\"/verify\",status=\"200\"} 1"), "{metrics}");
    assert!(metrics.contains("atlas_checks_total{level=\"certified\",outcome=\"accepted\"} 1"), "{metrics}");
}

fn find_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "$ref" => found.push(text.clone()),
                    other => find_references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_references(item, found)),
        _ => {}
    }
}
