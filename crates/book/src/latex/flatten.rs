//! A LaTeX file with its inputs put in, comments and verbatim text taken out; each line knows where it came from.

use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use crate::{Problem, source};

/// One line of the flattened text.
pub(super) struct Line {
    pub text: String,
    pub file: Rc<Path>,
    pub number: u32,
}

#[allow(clippy::unwrap_used)] // a constant pattern, compiled by the tests
static INPUT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\\(?:input|include|subfile)\{(?<path>[^}]+)\}").unwrap());

/// Inputs deeper than this are a mistake, if not a loop.
const MAX_DEPTH: usize = 32;

pub(super) fn flatten(main: &Path) -> (Vec<Line>, Vec<Problem>) {
    let root = main.parent().unwrap_or(Path::new("")).to_owned();
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    read(main, &root, &mut Vec::new(), &mut lines, &mut problems);
    (lines, problems)
}

fn read(
    file: &Path,
    root: &Path,
    above: &mut Vec<PathBuf>,
    lines: &mut Vec<Line>,
    problems: &mut Vec<Problem>,
) {
    let text = match source::text(file) {
        Ok(text) => text,
        Err(problem) => return problems.push(problem),
    };
    above.push(file.to_owned());
    let name: Rc<Path> = file.into();
    let mut verbatim = false;
    for (at, raw) in text.lines().enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        if ["verbatim", "lstlisting", "minted", "comment"]
            .iter()
            .any(|env| raw.contains(&format!("\\begin{{{env}}}")))
        {
            verbatim = true;
        }
        let shown = if verbatim { String::new() } else { without_comment(raw) };
        if ["verbatim", "lstlisting", "minted", "comment"]
            .iter()
            .any(|env| raw.contains(&format!("\\end{{{env}}}")))
        {
            verbatim = false;
        }
        match INPUT.captures(&shown).map(|captures| captures["path"].trim().to_owned()) {
            Some(input) => match locate(&input, root) {
                Ok(path) if above.contains(&path) => problems.push(Problem::new(
                    file,
                    number,
                    format!("the inputs go in a circle: {} is being read already", path.display()),
                    "remove this \\input",
                )),
                Ok(_) if above.len() >= MAX_DEPTH => {
                    problems.push(Problem::new(
                        file,
                        number,
                        format!("inputs nest deeper than {MAX_DEPTH}"),
                        "flatten the book's files",
                    ));
                }
                Ok(path) if !path.is_file() => {
                    problems.push(Problem::new(
                        file,
                        number,
                        format!("the input {} does not exist", path.display()),
                        "check the path; it is relative to the main file",
                    ));
                }
                Ok(path) => read(&path, root, above, lines, problems),
                Err(why) => problems.push(Problem::new(
                    file,
                    number,
                    why,
                    "keep the book's files in one folder and name them relative to it",
                )),
            },
            None => lines.push(Line { text: shown, file: Rc::clone(&name), number }),
        }
    }
    above.pop();
}

/// A book may not read files outside its own folder.
fn locate(input: &str, root: &Path) -> Result<PathBuf, String> {
    let path = Path::new(input);
    if path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("the input `{input}` leaves the book's folder"));
    }
    let plain = root.join(path);
    Ok(if plain.is_file() || path.extension().is_some_and(|e| e == "tex") {
        plain
    } else {
        root.join(format!("{input}.tex"))
    })
}

/// A line up to its first `%` that is not escaped.
fn without_comment(line: &str) -> String {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            '%' if !escaped => return line.get(..at).unwrap_or_default().to_owned(),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    line.to_owned()
}
