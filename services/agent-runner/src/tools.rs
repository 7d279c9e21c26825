//! Runs the tool calls that reach beyond the conversation.

use std::time::Duration;

use atlas_bus::Bus;
use atlas_library::LibraryPath;
use atlas_proto::{BaseFile, CheckReply, Position, ToolResult, ToolsAnswered};
use futures::StreamExt as _;
use tracing::Instrument as _;

use crate::check::{self, Question, Unavailable};
use crate::command::{Call, RunTools, failed_result};
use crate::library::{self, Library, LibraryError};
use crate::tool::{Check, FindDeclarations, Request};
use crate::{search, semconv, submit};

/// Calls of one answer that run at once.
const AT_ONCE: usize = 4;
/// The longest result that a model is shown, in bytes.
const MAX_RESULT: usize = 16 * 1024;

/// A tool cannot be run now, through no fault of the call.
#[derive(Debug, thiserror::Error)]
pub enum ToolFault {
    /// The library's files are not to be had.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// No verifier answers.
    #[error(transparent)]
    Lean(#[from] Unavailable),
}

impl ToolFault {
    /// When to try again.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Library(_) => Duration::from_millis(500),
            Self::Lean(unavailable) => unavailable.retry_after,
        }
    }
}

/// Runs the calls of `work`, side by side where they are several: none of them changes the draft.
///
/// # Errors
/// [`ToolFault`]: nothing is answered, and all is to be run again.
pub async fn run(bus: &Bus, work: &RunTools) -> Result<ToolsAnswered, ToolFault> {
    let library = Library::open(bus, library::base_commit(&work.task), work.draft.clone()).await?;
    let mut loaded = Vec::new();
    if let Some(path) = &work.load {
        let text = match library.base_text(path).await {
            Ok(text) => text,
            Err(LibraryError::NotText { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        loaded.push(BaseFile { path: path.clone(), text });
    }
    let run_one = |(at, call): (usize, &Call)| {
        let span = tracing::info_span!(
            "execute_tool",
            otel.name = format!("execute_tool {}", call.tool),
            { semconv::OPERATION } = "execute_tool",
            { semconv::TOOL } = call.tool.as_str(),
            { semconv::TOOL_CALL } = call.id.as_str(),
        );
        let id = format!("{}/{}/{}", work.task.attempt, work.turn, work.first as usize + at);
        let (library, call) = (&library, call.clone());
        async move { one(bus, library, work, &call, &id).await }.instrument(span)
    };
    let calls: Vec<_> = work.calls.iter().enumerate().map(run_one).collect();
    let results: Vec<Result<ToolResult, ToolFault>> =
        futures::stream::iter(calls).buffered(AT_ONCE).collect().await;
    let results = results.into_iter().collect::<Result<_, _>>()?;
    Ok(ToolsAnswered { turn: work.turn, first: work.first, results, loaded })
}

async fn one(
    bus: &Bus,
    library: &Library,
    work: &RunTools,
    call: &Call,
    id: &str,
) -> Result<ToolResult, ToolFault> {
    let hide = work.setup.hide_comments;
    let (mut checks, mut rejected) = (0, 0);
    let mut accepted = false;
    let found = match &call.request {
        Err(why) => Err(why.clone()),
        Ok(Request::ReadFile(ask)) => search::read_file(library, ask, hide).await?,
        Ok(Request::ListFiles(ask)) => search::list_files(library, ask),
        Ok(Request::Search(ask)) => search::search(library, ask, hide).await?,
        Ok(Request::FindDeclarations(ask)) => find(bus, library, work, ask).await?,
        Ok(Request::Check(ask)) => {
            checks = 1;
            let checked = check(bus, library, work, ask, id).await?;
            checked.map(|reply| {
                rejected = u32::from(check::rejected(&reply));
                let remark = submit::remark(&work.task, &reply).map(|remark| format!("\n{remark}"));
                check::render(&reply) + &remark.unwrap_or_default()
            })
        }
        Ok(Request::Submit(_)) => {
            let gate = submit::gate(bus, library, &work.task, id).await?;
            checks = gate.checks;
            rejected = u32::from(gate.rejected);
            accepted = gate.refusal.is_none();
            let given = submit::given(&gate.rests_on);
            gate.refusal.map_or_else(|| Ok(format!("Submitted.{given}")), Err)
        }
        Ok(_) => Err(format!("`{}` cannot be run here.", call.tool)),
    };
    Ok(match found {
        Ok(text) => ToolResult {
            text: check::shorten(&text, MAX_RESULT),
            is_error: false,
            accepted,
            checks,
            rejected,
        },
        Err(text) => ToolResult { checks, rejected, ..failed_result(check::shorten(&text, MAX_RESULT)) },
    })
}

async fn find(
    bus: &Bus,
    library: &Library,
    work: &RunTools,
    ask: &FindDeclarations,
) -> Result<search::Found, ToolFault> {
    let name = ask.name.as_deref().unwrap_or("").trim();
    let type_ = ask.type_.as_deref().unwrap_or("").trim();
    if name.is_empty() && type_.is_empty() {
        return Ok(Err("Give `name`, `type` or both.".to_owned()));
    }
    let module = work.task.target.as_ref().map(|t| t.module.clone()).unwrap_or_default();
    let modules = library.closure(&[module]).await?;
    let reply = check::lookup(bus, &work.task.run, modules, name, type_).await?;
    let text = check::render_lookup(&reply);
    Ok(if reply.fault.is_empty() { Ok(text) } else { Err(text) })
}

async fn check(
    bus: &Bus,
    library: &Library,
    work: &RunTools,
    ask: &Check,
    id: &str,
) -> Result<Result<CheckReply, String>, ToolFault> {
    let path = ask.path.as_deref().unwrap_or_else(|| library.draft().module_path());
    let module = match LibraryPath::parse(path) {
        Err(error) => return Ok(Err(format!("{error}."))),
        Ok(path) if !library.files().contains_key(path.as_str()) => {
            return Ok(Err(search::no_file(library, path.as_str())));
        }
        Ok(path) => match path.module() {
            None => return Ok(Err(format!("`{path}` is no Lean file. Give the path of a `.lean` file."))),
            Some(module) => module,
        },
    };
    let modules = library.closure(std::slice::from_ref(&module)).await?;
    let goals_at = ask.line.map(|line| Position { line, column: ask.column.unwrap_or(0) });
    let (run, snippet) = (work.task.run.clone(), ask.snippet.clone());
    // Of the agent's own module, what it is at work on; unless it looks at goals elsewhere.
    let own = path == library.draft().module_path() && snippet.is_none();
    let focus = if own { library.focus().await? } else { None };
    let focus = focus.filter(|focus| goals_at.is_none_or(|at| at.line <= focus.last_line));
    let question = Question {
        id: id.to_owned(),
        run,
        modules,
        check: vec![module],
        focus,
        snippet,
        goals_at,
        ..Question::default()
    };
    Ok(Ok(check::ask(bus, question).await?))
}
