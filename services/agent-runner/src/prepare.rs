//! Prepares an attempt: reads the library, asks Lean what a reviewer must see, renders the prompt.

use std::collections::BTreeSet;

use atlas_bus::Bus;
use atlas_domain::TargetKind;
use atlas_judge::tags::{self, Dependency, Tag};
use atlas_library::layout;
use atlas_llm::ModelOptions;
use atlas_proto::{AgentPrepared, BaseFile, FileChange, Submission, Target, Task};
use bytes::Bytes;
use regex::Regex;
use similar::TextDiff;

use crate::check::{self, Question};
use crate::comments;
use crate::draft::Draft;
use crate::library::{self, Library};
use crate::probe;
use crate::prompt::{
    ContextTarget, Definition, Elaborated, ElaboratedDeclaration, Opening, PromptError, Subject,
    diagnostic_lines,
};
use crate::role::{Role, Roles};
use crate::submit;
use crate::tools::ToolFault;

/// The role that judges statements.
const MATHEMATICAL: &str = "mathematical-reviewer";
/// Definitions that a reviewer is shown at once; the others are a `read_file` away.
const MAX_DEFINITIONS: usize = 24;
/// The most of the target's module that an opening quotes, in bytes; `read_file` shows the rest.
const MAX_SOURCE: usize = 64 * 1024;
/// The longest diff that a reviewer or fixer is shown, in bytes.
const MAX_DIFF: usize = 48 * 1024;

/// The attempt cannot be prepared now.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Library or Lean.
    #[error(transparent)]
    Tool(#[from] ToolFault),
    /// The system prompt cannot be stored.
    #[error(transparent)]
    Bus(#[from] atlas_bus::Error),
}

impl From<library::LibraryError> for PrepareError {
    fn from(error: library::LibraryError) -> Self {
        Self::Tool(error.into())
    }
}

/// Prepares `task`. What is wrong for good (an unknown role, a run without models) comes back as the preparation's `problem`.
///
/// # Errors
/// [`PrepareError`], which may pass.
pub async fn prepare(
    bus: &Bus,
    roles: &Roles,
    models: &[ModelOptions],
    task: &Task,
) -> Result<AgentPrepared, PrepareError> {
    let role = match roles.get(&task.role) {
        Ok(role) => role,
        Err(error) => return Ok(problem(error.to_string())),
    };
    let target = task.target.clone().unwrap_or_default();
    let path = layout::module_path(&target.module);
    let package = target.module.split('.').next().unwrap_or_default();
    let empty = Draft::new(package, &path, &target.id);
    let base = match Library::open(bus, library::base_commit(task), empty.clone()).await {
        Err(library::LibraryError::Read { what, cause: cause @ atlas_bus::Error::NotFound { .. } }) => {
            return Ok(problem(format!("cannot read {what} of the library: {cause}")));
        }
        opened => opened?,
    };
    let base_text = base.base_text(&path).await?;
    let mut prepared = AgentPrepared {
        tools: role.tools.clone(),
        ends_with: role.ends_with.clone(),
        max_turns: if task.max_turns == 0 { role.max_turns } else { task.max_turns },
        max_tokens: if task.max_tokens == 0 { role.max_tokens } else { task.max_tokens },
        hide_comments: role.hide_comments,
        changes: initial_changes(task, &path, base_text.as_deref()),
        loaded: if edits(role) {
            vec![BaseFile { path: path.clone(), text: base_text.clone() }]
        } else {
            Vec::new()
        },
        ..AgentPrepared::default()
    };
    if task.role == crate::automation::ROLE {
        return Ok(prepared);
    }
    let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    let chosen = roles.model(role, &names).and_then(|name| models.iter().find(|model| model.name == name));
    let Some(model) = chosen else {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Ok(problem(format!("role `{}` has no model; the run's models are: {known}", task.role)));
    };
    prepared.model.clone_from(&model.name);
    prepared.context_window = model.context_window;
    prepared.max_output_tokens = model.max_output_tokens;
    let mut draft = empty;
    prepared.changes.iter().for_each(|change| draft.put(change));
    let library = base.with_draft(draft);
    let (opening, noticed) = opening(bus, task, role, &base, &library, prepared.max_turns).await?;
    prepared.noticed = noticed.iter().map(Into::into).collect();
    let rendered =
        role.prompt.system(&role.name).and_then(|system| Ok((system, role.prompt.opening(&opening)?)));
    let (system, opening) = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return Ok(problem(unrenderable(role, &error))),
    };
    prepared.opening = opening;
    prepared.system_sha256 = bus.put_file(Bytes::from(system)).await?;
    Ok(prepared)
}

