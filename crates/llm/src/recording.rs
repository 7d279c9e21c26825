//! Recordings: what a model says, turn by turn, written by hand or by [`crate::Recorder`]. docs/recording.md is the format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atlas_api::yaml::{self, Key, Node, Place, Yaml};
use atlas_api::{Problem, Problems, ROLES, nearest};
use atlas_domain::Usage;

use crate::{CallKey, Content, Stop};

/// A parsed recording.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    path: PathBuf,
    conversations: BTreeMap<(String, String, u32), Conversation>,
    replies: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Default)]
struct Conversation {
    /// The file that it stands in first.
    file: PathBuf,
    turns: BTreeMap<u32, Turn>,
    /// What happens before the turn is answered.
    faults: BTreeMap<u32, Vec<Fault>>,
}

/// What the model says in one turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Words and tool uses.
    pub content: Vec<Content>,
    /// Tokens, when the recording says them.
    pub usage: Option<Usage>,
    /// Why the model stops.
    pub stop: Stop,
}

/// A fault that the provider shows before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub kind: FaultKind,
    /// What the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// How often.
    pub times: u32,
}

/// How a provider fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It answers with this HTTP status.
    Status(u16),
    /// The stream ends in the middle.
    Cut,
    /// The answer is empty.
    Empty,
}

impl Recording {
    /// Reads a recording: a file, or a folder's `*.yaml` files in the order of their names.
    ///
    /// # Errors
    /// All mistakes, each with file, line and a way out.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Problems> {
        let path = path.as_ref();
        let mut reader = Reader {
            recording: Self { path: path.to_owned(), ..Self::default() },
            problems: Vec::new(),
            seen: BTreeMap::new(),
        };
        for file in files(path)? {
            let text = std::fs::read_to_string(&file).map_err(|error| {
                failed(&file, format!("cannot read the recording: {error}"), "recordings are UTF-8 text")
            })?;
            let first = reader.problems.len();
            match yaml::parse(&file, &text) {
                Ok(document) => reader.document(&file, &document),
                Err(problems) => reader.problems.extend(problems.0),
            }
            reader.problems[first..].sort_by_key(|problem| (problem.line, problem.column));
            for problem in &mut reader.problems[first..] {
                problem.quote(&text);
            }
        }
        if reader.problems.is_empty() { Ok(reader.recording) } else { Err(Problems(reader.problems)) }
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the model says in the turn `key`.
    pub fn turn(&self, key: &CallKey) -> Option<&Turn> {
        self.conversation(key)?.turns.get(&key.turn)
    }

    /// What fails before the turn `key` is answered, in order.
    pub fn faults(&self, key: &CallKey) -> &[Fault] {
        self.conversation(key).and_then(|c| c.faults.get(&key.turn)).map_or(&[], Vec::as_slice)
    }

    /// The file to which a missing turn should be added: the one that has the conversation, else the recording.
    pub fn file_for(&self, key: &CallKey) -> &Path {
        self.conversation(key).map_or(&self.path, |conversation| &conversation.file)
    }

    /// People's answers to the escalations of `target`: the first answers its first escalation, and so on.
    pub fn replies(&self, target: &str) -> &[String] {
        self.replies.get(target).map_or(&[], Vec::as_slice)
    }

    /// The turns that it has.
    pub fn keys(&self) -> impl Iterator<Item = CallKey> + '_ {
        self.conversations.iter().flat_map(|((role, target, attempt), conversation)| {
            conversation.turns.keys().map(|turn| CallKey {
                role: role.clone(),
                target: target.clone(),
                attempt: *attempt,
                turn: *turn,
            })
        })
    }

    fn conversation(&self, key: &CallKey) -> Option<&Conversation> {
        self.conversations.get(&(key.role.clone(), key.target.clone(), key.attempt))
    }
}

fn failed(path: &Path, message: String, help: &str) -> Problems {
    Problems(vec![Problem::new(path, Place::default(), message).help(help)])
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Problems> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| {
        failed(path, format!("cannot list the recording's folder: {error}"), "check its permissions")
    })?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(failed(
            path,
            "the recording's folder has no `*.yaml` file".into(),
            "docs/recording.md shows what one looks like",
        ));
    }
    Ok(files)
}

struct Reader {
    recording: Recording,
    problems: Vec<Problem>,
    /// Where each turn stands, to show both places when one comes twice.
    seen: BTreeMap<CallKey, String>,
}

