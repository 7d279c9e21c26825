//! What a schema cannot say: names that must differ or must exist, values that must fit each other, paths.
//!
//! The rules read the tree, not the types, so that they hold for a file that has mistakes elsewhere and can say where.

use std::collections::BTreeMap;
use std::path::Path;

use crate::problem::{nearest, one_of};
use crate::yaml::{Key, Node, Place, Yaml};
use crate::{API_VERSION, Agents, KIND, Problem, ROLES};

/// Lean's own root modules, which no package may be named after.
const LEAN_MODULES: [&str; 4] = ["Init", "Lake", "Lean", "Std"];

/// Every rule that `document` breaks. With `folder`, the paths in it must exist there.
pub(crate) fn check(file: &Path, document: &Node, folder: Option<&Path>) -> Vec<Problem> {
    let mut rules = Rules { file, folder, problems: Vec::new() };
    rules.header(document);
    if let Some(spec) = document.get("spec") {
        rules.books(spec);
        rules.library(spec);
        rules.agents(spec);
        rules.models(spec);
        rules.training(spec);
    }
    rules.problems
}

struct Rules<'a> {
    file: &'a Path,
    folder: Option<&'a Path>,
    problems: Vec<Problem>,
}

impl Rules<'_> {
    fn report(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::new(self.file, place, message).help(help));
    }

    fn header(&mut self, document: &Node) {
        for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            if let Some((node, text)) = document.get(field).and_then(|n| Some((n, n.text()?)))
                && text != expected
            {
                self.report(
                    node.place,
                    format!("`{field}` is `{text}`"),
                    format!("write `{field}: {expected}`"),
                );
            }
        }
        if let Some((node, name)) = document.at(&["metadata", "name"]).and_then(|n| Some((n, n.text()?))) {
            let inside = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !name.is_empty()
                && (!inside || name.len() > 63 || name.starts_with('-') || name.ends_with('-'))
            {
                self.report(
                    node.place,
                    format!("`{name}` cannot be a run's name"),
                    "use at most 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit",
                );
            }
        }
    }

    fn books(&mut self, spec: &Node) {
        let Some(books) = spec.get("books") else { return };
        self.not_empty(books, "books", "name at least one: `- path: book.md`");
        self.distinct(books, "path", "book");
        for book in books.items() {
            for field in ["path", "targets"] {
                self.exists(book.get(field), field);
            }
        }
    }

    fn library(&mut self, spec: &Node) {
        let Some(library) = spec.get("library") else { return };
        if let Some((node, name)) = library.get("package").and_then(|n| Some((n, n.text()?))) {
            let well_formed = name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.chars().all(|c| c.is_ascii_alphanumeric());
            if !name.is_empty() && !well_formed {
                self.report(
                    node.place,
                    format!("`{name}` cannot be a package's name"),
                    format!(
                        "begin with a capital letter and use letters and digits only, e.g. `{}`",
                        camel_case(name)
                    ),
                );
            } else if LEAN_MODULES.contains(&name) {
                self.report(node.place, format!("`{name}` is Lean's own"), "give the package another name");
            }
        }
        let toolchain = library.get("toolchain").and_then(|n| Some((n, n.text()?)));
        if let Some((node, text)) = toolchain
            && !matches!(text, "embedded" | "native" | "")
        {
            // Without a folder to look in, a word without a `/` is not a path.
            if self.folder.map_or_else(|| !text.contains('/'), |folder| !folder.join(text).exists()) {
                let help = nearest(text, ["embedded", "native"]).map_or_else(
                    || "write `embedded`, `native` or the path of a folder that holds `bin/lean`".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
                self.report(node.place, format!("there is no toolchain `{text}`"), help);
            }
        }
        let Some(dependencies) = library.get("dependencies") else { return };
        if !dependencies.items().is_empty() && toolchain.is_none_or(|(_, text)| text == "embedded") {
            let place = dependencies
                .items()
                .first()
                .map_or(dependencies.place, |first| Place { length: 1, ..first.place });
            self.report(
                place,
                "the embedded toolchain has core Lean only and cannot build dependencies",
                "set `toolchain: native`, or remove `dependencies`",
            );
        }
        self.distinct(dependencies, "name", "dependency");
        for dependency in dependencies.items() {
            let name = dependency.get("name").and_then(Node::text).unwrap_or("?");
            let place = dependency.get("name").map_or(dependency.place, |n| n.place);
            match (dependency.get("git"), dependency.get("path")) {
                (Some(_), Some(path)) => {
                    self.report(
                        path.place,
                        format!("dependency `{name}` has both `git` and `path`"),
                        "keep one of them",
                    );
                }
                (None, None) => {
                    self.report(
                        place,
                        format!("dependency `{name}` has no source"),
                        "give its `git` URL or its `path`",
                    );
                }
                (Some(_), None) => {}
                (None, Some(path)) => {
                    if let Some(rev) = dependency.get("rev") {
                        self.report(rev.place, "`rev` has a meaning with `git` only", "remove it");
                    }
                    self.exists(Some(path), "path");
                }
            }
        }
    }

    fn agents(&mut self, spec: &Node) {
        let defaults = Agents::default();
        let racing = spec.at(&["agents", "racing"]);
        let attempts_node = spec.at(&["agents", "attemptsPerTask"]);
        let attempts =
            attempts_node.and_then(Node::unsigned).unwrap_or_else(|| u64::from(defaults.attempts_per_task));
        let raced = racing.and_then(Node::unsigned).unwrap_or_else(|| u64::from(defaults.racing));
        if raced > attempts
            && let Some(node) = racing.or(attempts_node)
        {
            self.report(
                node.place,
                format!("`racing` is {raced}, more than `attemptsPerTask`, which is {attempts}"),
                format!("race at most {attempts}, or raise `attemptsPerTask`"),
            );
        }
        let lines = spec.at(&["agents", "chunkLines"]);
        let overlap = spec.at(&["agents", "chunkOverlap"]);
        let number = |node: Option<&Node>, default: u32| {
            node.and_then(Node::unsigned).unwrap_or_else(|| u64::from(default))
        };
        let piece = number(lines, defaults.chunk_lines);
        let shared = number(overlap, defaults.chunk_overlap);
        if piece > 0
            && shared >= piece
            && let Some(node) = overlap.or(lines)
        {
            self.report(
                node.place,
                format!("`chunkOverlap` is {shared}, but must be less than `chunkLines`, which is {piece}"),
                "pieces of the book share a tenth of their lines by default",
            );
        }
        let known: Vec<&str> = names(spec.get("models"));
        for (key, role) in spec.at(&["agents", "roles"]).map_or(&[][..], Node::entries) {
            self.role(key, role, &known);
        }
    }

    fn role(&mut self, key: &Key, role: &Node, models: &[&str]) {
        if !ROLES.contains(&key.name.as_str()) {
            self.report(key.place, format!("there is no role `{}`", key.name), one_of(&key.name, ROLES));
        }
        if let Some((node, name)) = role.get("model").and_then(|n| Some((n, n.text()?))) {
            if key.name == "automation" {
                self.report(node.place, "the automation tier calls no model", "remove `model`");
            } else if !models.contains(&name) {
                self.report(
                    node.place,
                    format!("role `{}` uses the model `{name}`, which `models` does not have", key.name),
                    one_of(name, models.iter().copied()),
                );
            }
        }
        self.exists(role.get("prompt"), "prompt");
    }

    fn models(&mut self, spec: &Node) {
        let Some(models) = spec.get("models") else { return };
        self.not_empty(models, "models", "name at least one, e.g. `{name: main, provider: anthropic, model: …, key: {env: ANTHROPIC_API_KEY}}`");
        self.distinct(models, "name", "model");
        for model in models.items() {
            let name = model.get("name").and_then(Node::text).unwrap_or("?");
            let place = model.get("provider").map_or(Place { length: 1, ..model.place }, |n| n.place);
            match model.get("provider").and_then(Node::text) {
                Some("recorded") => self.recorded(model, name, place),
                Some(provider @ ("anthropic" | "openai")) => self.remote(model, name, provider, place),
                _ => {}
            }
            let output = model.get("maxOutputTokens");
            let window = model.get("contextWindow").and_then(Node::unsigned).unwrap_or(200_000);
            if let Some(node) = output.filter(|n| n.unsigned().is_some_and(|n| n >= window)) {
                self.report(
                    node.place,
                    format!("model `{name}` leaves no room for input: its answers may fill its window of {window} tokens"),
                    "lower `maxOutputTokens` or raise `contextWindow`",
                );
            }
        }
    }

    fn recorded(&mut self, model: &Node, name: &str, place: Place) {
        if model.get("recording").is_none() {
            self.report(
                place,
                format!("model `{name}` has no `recording` to play back"),
                "give the path of a file or folder (docs/recording.md)",
            );
        }
        self.exists(model.get("recording"), "recording");
        for field in ["key", "baseUrl"] {
            if let Some(node) = model.get(field) {
                self.report(
                    node.place,
                    format!("model `{name}` is a recording and has no use for `{field}`"),
                    "remove it",
                );
            }
        }
    }

    fn remote(&mut self, model: &Node, name: &str, provider: &str, place: Place) {
        if model.get("model").is_none() {
            self.report(
                place,
                format!("model `{name}` does not say which model of the provider it is"),
                "add `model`, the provider's name of it",
            );
        }
        if let Some(node) = model.get("recording") {
            self.report(
                node.place,
                format!("model `{name}` is `{provider}` and plays no recording"),
                "remove it, or set `provider: recorded`",
            );
        }
        let base_url = model.get("baseUrl");
        if let Some((node, url)) = base_url.and_then(|n| Some((n, n.text()?))) {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            if rest.is_none_or(|rest| {
                rest.is_empty() || rest.starts_with('/') || rest.contains(char::is_whitespace)
            }) {
                self.report(
                    node.place,
                    format!("`{url}` is not an http or https URL"),
                    "write e.g. `http://localhost:8000/v1`",
                );
            } else if let Some(end) = ["/chat/completions", "/messages"]
                .iter()
                .find(|end| url.trim_end_matches('/').ends_with(*end))
            {
                self.report(
                    node.place,
                    format!("`baseUrl` ends with `{end}`, which Atlas adds itself"),
                    format!("remove `{end}`"),
                );
            }
        }
        if model.get("key").is_none() && (provider == "anthropic" || base_url.is_none()) {
            let variable = if provider == "anthropic" { "ANTHROPIC_API_KEY" } else { "OPENAI_API_KEY" };
            self.report(
                place,
                format!("model `{name}` has no `key`"),
                format!("say where it is, e.g. `key: {{env: {variable}}}`"),
            );
        }
    }

    fn training(&mut self, spec: &Node) {
        if let Some(node) = spec.at(&["training", "enabled"]).filter(|n| n.value == Yaml::Bool(true)) {
            self.report(node.place, "this version of Atlas has no trainer", "set `enabled: false`");
        }
    }

    fn not_empty(&mut self, list: &Node, name: &str, help: &str) {
        if matches!(&list.value, Yaml::List(items) if items.is_empty()) {
            self.report(list.place, format!("`{name}` is empty"), help);
        }
    }

    /// Reports every item of `list` whose `field` an earlier one has.
    fn distinct(&mut self, list: &Node, field: &str, what: &str) {
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for node in list.items().iter().filter_map(|item| item.get(field)) {
            let Some(name) = node.text() else { continue };
            if let Some(line) = seen.get(name) {
                let where_ = if *line == 0 { String::new() } else { format!(" (line {line})") };
                self.report(
                    node.place,
                    format!("a second {what} `{name}`"),
                    format!("the first one is above{where_}; give each its own {field}"),
                );
            } else {
                seen.insert(name, node.place.line);
            }
        }
    }

    fn exists(&mut self, node: Option<&Node>, field: &str) {
        let (Some(folder), Some((node, path))) = (self.folder, node.and_then(|n| Some((n, n.text()?))))
        else {
            return;
        };
        if path.is_empty() || folder.join(path).exists() {
            return;
        }
        let parent = folder.join(path).parent().map(Path::to_path_buf).unwrap_or_default();
        let siblings: Vec<String> = std::fs::read_dir(&parent)
            .map(|entries| entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        let last = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path);
        let help = match nearest(last, siblings.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{}`?", Path::new(path).with_file_name(meant).display()),
            None => "paths are relative to the AtlasRun's file".to_owned(),
        };
        self.report(node.place, format!("`{field}`: there is no `{path}`"), help);
    }
}

fn names(list: Option<&Node>) -> Vec<&str> {
    list.map_or(&[][..], Node::items).iter().filter_map(|item| item.get("name")?.text()).collect()
}

fn camel_case(name: &str) -> String {
    let camel: String = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .flat_map(|word| {
            let mut chars = word.chars();
            chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars)
        })
        .collect();
    if camel.starts_with(|c: char| c.is_ascii_uppercase()) { camel } else { "Numbers".to_owned() }
}
