//! An exhibit: one attack with its label, what it was asked, and the honest twin that does the same and must pass.
//!
//! ```text
//! /-
//! tries: what the attack tries, in a sentence or two
//! source: where it is known from
//! alone: accepted, axioms none        what Lean says of it without the gate
//! stopped by: statement               the layer that stops it
//! -/
//! --- asked [MODULE]                  what was frozen: certified first, with `sorry`
//! --- attack [MODULE]                 what is submitted in its place
//! --- twin [MODULE]                   the honest use of the same trick
//! ```
//!
//! A module that the attack or the twin does not change is as it was asked. Modules import those before them; `N.Main` is the one that is
//! meant where none is named. A section that begins with `module` brings its own header.

use std::collections::BTreeMap;
use std::path::Path;

use atlas_proto::ModuleSource;

use crate::common;
use crate::layer::Layer;

/// The module that sections are of when they name none.
const MAIN: &str = "N.Main";

/// What is asked about one declaration.
#[derive(Debug, Clone)]
pub struct Expected {
    pub declaration: String,
    pub definition: bool,
    /// A theorem that is stated and stays so.
    pub stated: bool,
    /// The declaration whose negation this one has to state.
    pub negates: Option<String>,
}

/// What Lean says of an attack by itself.
#[derive(Debug, Clone)]
pub struct Alone {
    /// `accepted`, `rejected`, `timed out`, `out of memory`, `crashed`.
    pub outcome: String,
    /// What `#print axioms` says of the first expected declaration.
    pub axioms: Option<Vec<String>>,
}

/// A file of the gallery.
#[derive(Debug, Clone)]
pub struct Exhibit {
    pub name: String,
    pub tries: String,
    pub source: String,
    pub alone: Alone,
    pub layer: Layer,
    /// Words that the reason must have.
    pub says: Option<String>,
    pub expects: Vec<Expected>,
    /// The twin leaves the theorem stated: what was asked is false.
    pub twin_stated: bool,
    pub deadline_ms: u32,
    pub memory_bytes: u64,
    /// Sections, by what they are: modules in order.
    sections: BTreeMap<String, Vec<(String, String)>>,
}

impl Exhibit {
    /// All exhibits of a folder, by name.
    pub fn gallery(folder: &Path) -> Vec<Self> {
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
        paths.sort();
        paths
            .iter()
            .map(|path| {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                Self::parse(&name, &std::fs::read_to_string(path).unwrap())
            })
            .collect()
    }

    fn parse(name: &str, text: &str) -> Self {
        let (label, body) = text
            .strip_prefix("/-\n")
            .and_then(|rest| rest.split_once("\n-/\n"))
            .unwrap_or_else(|| panic!("{name}: no label"));
        let mut fields: BTreeMap<&str, String> = BTreeMap::new();
        let mut last = "";
        for line in label.lines() {
            match line.split_once(": ") {
                Some((key, value)) if !line.starts_with(' ') => {
                    fields.insert(key, value.to_owned());
                    last = key;
                }
                _ => {
                    let field = fields.get_mut(last).unwrap_or_else(|| panic!("{name}: {line}"));
                    *field += " ";
                    *field += line.trim();
                }
            }
        }
        let mut take = |key: &str| fields.remove(key);
        let need = |key: &str, value: Option<String>| value.unwrap_or_else(|| panic!("{name}: no `{key}`"));
        let list = |text: String| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
        let exhibit = Self {
            name: name.to_owned(),
            tries: need("tries", take("tries")),
            source: need("source", take("source")),
            alone: alone(&need("alone", take("alone"))),
            layer: need("stopped by", take("stopped by"))
                .parse()
                .unwrap_or_else(|why| panic!("{name}: {why}")),
            says: take("says"),
            expects: list(take("expects").unwrap_or("t".into())).iter().map(|e| expected(e)).collect(),
            twin_stated: take("twin").is_some_and(|twin| twin == "stated"),
            deadline_ms: take("deadline ms").map_or(0, |n| n.parse().unwrap()),
            memory_bytes: take("memory mb").map_or(0, |n| n.parse::<u64>().unwrap() << 20),
            sections: sections(name, body),
        };
        assert!(fields.is_empty(), "{name}: unknown fields {fields:?}");
        assert!(exhibit.sections.contains_key("attack"), "{name}: no attack");
        exhibit
    }

    /// The modules of a section, those that it does not change as they were asked; `None`: the exhibit has no such section.
    pub fn modules(&self, section: &str) -> Option<Vec<ModuleSource>> {
        let own = self.sections.get(section)?;
        let mut all = self.sections.get("asked").cloned().unwrap_or_default();
        for (name, body) in own {
            match all.iter_mut().find(|(known, _)| known == name) {
                Some((_, asked)) => asked.clone_from(body),
                None => all.push((name.clone(), body.clone())),
            }
        }
        // The main module comes last, whichever section named it first.
        all.sort_by_key(|(name, _)| name == MAIN);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let module = |(k, (name, body)): (usize, &(String, String))| {
            let source = match body.trim_start().starts_with("module") {
                true => body.clone(),
                false => common::with_header(&names[..k], body),
            };
            ModuleSource { name: name.clone(), sha256: String::new(), source: Some(source.into_bytes()) }
        };
        Some(all.iter().enumerate().map(module).collect())
    }
}

fn alone(text: &str) -> Alone {
    let (outcome, axioms) = match text.split_once(", axioms ") {
        Some((outcome, "clean")) => (outcome, Some(vec![])),
        Some((outcome, axioms)) => (outcome, Some(axioms.split(' ').map(str::to_owned).collect())),
        None => (text, None),
    };
    Alone { outcome: outcome.to_owned(), axioms }
}

fn expected(text: &str) -> Expected {
    let words: Vec<&str> = text.split(' ').collect();
    let plain =
        Expected { declaration: words[0].to_owned(), definition: false, stated: false, negates: None };
    match words[1..] {
        [] => plain,
        ["definition"] => Expected { definition: true, ..plain },
        ["stated"] => Expected { stated: true, ..plain },
        ["negates", what] => Expected { negates: Some(what.to_owned()), ..plain },
        _ => panic!("expects: {text}"),
    }
}

fn sections(name: &str, body: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut at: Option<(String, String)> = None;
    for line in body.lines() {
        if let Some(title) = line.strip_prefix("--- ") {
            let (section, module) = title.split_once(' ').unwrap_or((title, MAIN));
            assert!(["asked", "attack", "twin"].contains(&section), "{name}: {title}");
            found.entry(section.to_owned()).or_default().push((module.to_owned(), String::new()));
            at = Some((section.to_owned(), module.to_owned()));
        } else if let Some((section, _)) = &at {
            let text = &mut found.get_mut(section).unwrap().last_mut().unwrap().1;
            text.push_str(line);
            text.push('\n');
        } else {
            assert!(line.is_empty(), "{name}: {line}");
        }
    }
    found
}
