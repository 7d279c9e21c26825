//! Reading the library: files with line numbers, lists, and search by regular expression.

use std::fmt::Write as _;

use regex::RegexBuilder;

use crate::check::shorten;
use crate::comments;
use crate::library::{Library, LibraryError};
use crate::tool::{ListFiles, ReadFile, Search};

/// Lines that one search answers with.
const MAX_HITS: usize = 80;
/// The longest line that is shown, in bytes.
const MAX_LINE: usize = 240;
/// Lines of a file that are shown at once.
const MAX_LINES: usize = 600;
/// Files that a list shows.
const MAX_FILES: usize = 400;
/// Memory for one compiled expression, in bytes.
const MAX_REGEX: usize = 1 << 20;

/// What a tool found, or what is wrong with the question.
pub type Found = Result<String, String>;

/// Shows a file.
///
/// # Errors
/// The library cannot be read.
pub async fn read_file(
    library: &Library,
    ask: &ReadFile,
    hide_comments: bool,
) -> Result<Found, LibraryError> {
    let path = match atlas_library::LibraryPath::parse(&ask.path) {
        Ok(path) => path,
        Err(error) => return Ok(Err(format!("{error}."))),
    };
    let Some(text) = library.text(path.as_str()).await? else {
        return Ok(Err(no_file(library, path.as_str())));
    };
    let text = if hide_comments && path.module().is_some() { comments::strip(&text) } else { text };
    let total = text.lines().count();
    let from = ask.from.map_or(1, |line| line.max(1) as usize);
    let to = ask.to.map_or(total, |line| line as usize).min(total);
    if from > to {
        return Ok(Err(format!("`{path}` has {total} lines; there are none from {from} to {to}.")));
    }
    let mut out = String::new();
    for (at, line) in text.lines().enumerate().skip(from - 1).take((to + 1 - from).min(MAX_LINES)) {
        let _ = writeln!(out, "{:>4} {}", at + 1, shorten(line, 4 * MAX_LINE));
    }
    if to + 1 - from > MAX_LINES {
        let _ = writeln!(out, "[lines {} to {to} are left out; ask for them with `from`]", from + MAX_LINES);
    }
    Ok(Ok(out))
}

/// Lists files.
pub fn list_files(library: &Library, ask: &ListFiles) -> Found {
    let under = ask.under.as_deref().unwrap_or("").trim_start_matches("./");
    let files = library.files();
    let shown: Vec<_> = files.iter().filter(|(path, _)| path.starts_with(under)).collect();
    if shown.is_empty() {
        return Err(no_file(library, under));
    }
    let mut out = String::new();
    for (path, (size, changed)) in shown.iter().take(MAX_FILES) {
        let mark = if *changed { "  changed by you" } else { "" };
        let _ = writeln!(out, "{path}  {size} bytes{mark}");
    }
    if shown.len() > MAX_FILES {
        let _ = writeln!(out, "[{} more; narrow it down with `under`]", shown.len() - MAX_FILES);
    }
    Ok(out)
}

/// Finds lines.
///
/// # Errors
/// The library cannot be read.
pub async fn search(library: &Library, ask: &Search, hide_comments: bool) -> Result<Found, LibraryError> {
    let expression = match RegexBuilder::new(&ask.pattern).size_limit(MAX_REGEX).build() {
        Ok(expression) => expression,
        Err(error) => return Ok(Err(format!("`pattern` is no regular expression: {error}"))),
    };
    let under = ask.path.as_deref().unwrap_or("").trim_start_matches("./");
    let files = library.files();
    let paths: Vec<&str> = files.keys().copied().filter(|path| path.starts_with(under)).collect();
    if paths.is_empty() {
        return Ok(Err(no_file(library, under)));
    }
    let mut out = String::new();
    let mut hits = 0;
    for path in paths {
        let text = match library.text(path).await {
            Ok(text) => text.unwrap_or_default(),
            Err(LibraryError::NotText { .. }) => continue,
            Err(error) => return Err(error),
        };
        let text = if hide_comments && path.ends_with(".lean") { comments::strip(&text) } else { text };
        for (at, line) in text.lines().enumerate().filter(|(_, line)| expression.is_match(line)) {
            hits += 1;
            if hits <= MAX_HITS {
                let _ = writeln!(out, "{path}:{}: {}", at + 1, shorten(line.trim_end(), MAX_LINE));
            }
        }
    }
    match hits {
        0 => Ok(Ok(format!("No line matches `{}`.", ask.pattern))),
        n if n > MAX_HITS => {
            Ok(Ok(format!("{out}[{} more lines match; make the pattern narrower]\n", n - MAX_HITS)))
        }
        _ => Ok(Ok(out)),
    }
}

/// There is no such file; names the ones that there are.
pub fn no_file(library: &Library, path: &str) -> String {
    let files = library.files();
    let known: Vec<&str> = files.keys().copied().take(40).collect();
    let more = files.len().saturating_sub(known.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("There is no file `{path}`. There are: {}{more}.", known.join(", "))
}
