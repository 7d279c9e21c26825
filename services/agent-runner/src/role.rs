//! Roles: Markdown files with a header (tools, limits) and a prompt. They ship with the program; a run can put its own file in
//! the place of any of them. `docs/roles.md` documents the format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use atlas_api::Agents;
use serde::Deserialize;

use crate::prompt::{Prompt, PromptError};
use crate::tool;

/// The roles, and the files that ship with the program.
const SHIPPED: [(&str, &str); 8] = [
    ("automation", include_str!("../roles/automation.md")),
    ("extractor", include_str!("../roles/extractor.md")),
    ("formalizer", include_str!("../roles/formalizer.md")),
    ("prover", include_str!("../roles/prover.md")),
    ("fixer", include_str!("../roles/fixer.md")),
    ("mathematical-reviewer", include_str!("../roles/mathematical-reviewer.md")),
    ("engineering-reviewer", include_str!("../roles/engineering-reviewer.md")),
    ("triage", include_str!("../roles/triage.md")),
];

/// The tools that end an attempt.
const ENDINGS: [&str; 5] = ["submit", "give_up", "verdict", "triage", "extract"];

/// A role that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The run sets a role that there is none of.
    #[error("there is no role `{name}`; the roles are: {}", names().join(", "))]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// Its file cannot be read.
    #[error(
        "cannot read the prompt of role `{role}` from {path}: {source}; correct `agents.roles.{role}.prompt`"
    )]
    Read {
        /// The role.
        role: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its file does not begin with a header.
    #[error("{file}: a role begins with a header between two lines `---`; see docs/roles.md")]
    NoHeader {
        /// The file.
        file: String,
    },
    /// Its header is no valid YAML or lacks a field.
    #[error("{file}: the header is wrong: {cause}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong, with its place.
        cause: String,
    },
    /// Its header names the role of another file.
    #[error("{file}: the header names the role `{found}`, but the file is used as `{expected}`")]
    Name {
        /// The file.
        file: String,
        /// The role that it is used as.
        expected: String,
        /// The role that it says it is.
        found: String,
    },
    /// Its header names a tool that there is none of.
    #[error("{file}: there is no tool `{tool}` for `{field}`; there are: {}", known.join(", "))]
    Tool {
        /// The file.
        file: String,
        /// `tools` or `ends_with`.
        field: &'static str,
        /// The tool as given.
        tool: String,
        /// What could stand there.
        known: Vec<&'static str>,
    },
    /// Its prompt is no valid template.
    #[error("{file}: {cause}")]
    Prompt {
        /// The file.
        file: String,
        /// What is wrong, with its place.
        cause: PromptError,
    },
}

/// The names of the roles.
pub fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    tools: Vec<String>,
    ends_with: Vec<String>,
    max_turns: u32,
    max_tokens: u64,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    hide_comments: bool,
}

/// A role: what an agent may do and what it is told.
#[derive(Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The tools that it may call, the ending ones last.
    pub tools: Vec<String>,
    /// The tools that end its attempt.
    pub ends_with: Vec<String>,
    /// Turns of an attempt whose task sets none.
    pub max_turns: u32,
    /// Tokens of an attempt whose task sets none.
    pub max_tokens: u64,
    /// The model that it asks for, by the name that the run gives it.
    pub model: Option<String>,
    /// Lean comments and docstrings are withheld from the model.
    pub hide_comments: bool,
    /// System prompt and opening message.
    pub prompt: Prompt,
}

impl Role {
    /// Reads a role's file; `file` names it in errors.
    ///
    /// # Errors
    /// Every variant of [`RoleError`] but [`RoleError::Unknown`] and [`RoleError::Read`].
    pub fn parse(role: &str, file: &str, text: &str) -> Result<Self, RoleError> {
        let file = file.to_owned();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let split = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
        let Some((yaml, body)) = split else { return Err(RoleError::NoHeader { file }) };
        let header: Header = match serde_saphyr::from_str(yaml) {
            Ok(header) => header,
            Err(error) => return Err(RoleError::Header { file, cause: error.to_string() }),
        };
        if header.name != role {
            return Err(RoleError::Name { file, expected: role.to_owned(), found: header.name });
        }
        let acting = || tool::names().filter(|name| !ENDINGS.contains(name)).collect::<Vec<_>>();
        for (field, given, known) in
            [("tools", &header.tools, acting()), ("ends_with", &header.ends_with, ENDINGS.to_vec())]
        {
            if let Some(tool) = given.iter().find(|tool| !known.contains(&tool.as_str())) {
                return Err(RoleError::Tool { file, field, tool: tool.clone(), known });
            }
        }
        let prompt = match Prompt::parse(role, body) {
            Ok(prompt) => prompt,
            Err(cause) => return Err(RoleError::Prompt { file, cause }),
        };
        Ok(Self {
            name: header.name,
            tools: header.tools.into_iter().chain(header.ends_with.iter().cloned()).collect(),
            ends_with: header.ends_with,
            max_turns: header.max_turns,
            max_tokens: header.max_tokens,
            model: header.model,
            hide_comments: header.hide_comments,
            prompt,
        })
    }
}