/// Whether the draft will need the module's base text.
fn edits(role: &Role) -> bool {
    role.name == crate::automation::ROLE
        || role.tools.iter().any(|tool| tool.starts_with("write_") || tool == "edit_file")
}

fn problem(problem: String) -> AgentPrepared {
    AgentPrepared { problem, ..AgentPrepared::default() }
}

fn unrenderable(role: &Role, error: &PromptError) -> String {
    format!("the prompt of role `{}` cannot be filled in: {error}", role.name)
}

/// What the draft begins with: all of a submission that is reviewed; of one that is repaired, the target's region, since its
/// other text may have been written before others landed.
fn initial_changes(task: &Task, path: &str, base: Option<&str>) -> Vec<FileChange> {
    let Some(subject) = &task.subject else { return Vec::new() };
    if task.role.ends_with("-reviewer") {
        return subject.changes.clone();
    }
    let transplanted = || {
        let theirs = subject.changes.iter().find(|change| change.path == path)?;
        let theirs = std::str::from_utf8(theirs.content.as_deref()?).ok()?;
        let id = &task.target.as_ref()?.id;
        let merged = layout::with_region(base?, id, layout::region_text(theirs, id)?).ok()?;
        Some(FileChange { path: path.to_owned(), content: Some(merged.into_bytes()) })
    };
    if task.role == "fixer" { transplanted().into_iter().collect() } else { Vec::new() }
}

/// What the model is told first, and what of it goes into a review.
async fn opening(
    bus: &Bus,
    task: &Task,
    role: &Role,
    base: &Library,
    library: &Library,
    max_turns: u32,
) -> Result<(Opening, Vec<Tag>), PrepareError> {
    let target = task.target.clone().unwrap_or_default();
    let path = layout::module_path(&target.module);
    let source = library.text(&path).await?.unwrap_or_default();
    let region = layout::region_text(&source, &target.id).unwrap_or_default().trim_end().to_owned();
    let shown = |text: String| if role.hide_comments { comments::strip_compact(&text) } else { text };
    let reviewing = task.role.ends_with("-reviewer");
    let (elaborated, noticed) = match &task.subject {
        Some(_) if reviewing => elaborated(bus, task, library).await?,
        _ => Default::default(),
    };
    let subject = match &task.subject {
        Some(subject) => self::subject(bus, subject, base, role.hide_comments).await?,
        None => Subject::default(),
    };
    let opening = Opening {
        declaration: submit::declaration(task),
        path,
        source: check::shorten(shown(source).trim_end(), MAX_SOURCE),
        region: shown(region).trim_end().to_owned(),
        context: context(library, &task.context).await?,
        users: task.users.clone(),
        memory: task.memory.clone(),
        frozen_statement: task.frozen_statement.clone(),
        refute: task.refute,
        subject,
        refusal: task.refusal.clone(),
        diagnostics: diagnostic_lines(&task.diagnostics),
        excerpt: task.excerpt.trim_end().to_owned(),
        human_reply: task.human_reply.clone(),
        candidates: task.candidates.clone(),
        elaborated,
        axioms: narrowed(task),
        number: task.number,
        max_turns,
        target,
    };
    Ok((opening, noticed))
}

