//! What the user brings: the AtlasRun, its books, targets and recordings; read and checked as a whole, with all
//! mistakes told at once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use atlas_api::{AtlasRun, AtlasRunSpec, Axiom, BookFormat, Loaded, Problem, Problems, ROLES};
use atlas_domain::{Blueprint, RunId, Target};
use atlas_planner::skeleton::module_circle;
use atlas_proto::{Axioms, Policy, RoleLimits, RunSpec};
use sha2::{Digest, Sha256};

use crate::failure::{Exit, Failure, Result};
use crate::format::plural;
use crate::print::styled;

/// An AtlasRun and its books, without mistakes.
#[derive(Debug)]
pub struct Input {
    /// The AtlasRun.
    pub loaded: Loaded,
    /// The books' titles.
    pub title: String,
    /// The chapters of all books, in order.
    pub chapters: Vec<atlas_book::Chapter>,
    /// The targets of all books, in order; none: agents extract them.
    pub targets: Vec<Target>,
}

impl Input {
    /// Reads and checks everything but keys, which only a run needs.
    ///
    /// # Errors
    /// All mistakes at once, with their places and ways out; exit code 2.
    pub fn load(file: &Path) -> Result<Self> {
        let loaded = AtlasRun::load(file).map_err(|problems| tell(&problems.0))?;
        let spec = &loaded.run.spec;
        let mut problems = Vec::new();
        let (mut chapters, mut targets, mut titles) = (Vec::new(), Vec::new(), Vec::new());
        for book in &spec.books {
            let options = atlas_book::Options {
                format: book.format.map(format),
                package: &spec.library.package,
                targets: book.targets.as_deref(),
                extraction: extracts(spec),
            };
            match atlas_book::read(&book.path, &options) {
                Ok(read) => {
                    titles.push(book.title.clone().unwrap_or_else(|| title(&book.path)));
                    chapters.extend(read.chapters);
                    targets.extend(read.targets);
                }
                Err(mistakes) => problems.extend(mistakes.into_iter().map(|mistake| problem(&mistake))),
            }
        }
        if problems.is_empty() {
            problems.extend(collisions(&chapters, &targets, &loaded.path));
        }
        if !problems.is_empty() {
            return Err(tell(&problems));
        }
        for chapter in &mut chapters {
            chapter.source = near(&chapter.source, &loaded.path);
        }
        for target in &mut targets {
            target.source = near(&target.source, &loaded.path);
        }
        Ok(Self { title: titles.join(", "), chapters, targets, loaded })
    }

    /// The run's name: `name`, else the AtlasRun's.
    ///
    /// # Errors
    /// When it cannot be a name.
    pub fn run(&self, name: Option<&str>) -> Result<RunId> {
        RunId::new(name.unwrap_or(&self.loaded.run.metadata.name))
            .map_err(|e| Failure::input(e.to_string()).hint("give another one with `--run NAME`"))
    }

    /// Digests of what may not change while a run lasts, by a name that tells the user what it is.
    pub fn digests(&self) -> BTreeMap<String, String> {
        let library = &self.loaded.run.spec.library;
        let mut digests = BTreeMap::new();
        let mut put = |name: String, text: String| {
            digests.insert(name, hex::encode(Sha256::digest(text.as_bytes())));
        };
        put("the library's package".into(), library.package.clone());
        put("the library's toolchain".into(), json(&library.toolchain));
        put("the library's dependencies".into(), json(&library.dependencies));
        for chapter in &self.chapters {
            let text = format!("{}\n{}\n{}", chapter.module, chapter.title, chapter.text);
            put(format!("chapter `{}`", chapter.slug), text);
        }
        for target in &self.targets {
            // Where it stands in the file is no part of it: a line that moves changes nothing.
            let target = Target { line: 0, source: String::new(), ..target.clone() };
            put(format!("target `{}`", target.id), json(&target));
        }
        digests
    }

    /// What the planner is told. `created_ms` is when the run was first started: its deadline counts from there.
    pub fn run_spec(&self, run: &RunId, created_ms: u64) -> RunSpec {
        let spec = &self.loaded.run.spec;
        RunSpec {
            run: run.to_string(),
            targets: self.targets.iter().map(atlas_proto::Target::from).collect(),
            chapters: self
                .chapters
                .iter()
                .map(|chapter| atlas_proto::Chapter {
                    slug: chapter.slug.clone(),
                    title: chapter.title.clone(),
                    module: chapter.module.clone(),
                    text: chapter.text.clone(),
                    source: chapter.source.clone(),
                    first_line: chapter.first_line,
                })
                .collect(),
            package: spec.library.package.clone(),
            policy: Some(policy(spec, created_ms)),
            ..RunSpec::default()
        }
    }
}

/// JSON of a value whose serialization cannot fail: strings, lists and maps with string keys.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn policy(spec: &AtlasRunSpec, created_ms: u64) -> Policy {
    let agents = &spec.agents;
    Policy {
        max_agents: agents.maximum,
        attempts_per_task: agents.attempts_per_task,
        racing: agents.racing,
        max_turns: agents.max_turns,
        max_tokens_per_attempt: agents.max_tokens,
        automation: agents.automation,
        budget_microdollars: spec.budget.usd.map_or(0, |usd| (usd * 1e6).ceil() as u64),
        budget_tokens: spec.budget.tokens.unwrap_or(0),
        deadline_unix_ms: spec.budget.deadline.map_or(0, |deadline| {
            created_ms.saturating_add(u64::try_from(deadline.get().as_millis()).unwrap_or(u64::MAX))
        }),
        extractors: agents.extractors,
        chunk_lines: agents.chunk_lines,
        chunk_overlap: agents.chunk_overlap,
        triage_limit: 3,
        axioms: narrowed(&spec.verifiers.axioms),
        roles: ROLES
            .iter()
            .filter(|role| agents.roles.contains_key(**role))
            .map(|role| RoleLimits {
                role: (*role).to_owned(),
                max_turns: spec.max_turns_of(role),
                max_tokens: spec.max_tokens_of(role),
            })
            .collect(),
    }
}