/// The roles of a run.
#[derive(Debug)]
pub struct Roles {
    roles: BTreeMap<String, Role>,
    /// The model that the run gives a role.
    models: BTreeMap<String, String>,
}

impl Roles {
    /// The roles that ship with the program, with what `agents` sets in their place. Paths in it are relative to `folder`.
    ///
    /// # Errors
    /// [`RoleError`], of the first role that is wrong.
    pub fn load(agents: &Agents, folder: &Path) -> Result<Self, RoleError> {
        if let Some(name) = agents.roles.keys().find(|name| !names().contains(&name.as_str())) {
            return Err(RoleError::Unknown { name: name.clone() });
        }
        let mut roles = BTreeMap::new();
        for (name, shipped) in SHIPPED {
            let role = match agents.roles.get(name).and_then(|role| role.prompt.as_ref()) {
                None => Role::parse(name, &format!("roles/{name}.md"), shipped)?,
                Some(path) => {
                    let path = folder.join(path);
                    let text = std::fs::read_to_string(&path).map_err(|source| RoleError::Read {
                        role: name.to_owned(),
                        path: path.clone(),
                        source,
                    })?;
                    Role::parse(name, &path.display().to_string(), &text)?
                }
            };
            roles.insert(name.to_owned(), role);
        }
        let models = agents
            .roles
            .iter()
            .filter_map(|(name, role)| Some((name.clone(), role.model.clone()?)))
            .collect();
        Ok(Self { roles, models })
    }

    /// The role called `name`.
    ///
    /// # Errors
    /// [`RoleError::Unknown`].
    pub fn get(&self, name: &str) -> Result<&Role, RoleError> {
        self.roles.get(name).ok_or_else(|| RoleError::Unknown { name: name.to_owned() })
    }

    /// The model for `role` among `known`: the run's choice, else the one that the role asks for if the run has it, else the first.
    pub fn model<'a>(&'a self, role: &'a Role, known: &'a [String]) -> Option<&'a str> {
        let chosen = self.models.get(&role.name);
        let asked = role.model.as_ref().filter(|model| known.contains(model));
        chosen.or(asked).or_else(|| known.first()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_role_is_valid() {
        let roles = Roles::load(&Agents::default(), Path::new(".")).unwrap();
        for name in names() {
            let role = roles.get(name).unwrap();
            assert!(!role.ends_with.is_empty(), "{name}");
        }
        assert!(roles.get("mathematical-reviewer").unwrap().hide_comments);
    }

    #[test]
    fn a_wrong_role_says_where_and_how_to_put_it_right() {
        let mut agents = Agents::default();
        agents.roles.insert("proover".into(), atlas_api::Role::default());
        let unknown = Roles::load(&agents, Path::new(".")).unwrap_err().to_string();
        assert_eq!(
            unknown,
            "there is no role `proover`; the roles are: automation, extractor, formalizer, prover, fixer, mathematical-reviewer, engineering-reviewer, triage"
        );
        let parse = |text: &str| Role::parse("prover", "my.md", text).unwrap_err().to_string();
        let header =
            "---\nname: prover\ntools: [check]\nends_with: [submit]\nmax_turns: 3\nmax_tokens: 9\n---\n";
        assert!(parse("You prove.").starts_with("my.md: a role begins with a header"));
        assert!(parse(&header.replace("max_turns", "max_turn")).contains("max_turn"));
        assert!(parse(&header.replace("[check]", "[bash]")).contains("there is no tool `bash` for `tools`"));
        assert!(parse(&header.replace("[submit]", "[check]")).contains("submit, give_up"));
        assert!(parse(&header.replace("name: prover", "name: fixer")).contains("is used as `prover`"));
        let misspelt = parse(&format!("{header}You prove {{{{ statment }}}}.\n<!-- task -->\nGo."));
        assert!(
            misspelt.contains("my.md")
                && misspelt.contains("`statment`")
                && misspelt.contains("frozen_statement"),
            "{misspelt}"
        );
    }
}
