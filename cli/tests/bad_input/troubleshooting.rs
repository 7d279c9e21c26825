//! `docs/troubleshooting.md` as a list of lines: what is wrong, the message, the way out.

use std::collections::BTreeMap;

const GUIDE: &str = include_str!("../../../docs/troubleshooting.md");

/// Lines that no test of this suite shows, with the reason.
const UNTESTED: [(&str, &str); 14] = [
    ("a port", "a run asks for none; crates/bus/tests/server.rs"),
    ("Lean fails its smoke test", "crates/lean and services/lean-verifier test it on a damaged image"),
    ("has a damaged image, a full disk", "crates/lean-wasm tests damaged images"),
    ("402, no credit", "crates/llm/tests: of_status"),
    ("a service fails", "any cause; the form is that of the other faults"),
    ("wrong arguments", "services/agent-runner: tool.rs"),
    ("the key of receipts", "crates/judge/tests/receipts.rs"),
    ("a damaged key or ring", "crates/judge/tests/receipts.rs"),
    ("a verdict is not taken", "services/merge-coordinator/tests/receipts.rs"),
    ("a verdict that is none", "services/agent-runner: verdict.rs"),
    ("no sandbox", "crates/sandbox/tests/canaries.rs takes layers away"),
    ("a sandbox that does not hold", "crates/sandbox/tests/canaries.rs"),
    ("eats its worker's memory", "crates/lean/tests/workers.rs"),
    ("no worker's program", "a build without one of its own programs"),
];

/// The guide's lines: what is wrong, and the cells after it.
fn lines() -> BTreeMap<&'static str, Vec<&'static str>> {
    let rows = GUIDE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
        (cells.next().unwrap(), cells.collect())
    })
    .collect()
}

/// Asserts that the guide has a line for `what`, and that `shown` has the messages that it quotes.
pub fn assert_shown(what: &str, shown: &str) {
    let lines = lines();
    let cells = lines.get(what).unwrap_or_else(|| panic!("docs/troubleshooting.md has no line for `{what}`"));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    // The message is what stands in code before the colon that introduces the way out.
    let quoted = quotes(cells[0]);
    assert!(!quoted.is_empty(), "the line for `{what}` quotes no message");
    for message in quoted {
        let mut rest = words(shown);
        for part in message.split('…').map(words).filter(|part| !part.is_empty()) {
            match rest.split_once(&part) {
                Some((_, after)) => rest = after.to_owned(),
                None => {
                    panic!("docs/troubleshooting.md quotes `{message}` for `{what}`; what is shown:\n{shown}")
                }
            }
        }
    }
}

/// What stands between backticks, one or two.
fn quotes(cell: &str) -> Vec<&str> {
    let mut quotes = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find('`') {
        let fence = if rest[start..].starts_with("``") { "``" } else { "`" };
        let from = &rest[start + fence.len()..];
        let Some(end) = from.find(fence) else { break };
        quotes.push(from[..end].trim());
        rest = &from[end + fence.len()..];
    }
    quotes
}

#[test]
fn every_line_of_the_guide_is_shown_by_a_test() {
    let suite = [
        include_str!("input.rs"),
        include_str!("places.rs"),
        include_str!("models.rs"),
        include_str!("lean.rs"),
    ]
    .concat();
    for what in lines().keys() {
        let excused = UNTESTED.iter().any(|(untested, _)| untested == what);
        let shown = suite.contains(&format!("\"{what}\")"));
        assert!(
            shown != excused,
            "`{what}`: {}",
            if excused { "is shown after all" } else { "no test shows it" }
        );
    }
}
