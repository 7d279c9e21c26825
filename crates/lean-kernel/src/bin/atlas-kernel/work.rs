//! The child: limits on itself first, then reading and checking.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use atlas_lean_kernel::ndjson::{ReadError, ReadErrorKind, Reader};
use atlas_lean_kernel::{Base, Declarations, Report, Terms, Verdict, check, compare, examine};
use nix::sys::resource::{Resource, setrlimit};

use crate::answer::{Answer, Statement};
use crate::options::Options;

/// Reads, checks and says what came out.
pub fn answer(options: &Options) -> Answer {
    let statement = restrict(options).and_then(|()| run(options)).unwrap_or_else(|s| *s);
    statement.print(options.output)
}

/// An early end.
type Early<T> = Result<T, Box<Statement>>;

fn declined(reason: String) -> Box<Statement> {
    Box::new(Statement::because(Answer::Declined, reason))
}

fn limit(what: &str, resource: Resource, soft: u64, hard: u64) -> Early<()> {
    setrlimit(resource, soft, hard).map_err(|e| declined(format!("cannot limit {what}: {e}")))
}

/// Bytes of stack that so many threads reserve.
fn stacks(options: &Options, threads: usize) -> u64 {
    options.limits().stack_bytes() as u64 * threads as u64
}

/// Limits that nothing this process reads can lift.
fn restrict(options: &Options) -> Early<()> {
    if options.memory > 0 {
        let memory = options.memory << 20;
        limit(
            "memory",
            Resource::RLIMIT_AS,
            memory,
            memory.saturating_add(stacks(options, options.threads.get())),
        )?;
    }
    if options.seconds > 0 {
        limit("time", Resource::RLIMIT_CPU, options.seconds, options.seconds)?;
    }
    limit("core dumps", Resource::RLIMIT_CORE, 0, 0)
}

/// Checking threads reserve stacks, which count as memory though little of them is used. They get what they reserve and no more, so
/// that the rest of the process still has what was allowed.
fn make_room_for_stacks(options: &Options, declarations: usize) -> Early<()> {
    if options.memory == 0 {
        return Ok(());
    }
    let (memory, all) = (options.memory << 20, options.threads.get());
    let used = stacks(options, all.min(declarations.max(1)));
    limit(
        "memory",
        Resource::RLIMIT_AS,
        memory.saturating_add(used),
        memory.saturating_add(stacks(options, all)),
    )
}

fn open(path: &Path) -> Early<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(1 << 20, std::io::stdin())));
    }
    let file = File::open(path).map_err(|e| declined(format!("{} cannot be read: {e}", path.display())))?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
}

/// Only what is wrong by the format is a ground to reject, and only in the file that is checked.
fn unread(path: &Path, e: &ReadError, checked: bool) -> Box<Statement> {
    let verdict =
        if checked && e.kind == ReadErrorKind::Malformed { Answer::Rejected } else { Answer::Declined };
    Box::new(Statement::because(verdict, format!("{}: {e}", path.display())))
}

fn base(options: &Options) -> Early<Base> {
    let Some(path) = &options.base else { return Ok(Base::empty()) };
    let mut kinds = options.base_kinds.as_deref().map(open).transpose()?;
    let kinds = kinds.as_mut().map(|k| &mut **k as &mut dyn BufRead);
    Base::load(&mut *open(path)?, kinds, &options.bounds()).map_err(|e| unread(path, &e, false))
}

fn run(options: &Options) -> Early<Statement> {
    let started = Instant::now();
    let base = base(options)?;
    let base_read = started.elapsed();
    let mut reader = Reader::new(&base, &options.bounds());
    reader.read(&mut *open(&options.file)?).map_err(|e| unread(&options.file, &e, true))?;
    if let Some(path) = &options.given {
        reader.read_given(&mut *open(path)?).map_err(|e| unread(path, &e, false))?;
    }
    let (mut terms, declarations) = reader.finish();
    if let Some(path) = &options.challenge {
        terms = compare_with(path, options, &base, terms, &declarations)?;
    }
    let read = started.elapsed();
    make_room_for_stacks(options, declarations.len())?;
    let (policy, limits) = (options.policy(), options.limits());
    let mut statement = if options.all {
        say(examine(&mut terms, &declarations, &policy, &limits))
    } else {
        let verdict = check(&mut terms, &declarations, &policy, &limits);
        brief(verdict, declarations.len())
    };
    let millis = |d: std::time::Duration| d.as_millis() as u64;
    statement.milliseconds =
        Some([millis(base_read), millis(read - base_read), millis(started.elapsed() - read)]);
    Ok(statement)
}

/// Verifies that the names of `--compare` say in `solution` what they say in the challenge; gives the terms back.
fn compare_with(
    path: &Path,
    options: &Options,
    base: &Base,
    terms: Terms,
    solution: &Declarations,
) -> Early<Terms> {
    let mut reader = Reader::into_terms(terms, Declarations::over(base), &options.bounds());
    reader.read(&mut *open(path)?).map_err(|e| unread(path, &e, false))?;
    let (mut terms, challenge) = reader.finish();
    for name in &options.compare {
        let id = terms.name_path(name).map_err(|e| declined(format!("{name}: {e}")))?;
        if let Err(difference) = compare(&terms, &challenge, solution, id) {
            let reason = format!("{name} is not what was asked: {difference}");
            return Err(Box::new(Statement::because(Answer::Rejected, reason)));
        }
    }
    Ok(terms)
}

fn brief(verdict: Verdict, declarations: usize) -> Statement {
    let mut s =
        Statement { declarations, reason: None, ..Statement::because(Answer::Declined, String::new()) };
    match verdict {
        Verdict::Accepted(a) => {
            (s.verdict, s.sound, s.accepted) = (Answer::Accepted, declarations, a.declarations);
        }
        Verdict::Rejected(r) => {
            s.verdict = Answer::Rejected;
            s.reason = Some(format!("{}: {} [{}]", r.declaration, r.reason, r.rule));
            s.rejected.push(r);
        }
        Verdict::Undecided(u) => {
            s.reason = Some(format!("{}: {}", u.declaration, u.limit));
            s.undecided.push(u);
        }
    }
    s
}

fn say(report: Report) -> Statement {
    let (declarations, sound) = (report.declarations, report.sound());
    let (rejected, undecided) = (report.rejected.clone(), report.undecided.clone());
    let s = brief(report.verdict(), declarations);
    Statement { sound, rejected, undecided, reason: None, ..s }
}