fn narrowed(task: &Task) -> String {
    let Some(axioms) = &task.axioms else { return String::new() };
    if axioms.names.is_empty() { "none".to_owned() } else { axioms.names.join(", ") }
}

/// The targets that another rests on, with their regions.
async fn context(library: &Library, targets: &[Target]) -> Result<Vec<ContextTarget>, PrepareError> {
    let mut context = Vec::with_capacity(targets.len());
    for target in targets {
        let text = library.text(&layout::module_path(&target.module)).await?.unwrap_or_default();
        let region = layout::region_text(&text, &target.id).unwrap_or_default();
        let lean = comments::strip_compact(region).trim_end().to_owned();
        context.push(ContextTarget { target: target.clone(), lean });
    }
    Ok(context)
}

async fn subject(
    bus: &Bus,
    subject: &Submission,
    base: &Library,
    hide_words: bool,
) -> Result<Subject, PrepareError> {
    let own = Library::open(bus, &subject.base_commit, Draft::default()).await;
    // Its own base may be gone from the store; today's then serves to compare with.
    let own = own.as_ref().unwrap_or(base);
    let mut diff = String::new();
    for change in &subject.changes {
        let old = own.base_text(&change.path).await?.unwrap_or_default();
        let new = change.content.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let path = &change.path;
        diff.push_str(
            &TextDiff::from_lines(old.as_str(), &new).unified_diff().header(path, path).to_string(),
        );
    }
    let words = |text: &str| if hide_words { String::new() } else { text.to_owned() };
    Ok(Subject {
        role: subject.role.clone(),
        title: words(&subject.title),
        summary: words(&subject.summary),
        diff: if hide_words { String::new() } else { check::shorten(diff.trim_end(), MAX_DIFF) },
    })
}

/// What Lean says of the submission under review, and the definitions under its statement; and what was noticed that no landing will
/// notice again.
async fn elaborated(
    bus: &Bus,
    task: &Task,
    library: &Library,
) -> Result<(Elaborated, Vec<Tag>), PrepareError> {
    let target = task.target.clone().unwrap_or_default();
    let name = submit::declaration(task);
    let modules = library.closure(std::slice::from_ref(&target.module)).await?;
    let question = Question {
        id: format!("{}/prepare", task.attempt),
        run: task.run.clone(),
        modules: modules.clone(),
        check: vec![target.module.clone()],
        focus: library.focus().await?,
        declarations: vec![name.clone()],
        ..Question::default()
    };
    // As it would be certified: then kernels have accepted what is looked at, and the landing finds the verdict in the cache.
    let certified = Question { certified: true, focus: None, ..question.clone() };
    let mut reply = check::ask(bus, certified).await.map_err(ToolFault::from)?;
    if !check::accepted(&reply) {
        // What stands behind the region is not the attempt's work, and what lies below may be open.
        reply = check::ask(bus, question).await.map_err(ToolFault::from)?;
    }
    let facts: Vec<_> = reply.declarations.iter().filter(|facts| facts.name == name).collect();
    let mut elaborated = Elaborated::default();
    let noticed = match facts.first() {
        Some(facts) if task.role == MATHEMATICAL && check::accepted(&reply) => {
            let mut noticed = tags::unmentioned(&dependencies(task), &facts.statement_constants);
            if facts.kind == "theorem" {
                noticed.extend(probe::probe(bus, library, task, &facts.statement).await?);
            }
            noticed
        }
        _ => Vec::new(),
    };
    let beyond: Vec<atlas_proto::Tag> = noticed.iter().map(Into::into).collect();
    let mut told: Vec<_> = facts.iter().flat_map(|facts| &facts.tags).chain(&beyond).collect();
    told.sort_by_key(|tag| std::cmp::Reverse(tag.weight));
    elaborated.noticed = told.into_iter().map(Into::into).collect();
    if !check::accepted(&reply) {
        elaborated.problem = check::render(&reply);
    } else if facts.is_empty() {
        elaborated.problem = format!("The module declares no `{name}`.");
    }
    let mut wanted = BTreeSet::new();
    for facts in facts {
        wanted.extend(facts.statement_constants.iter().cloned());
        elaborated.declarations.push(ElaboratedDeclaration {
            name: facts.name.clone(),
            kind: facts.kind.clone(),
            statement: facts.statement.clone(),
            axioms: facts.axioms.clone(),
            uses_sorry: facts.uses_sorry,
            sorry_from: facts.sorry_from.clone(),
        });
    }
    wanted.remove(&name);
    // The regions that are shown anyway.
    let mut shown: BTreeSet<String> = task.context.iter().map(|t| t.id.clone()).collect();
    shown.insert(target.id);
    for module in &modules {
        let text = library.text(&layout::module_path(&module.name)).await?.unwrap_or_default();
        for region in layout::regions(&text).unwrap_or_default() {
            let body = &text[region.body.clone()];
            if elaborated.definitions.len() < MAX_DEFINITIONS
                && !shown.contains(&region.id)
                && wanted.iter().any(|constant| declares(body, constant))
            {
                let source = comments::strip_compact(body).trim_end().to_owned();
                shown.insert(region.id.clone());
                elaborated.definitions.push(Definition { name: region.id, source });
            }
        }
    }
    Ok((elaborated, noticed))
}

