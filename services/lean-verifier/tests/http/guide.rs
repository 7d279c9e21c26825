//! docs/verify-server.md: what it tells readers to run is run.

use std::process::Command;

use serde_json::Value;

use crate::server::{options, start};

const GUIDE: &str = include_str!("../../../../docs/verify-server.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_commands_are_answered() {
    let verifier = start(options()).await;
    let commands: Vec<&str> =
        GUIDE.split("<!-- run -->\n```\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(commands.len() >= 4);
    for command in commands {
        let text = run("sh", command, &verifier.url).await;
        let accepted = text.lines().all(|line| {
            let answer: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {text}"));
            answer.to_string().contains("\"outcome\":\"accepted\"")
        });
        assert!(accepted && !text.is_empty(), "{command}\n{text}");
    }
    let python = GUIDE.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(run("python3", python, &verifier.url).await.trim(), "add-comm proved");
}

async fn run(shell: &'static str, command: &str, url: &str) -> String {
    let mut child = Command::new(shell);
    child.args(["-c", command]).env("VERIFIER", url);
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
