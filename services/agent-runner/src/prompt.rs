//! Prompts as templates (minijinja): the part above the line `<!-- task -->` is the system prompt, the same for every attempt of a
//! role so that providers can cache it; the part below is the opening message, filled with the task.

use atlas_proto::{Diagnostic, PriorAttempt, Tag, Target};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

/// The line between system prompt and opening message.
const DIVIDER: &str = "<!-- task -->";

/// What prompts may include.
const PARTS: [(&str, &str); 6] = [
    ("library", include_str!("../roles/_library.md")),
    ("target", include_str!("../roles/_target.md")),
    ("context", include_str!("../roles/_context.md")),
    ("users", include_str!("../roles/_users.md")),
    ("memory", include_str!("../roles/_memory.md")),
    ("noticed", include_str!("../roles/_noticed.md")),
];

/// What an opening message can speak of: the placeholders of `docs/roles.md`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Opening {
    /// The target.
    pub target: Target,
    /// Full Lean name of the declaration to write, `…_refuted` when refuting.
    pub declaration: String,
    /// Path of the target's module.
    pub path: String,
    /// The module's text in the draft.
    pub source: String,
    /// The target's region in the draft.
    pub region: String,
    /// Targets that it rests on.
    pub context: Vec<ContextTarget>,
    /// Targets whose landed proofs rest on the statement that is to change or go.
    pub users: Vec<Target>,
    /// Earlier attempts.
    pub memory: Vec<PriorAttempt>,
    /// The elaborated statement once stated.
    pub frozen_statement: String,
    /// The negation is to be proved.
    pub refute: bool,
    /// The submission to review or to fix.
    pub subject: Subject,
    /// Why the merge queue refused it.
    pub refusal: String,
    /// What Lean said then, a line each.
    pub diagnostics: String,
    /// The book around the target, or the extractor's part.
    pub excerpt: String,
    /// A human's answer to an escalation.
    pub human_reply: String,
    /// What extractors disagree on.
    pub candidates: Vec<Target>,
    /// What Lean says of a submission under review.
    pub elaborated: Elaborated,
    /// What a landing may rest on, when that is not all of Lean's three axioms; `none` when it is nothing.
    pub axioms: String,
    /// Which attempt of this role at this target it is, from 1.
    pub number: u32,
    /// Turns that it may take.
    pub max_turns: u32,
}

/// A target that another rests on.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ContextTarget {
    /// The target.
    #[serde(flatten)]
    pub target: Target,
    /// Its region in the library, without comments; empty while it is not stated.
    pub lean: String,
}

/// A submission to review or to fix.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Subject {
    /// Who wrote it.
    pub role: String,
    /// Its title.
    pub title: String,
    /// Its author's summary.
    pub summary: String,
    /// What it changes, as a unified diff against its own base.
    pub diff: String,
}

/// What Lean says of a submission.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Elaborated {
    /// The target's declaration; empty when Lean does not accept the module.
    pub declarations: Vec<ElaboratedDeclaration>,
    /// What its statement rests on in the library.
    pub definitions: Vec<Definition>,
    /// Why Lean does not accept the module; else empty.
    pub problem: String,
    /// Of the target's declaration: what no kernel refuses and a reviewer should know, the gravest first.
    pub noticed: Vec<Noticed>,
}

/// Something that the machine noticed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Noticed {
    /// A kind of `docs/tags.md`.
    pub kind: String,
    /// grave, doubt or information.
    pub weight: String,
    /// What was seen.
    pub evidence: String,
}

impl From<&Tag> for Noticed {
    fn from(tag: &Tag) -> Self {
        let weight = tag.weight().word();
        Self { kind: tag.kind.clone(), weight: weight.to_owned(), evidence: tag.evidence.clone() }
    }
}

/// A declaration as Lean elaborated it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ElaboratedDeclaration {
    /// Full name.
    pub name: String,
    /// theorem, def, …
    pub kind: String,
    /// Its type.
    pub statement: String,
    /// What it rests on.
    pub axioms: Vec<String>,
    /// Whether `sorry` is among it.
    pub uses_sorry: bool,
    /// Whose `sorry`: library declarations, itself perhaps among them.
    pub sorry_from: Vec<String>,
}

/// The source of a definition, without comments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// The constant, or the region's target.
    pub name: String,
    /// Lean source.
    pub source: String,
}

/// A prompt that is no valid template.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// It does not parse or render.
    #[error("the prompt is no valid template: {0:#}")]
    Template(#[from] minijinja::Error),
    /// It has a placeholder that is never filled.
    #[error("there is no placeholder `{name}`; there are: {}", known.join(", "))]
    Placeholder {
        /// As written.
        name: String,
        /// The ones there are.
        known: Vec<String>,
    },
}

/// A role's prompt.
#[derive(Debug)]
pub struct Prompt {
    environment: Environment<'static>,
}