/// The definitions of the book that the target's statement depends on.
fn dependencies(task: &Task) -> Vec<Dependency<'_>> {
    let named = task.target.iter().flat_map(|target| &target.statement_depends_on);
    let found = named.filter_map(|id| task.context.iter().find(|target| target.id == *id));
    found
        .filter(|target| target.kind == TargetKind::Definition.as_str())
        .map(|target| Dependency { id: &target.id, declaration: &target.declaration })
        .collect()
}

/// Whether `source` declares `constant` or what it belongs to: constructors and projections come with their type.
fn declares(source: &str, constant: &str) -> bool {
    let mut parts: Vec<&str> = constant.split('.').collect();
    while let Some(short) = parts.pop() {
        let pattern = format!(
            r"(?m)^\s*(?:@\[[^\]]*\]\s*)?(?:[a-z]+\s+)*(?:def|abbrev|structure|class|inductive|instance|theorem|lemma|opaque)\s+(?:\S*\.)?{}(?:\s|$|[:({{\[])",
            regex::escape(short)
        );
        if Regex::new(&pattern).is_ok_and(|declaration| declaration.is_match(source)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_found_where_they_are_declared() {
        let source = "/-- x -/\n@[simp] noncomputable def Even (n : Nat) : Prop := True\n\ninductive Tree where\n  | leaf\n";
        assert!(declares(source, "Numbers.Even"));
        assert!(declares(source, "Numbers.Tree.leaf") && declares(source, "Tree.rec"));
        assert!(!declares(source, "Numbers.Odd") && !declares("theorem a : Even 4", "Numbers.Even"));
    }

    #[test]
    fn a_repair_begins_with_the_refused_region_on_todays_library() {
        let module = |a: &str, b: &str| format!("module\n-- begin a\n{a}-- end a\n-- begin b\n{b}-- end b\n");
        let change = FileChange { path: "N/A.lean".into(), content: Some(module("mine\n", "").into_bytes()) };
        let target = Target { id: "a".into(), ..Target::default() };
        let subject = Submission { changes: vec![change], ..Submission::default() };
        let mut task =
            Task { role: "fixer".into(), target: Some(target), subject: Some(subject), ..Task::default() };
        let today = module("", "theirs\n");
        let changes = initial_changes(&task, "N/A.lean", Some(&today));
        assert_eq!(changes[0].content.as_deref(), Some(module("mine\n", "theirs\n").as_bytes()));
        task.role = "mathematical-reviewer".into();
        assert_eq!(initial_changes(&task, "N/A.lean", Some(&today)), task.subject.unwrap().changes);
    }
}