/// What agents are told that landings may rest on: nothing where it is Lean's three axioms.
fn narrowed(allowed: &[Axiom]) -> Option<Axioms> {
    let names = allowed.iter().map(|axiom| axiom.name().to_owned()).collect();
    (!Axiom::ALL.iter().all(|axiom| allowed.contains(axiom))).then_some(Axioms { names })
}

/// Whether agents find the targets of a book that comes without. Recorded extractors do so only where a recording
/// speaks of them; without any, a book that has no targets is a mistake that can be told at once.
fn extracts(spec: &AtlasRunSpec) -> bool {
    let model =
        spec.model_of("extractor").and_then(|name| spec.models.iter().find(|model| model.name == name));
    let Some(recording) = model.and_then(|model| model.recording.as_deref()) else { return model.is_some() };
    let files = match std::fs::read_dir(recording) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![recording.to_owned()],
    };
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .any(|text| text.contains("role: extractor"))
}

fn format(format: BookFormat) -> atlas_book::Format {
    match format {
        BookFormat::Markdown => atlas_book::Format::Markdown,
        BookFormat::Latex => atlas_book::Format::Latex,
        BookFormat::Autoformbot => atlas_book::Format::Autoformbot,
        BookFormat::Repoprover => atlas_book::Format::Repoprover,
    }
}

/// A book's title from its file name: `my-book.md` is `My book`, and so is a folder `my-book/book`.
fn title(path: &Path) -> String {
    let stem =
        |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name = stem(path);
    if matches!(name.as_str(), "book" | "main" | "manifest" | "chapters" | "source" | "src") {
        name = path.parent().map(stem).unwrap_or(name);
    }
    let name = name.replace(['-', '_'], " ");
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A source's path as seen from the AtlasRun's folder, where it lies under it.
fn near(source: &str, atlasrun: &Path) -> String {
    let folder = atlasrun.parent().unwrap_or(Path::new("/"));
    Path::new(source)
        .strip_prefix(folder)
        .map_or_else(|_| source.to_owned(), |path| path.display().to_string())
}

/// What two books may not share.
fn collisions(chapters: &[atlas_book::Chapter], targets: &[Target], atlasrun: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: HashMap<&str, &atlas_book::Chapter> = HashMap::new();
    for chapter in chapters {
        if let Some(first) = seen.insert(&chapter.module, chapter) {
            let message =
                format!("the module `{}` would hold a chapter of {} too", chapter.module, first.source);
            problems.push(quoted(
                PathBuf::from(&chapter.source),
                chapter.first_line,
                message,
                "give one of the two chapters another title",
            ));
        }
    }
    match Blueprint::new(targets.to_vec()) {
        Ok(blueprint) => problems.extend(module_circle(&blueprint).map(|circle| {
            let target = circle.dependants.first().map(|&ix| blueprint.target(ix));
            let (source, line) =
                target.map_or((atlasrun, 0), |target| (Path::new(&target.source), target.line));
            let message = format!(
                "the modules {} would import each other in a circle, because of {}",
                circle.modules.join(" → "),
                circle.because.join(", ")
            );
            quoted(
                source.to_owned(),
                line,
                message,
                "move a target to the other chapter, or remove one of these dependencies",
            )
        })),
        Err(errors) => problems.extend(errors.iter().map(|error| {
            quoted(atlasrun.to_owned(), 0, error.to_string(), "labels are shared by all books of a run")
        })),
    }
    problems
}

/// A book's mistake with the line that it is about.
fn problem(mistake: &atlas_book::Problem) -> Problem {
    quoted(mistake.file.clone(), mistake.line, mistake.message.clone(), &mistake.help)
}

fn quoted(file: PathBuf, line: u32, message: String, help: &str) -> Problem {
    let mut problem = Problem {
        file: shown(&file),
        line: u64::from(line),
        column: u64::from(line > 0),
        length: 1,
        message,
        suggestion: Some(help.to_owned()).filter(|help| !help.is_empty()),
        source: String::new(),
    };
    let small = file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= atlas_book::MAX_BYTES);
    if let Some(text) = (small && line > 0).then(|| std::fs::read_to_string(&file).ok()).flatten() {
        problem.quote(&text);
        let indent = problem.source.chars().take_while(|c| c.is_whitespace()).count();
        problem.column = indent as u64 + 1;
        problem.length = problem.source.trim().chars().count().max(1) as u64;
    }
    problem
}

/// The path as seen from where the user is.
fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned)).unwrap_or_else(|| path.to_owned())
}

/// Mistakes as one failure, in the order of their places.
pub fn tell(problems: &[Problem]) -> Failure {
    let color = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let mut problems: Vec<Problem> = problems.to_vec();
    for problem in &mut problems {
        problem.file = shown(&problem.file);
    }
    let text = Problems(problems).render(color);
    Failure { exit: Exit::Input, message: text.trim_end().to_owned(), hints: Vec::new(), titled: true }
}

/// The line that says that all is well.
pub fn summary(input: &Input) -> String {
    let spec = &input.loaded.run.spec;
    let targets = match input.targets.len() {
        0 => "targets are to be extracted by agents".to_owned(),
        n => plural(n, "target"),
    };
    format!(
        "{}: {}, {targets}, {}, library {}",
        styled(crate::print::STRONG, &input.title),
        plural(input.chapters.len(), "chapter"),
        plural(spec.models.len(), "model"),
        spec.library.package
    )
}
