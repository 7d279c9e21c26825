//! What commits say, and how it is written: subject, body, trailers.

use std::collections::BTreeMap;

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitText {
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub email: String,
    /// First line.
    pub subject: String,
    /// Free text.
    pub body: String,
    /// `Key: value` lines at the end, in order.
    pub trailers: Vec<(String, String)>,
    /// Unix seconds. The same commit written again has the same id.
    pub time: i64,
}

/// A commit as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Object id, hex.
    pub commit: String,
    /// First line of the message.
    pub subject: String,
    /// `name <email>`.
    pub author: String,
    /// The trailers by key.
    pub trailers: BTreeMap<String, String>,
    /// Unix seconds.
    pub time: i64,
}

/// One line without the characters that end a name or an address in a commit.
pub(crate) fn plain(text: &str) -> String {
    let line: String = text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).collect();
    let line = line.trim();
    if line.is_empty() { "unknown".to_owned() } else { line.to_owned() }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn message(text: &CommitText) -> String {
    let subject = one_line(&text.subject);
    let mut message = if subject.is_empty() { "(no title)".to_owned() } else { subject };
    message.push('\n');
    let body = text.body.trim().replace('\0', "");
    if !body.is_empty() {
        message.push('\n');
        message.push_str(&body);
        message.push('\n');
    }
    let mut trailers = text.trailers.iter().filter(|(_, value)| !value.trim().is_empty()).peekable();
    if trailers.peek().is_some() {
        message.push('\n');
    }
    for (key, value) in trailers {
        message.push_str(&format!("{key}: {}\n", one_line(value)));
    }
    message
}

/// The `Key: value` lines of a message's last paragraph.
pub(crate) fn trailers(message: &str) -> BTreeMap<String, String> {
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    last.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(key, _)| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