impl Prompt {
    /// Reads a prompt. Without a dividing line all of it is the system prompt and the opening message is the role's shortest: target,
    /// context, memory, source.
    ///
    /// # Errors
    /// [`PromptError`].
    pub fn parse(role: &str, text: &str) -> Result<Self, PromptError> {
        let (system, task) = text.split_once(DIVIDER).unwrap_or((text, DEFAULT_TASK));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Lines that hold a tag alone leave nothing behind.
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_filter("indent_quote", |text: String| text.trim_end().replace('\n', "\n> "));
        for (name, part) in PARTS {
            environment.add_template(name, part)?;
        }
        environment.add_template_owned("system", system.trim().to_owned())?;
        environment.add_template_owned("task", task.trim().to_owned())?;
        let prompt = Self { environment };
        let known = placeholders();
        for name in ["system", "task"] {
            for used in prompt.environment.get_template(name)?.undeclared_variables(false) {
                if !known.contains(&used) {
                    return Err(PromptError::Placeholder { name: used, known });
                }
            }
        }
        // Includes and filters are looked up when a template is rendered: do it once now.
        prompt.system(role)?;
        prompt.opening(&Opening::default())?;
        Ok(prompt)
    }

    /// The system prompt.
    ///
    /// # Errors
    /// [`PromptError::Template`].
    pub fn system(&self, role: &str) -> Result<String, PromptError> {
        #[derive(Serialize)]
        struct System<'a> {
            role: &'a str,
        }
        Ok(self.environment.get_template("system")?.render(Value::from(Serde(System { role })))?)
    }

    /// The opening message.
    ///
    /// # Errors
    /// [`PromptError::Template`].
    pub fn opening(&self, opening: &Opening) -> Result<String, PromptError> {
        let text = self.environment.get_template("task")?.render(Value::from(Serde(opening)))?;
        Ok(squeeze(&text))
    }
}

const DEFAULT_TASK: &str = "# {{ declaration }}\n\n{% include \"target\" %}\n{% include \"context\" %}\n{% include \"memory\" %}\n`{{ path }}`:\n\n```lean\n{{ source }}\n```\n";

fn placeholders() -> Vec<String> {
    let opening = serde_json::to_value(Opening::default()).unwrap_or_default();
    let mut names: Vec<String> = opening.as_object().into_iter().flat_map(|o| o.keys().cloned()).collect();
    names.push("role".to_owned());
    names
}

/// Placeholders that are empty leave empty lines behind: at most one in a row stays, but not inside code.
fn squeeze(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut code, mut blank) = (false, true);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        let empty = line.trim().is_empty();
        if !(empty && blank && !code) {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        blank = empty;
    }
    out.truncate(out.trim_end().len());
    out
}

/// Diagnostics, one a line: `file:line:column severity message`.
pub fn diagnostic_lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(crate::check::diagnostic).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    #[test]
    fn an_opening_tells_the_task_and_nothing_that_is_not_there() {
        let text = include_str!("../roles/prover.md");
        let role = Role::parse("prover", "prover.md", text).unwrap();
        let target = Target {
            id: "even-add".into(),
            kind: "theorem".into(),
            title: "Theorem 1.4".into(),
            statement: "The sum of two even numbers\nis even.".into(),
            module: "Numbers.Parity".into(),
            ..Target::default()
        };
        let even = Target {
            id: "even".into(),
            declaration: "Numbers.Even".into(),
            module: "Numbers.Parity".into(),
            statement: "n is even if n = 2k.".into(),
            ..Target::default()
        };
        let opening = Opening {
            target,
            declaration: "Numbers.even_add".into(),
            path: "Numbers/Parity.lean".into(),
            source: "module\n\n\n\nend Numbers".into(),
            context: vec![ContextTarget {
                target: even,
                lean: "def Even (n : Nat) : Prop :=\n  ∃ k, n = 2 * k".into(),
            }],
            memory: vec![PriorAttempt {
                role: "prover".into(),
                number: 1,
                outcome: "gave-up".into(),
                reason: "stuck at 2 * k".into(),
                approach: String::new(),
            }],
            frozen_statement: "∀ (m n : Nat), Even m → Even n → Even (m + n)".into(),
            max_turns: 40,
            ..Opening::default()
        };
        let said = role.prompt.opening(&opening).unwrap();
        insta::assert_snapshot!(said);
        let narrowed = role.prompt.opening(&Opening { axioms: "propext".into(), ..opening }).unwrap();
        let told = narrowed.lines().find(|line| said.lines().all(|other| other != *line)).unwrap();
        assert!(told.contains("proofs may rest on propext only"), "{told}");
        let system = role.prompt.system("prover").unwrap();
        assert!(system.contains("-- begin even-add") && !system.contains("{%"), "{system}");
    }
}