impl Reader {
    fn report(&mut self, file: &Path, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(file, place, message).help(help));
    }

    fn document(&mut self, file: &Path, document: &Node) {
        match &document.value {
            Yaml::Null => {}
            Yaml::List(items) => items.iter().for_each(|item| self.item(file, item)),
            _ => self.report(
                file,
                start(document),
                "a recording is a list",
                "begin each conversation with `- role: …`",
            ),
        }
    }

    fn item(&mut self, file: &Path, item: &Node) {
        if item.get("human").is_some() || item.get("reply").is_some() {
            self.human(file, item);
        } else {
            self.talk(file, item);
        }
    }

    fn human(&mut self, file: &Path, item: &Node) {
        self.known_fields(file, item, "a person's reply", &["human", "reply"]);
        let (target, reply) = (
            self.text(file, item, "human", "the target's label"),
            self.text(file, item, "reply", "what the person says"),
        );
        if let (Some(target), Some(reply)) = (target, reply) {
            self.recording.replies.entry(target).or_default().push(reply);
        }
    }

    fn talk(&mut self, file: &Path, item: &Node) {
        self.known_fields(
            file,
            item,
            "a conversation",
            &["role", "target", "attempt", "from", "replaces", "turns"],
        );
        let role = self.text(file, item, "role", "the role that asks, e.g. `prover`");
        let target = self.text(file, item, "target", "the target's label");
        let attempt = self.positive(file, item, "attempt").unwrap_or(1);
        let from = self.positive(file, item, "from").unwrap_or(1);
        let replaces = item.get("replaces").is_some_and(|node| node.value == Yaml::Bool(true));
        if let (Some(name), Some(node)) = (&role, item.get("role"))
            && !ROLES[1..].contains(&name.as_str())
        {
            let help = nearest(name, ROLES[1..].iter().copied()).map_or_else(
                || format!("roles with a model: {}", ROLES[1..].join(", ")),
                |meant| format!("did you mean `{meant}`?"),
            );
            self.report(file, node.place, format!("no role `{name}` asks a model"), help);
        }
        let Some(turns) = item.get("turns").filter(|turns| matches!(turns.value, Yaml::List(_))) else {
            self.report(
                file,
                start(item),
                "the conversation has no `turns`",
                "add `turns:` with a list of what the model says",
            );
            return;
        };
        let (Some(role), Some(target)) = (role, target) else { return };
        let mut number = from;
        for node in turns.items() {
            let key = CallKey { role: role.clone(), target: target.clone(), attempt, turn: number };
            self.known_fields(file, node, "a turn", &["say", "call", "usage", "stop", "fault"]);
            if let Some(fault) = node.get("fault") {
                self.fault(file, node, fault, &key);
            } else if let Some(turn) = self.turn(file, node, number) {
                self.insert(file, node, key, turn, replaces);
                number += 1;
            } else {
                number += 1; // what is wrong with it has been said
            }
        }
    }

    fn insert(&mut self, file: &Path, node: &Node, key: CallKey, turn: Turn, replaces: bool) {
        let here = format!("{}:{}", file.display(), node.place.line);
        if let Some(first) = self.seen.insert(key.clone(), here).filter(|_| !replaces) {
            self.report(
                file,
                start(node),
                format!("a second {key}"),
                format!("the first one is at {first}; give this conversation its own `attempt`, or number its first turn with `from`"),
            );
        }
        let conversation = self.conversation(file, &key);
        conversation.turns.insert(key.turn, turn);
    }

    fn conversation(&mut self, file: &Path, key: &CallKey) -> &mut Conversation {
        self.recording
            .conversations
            .entry((key.role.clone(), key.target.clone(), key.attempt))
            .or_insert_with(|| Conversation { file: file.to_owned(), ..Conversation::default() })
    }

    fn turn(&mut self, file: &Path, node: &Node, number: u32) -> Option<Turn> {
        let before = self.problems.len();
        let mut content = Vec::new();
        if node.get("say").is_some()
            && let Some(text) = self.text(file, node, "say", "what the model says")
        {
            content.push(Content::Text(text));
        }
        let calls = node.get("call").map_or(&[][..], |call| {
            if matches!(call.value, Yaml::List(_)) { call.items() } else { std::slice::from_ref(call) }
        });
        for (index, call) in calls.iter().enumerate() {
            if let Some((name, arguments)) = self.call(file, call) {
                content.push(Content::ToolUse { id: format!("call_{number}_{index}"), name, arguments });
            }
        }
        let usage = node.get("usage").map(|usage| self.usage(file, usage));
        let stop = match node.get("stop").map(|node| (node, node.text())) {
            None if calls.is_empty() => Stop::EndTurn,
            None => Stop::ToolUse,
            Some((_, Some("max-tokens"))) => Stop::MaxTokens,
            Some((_, Some("refusal"))) => Stop::Refusal,
            Some((node, _)) => {
                self.report(
                    file,
                    node.place,
                    "`stop` must be `max-tokens` or `refusal`",
                    "leave it out for a turn that ends as it should",
                );
                Stop::EndTurn
            }
        };
        if self.problems.len() > before {
            return None;
        }
        if content.is_empty() && node.get("stop").is_none() {
            self.report(file, start(node), "the turn is empty", "give it `say`, `call`, both, or `fault`");
            return None;
        }
        Some(Turn { content, usage, stop })
    }

    fn call(&mut self, file: &Path, call: &Node) -> Option<(String, serde_json::Value)> {
        match (call.entries(), call.text()) {
            ([(Key { name, .. }, arguments)], _) => Some((
                name.clone(),
                match arguments.to_json() {
                    serde_json::Value::Null => serde_json::json!({}),
                    other => other,
                },
            )),
            (_, Some(name)) => {
                self.report(
                    file,
                    call.place,
                    "a call needs its arguments",
                    format!("write `{name}: {{}}` when there are none"),
                );
                None
            }
            _ => {
                self.report(
                    file,
                    start(call),
                    "a call is one tool's name with its arguments",
                    "write `call: {check: {}}`, and several calls as a list: `call: [{write_region: {…}}, {check: {}}]`",
                );
                None
            }
        }
    }

    fn usage(&mut self, file: &Path, node: &Node) -> Usage {
        self.known_fields(file, node, "`usage`", &["input", "output", "cache_read", "cache_write"]);
        let mut count = |field: &str| match node.get(field) {
            None => 0,
            Some(value) => value.unsigned().unwrap_or_else(|| {
                self.problems.push(Problem::new(
                    file,
                    value.place,
                    format!("`{field}` is {}, but must be a number of tokens", value.describe()),
                ));
                0
            }),
        };
        Usage {
            input_tokens: count("input"),
            output_tokens: count("output"),
            cache_read_tokens: count("cache_read"),
            cache_write_tokens: count("cache_write"),
            ..Usage::default()
        }
    }

    fn fault(&mut self, file: &Path, turn: &Node, fault: &Node, key: &CallKey) {
        if ["say", "call", "usage", "stop"].iter().any(|field| turn.get(field).is_some()) {
            self.report(
                file,
                start(turn),
                "a fault says nothing",
                "put the answer that comes after it into a turn of its own",
            );
        }
        let status = if fault.entries().is_empty() { Some(fault) } else { fault.get("status") };
        self.known_fields(file, fault, "`fault`", &["status", "retry_after", "times"]);
        let kind = match status.map(|status| (status.unsigned(), status.text())) {
            Some((Some(status @ 400..=599), _)) => FaultKind::Status(status as u16),
            Some((_, Some("cut"))) => FaultKind::Cut,
            Some((_, Some("empty"))) => FaultKind::Empty,
            _ => {
                let place = status.unwrap_or(fault);
                return self.report(
                    file,
                    start(place),
                    "a fault is an HTTP status from 400 to 599, `cut` or `empty`",
                    "write e.g. `fault: {status: 429, retry_after: 1}`",
                );
            }
        };
        let retry_after = fault.get("retry_after").and_then(|node| match &node.value {
            Yaml::Number(number) => {
                number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            }
            _ => None,
        });
        if let (Some(node), None) = (fault.get("retry_after"), retry_after) {
            self.report(
                file,
                node.place,
                "`retry_after` must be a number of seconds",
                "write e.g. `retry_after: 1`",
            );
        }
        let times = self.positive(file, fault, "times").unwrap_or(1);
        self.conversation(file, key).faults.entry(key.turn).or_default().push(Fault {
            kind,
            retry_after,
            times,
        });
    }

    fn known_fields(&mut self, file: &Path, node: &Node, what: &str, known: &[&str]) {
        for (key, _) in node.entries().iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            let help = nearest(&key.name, known.iter().copied()).map_or_else(
                || format!("known: {}", known.join(", ")),
                |meant| format!("did you mean `{meant}`?"),
            );
            self.report(file, key.place, format!("{what} has no field `{}`", key.name), help);
        }
    }

    fn text(&mut self, file: &Path, item: &Node, field: &str, what: &str) -> Option<String> {
        match item.get(field) {
            None => {
                self.report(file, start(item), format!("`{field}` is missing"), format!("`{field}`: {what}"));
                None
            }
            Some(node) => match &node.value {
                Yaml::Text(text) => Some(text.clone()),
                // Labels may look like numbers.
                Yaml::Number(number) => Some(number.to_string()),
                _ => {
                    self.report(
                        file,
                        start(node),
                        format!("`{field}` is {}, but must be text", node.describe()),
                        "put it in quotes",
                    );
                    None
                }
            },
        }
    }

    fn positive(&mut self, file: &Path, item: &Node, field: &str) -> Option<u32> {
        let node = item.get(field)?;
        let number =
            node.unsigned().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
        if number.is_none() {
            self.report(
                file,
                start(node),
                format!("`{field}` is {}, but must be 1 or more", node.describe()),
                "count from 1",
            );
        }
        number
    }
}

/// The first character of `node`, for mistakes that are not about one value.
fn start(node: &Node) -> Place {
    match node.value {
        Yaml::Map(_) | Yaml::List(_) => Place { length: 1, ..node.place },
        _ => node.place,
    }
}
