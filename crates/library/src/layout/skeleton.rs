//! The files that Atlas writes: the skeleton of a new library and its root file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{header, is_module_of, module_path};

/// Files at the library's root that no submission may change; the root file is protected too.
pub const PROTECTED: [&str; 5] =
    ["lakefile.toml", "lakefile.lean", "lake-manifest.json", "lean-toolchain", "README.md"];

/// One chapter of a new library: a module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chapter {
    /// Full name, e.g. `Numbers.Parity`.
    pub module: String,
    /// The chapter's title in the book.
    pub title: String,
    /// Modules that its targets depend on; without any it imports `Init`.
    pub imports: Vec<String>,
    /// One a target, in an order in which each comes after what it depends on.
    pub slots: Vec<Slot>,
}

/// The place of a target in its chapter's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    /// The target's label: the region's name.
    pub id: String,
    /// The target's title in the book.
    pub title: String,
}

/// A package that the library requires, as `lakefile.toml` writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependency {
    /// The package's name.
    pub name: String,
    /// Where git finds it.
    pub git: Option<String>,
    /// Branch, tag or commit.
    pub rev: Option<String>,
    /// A local folder instead.
    pub path: Option<String>,
}

/// All files of a new library, by path: project files, a module for each chapter, the root file.
/// `toolchain` is what `lean-toolchain` says, e.g. `leanprover/lean4:v4.28.0`.
pub fn skeleton(
    package: &str,
    toolchain: &str,
    dependencies: &[Dependency],
    chapters: &[Chapter],
) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = chapters
        .iter()
        .map(|chapter| (module_path(&chapter.module), chapter_file(package, chapter)))
        .collect();
    let modules: Vec<&str> = chapters.iter().map(|chapter| chapter.module.as_str()).collect();
    files.insert(root_path(package), root_file(package, "", modules));
    files.insert("lakefile.toml".to_owned(), lakefile(package, dependencies));
    files.insert("lean-toolchain".to_owned(), format!("{toolchain}\n"));
    files.insert(
        "README.md".to_owned(),
        format!(
            "# {package}\n\nA Lean 4 library that Atlas wrote from a book. `lake build` checks it with the toolchain that\n\
             `lean-toolchain` names. What stands as `sorry` is stated and not yet proved.\n"
        ),
    );
    files
}

/// A chapter's file with an empty region for each target.
pub fn chapter_file(package: &str, chapter: &Chapter) -> String {
    let mut text = String::from("module\n\n");
    if chapter.imports.is_empty() {
        text.push_str("public import Init\n");
    }
    for import in &chapter.imports {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "public import {import}");
    }
    text.push_str("\n@[expose] public noncomputable section\n\n");
    if !chapter.title.is_empty() {
        let _ = writeln!(text, "/-! # {} -/\n", comment(&chapter.title));
    }
    let _ = writeln!(text, "namespace {package}\n");
    for one in &chapter.slots {
        text.push_str(&slot(&one.id, &one.title));
        text.push('\n');
    }
    let _ = writeln!(text, "end {package}");
    text
}

/// A target's heading and its empty region.
pub(super) fn slot(id: &str, title: &str) -> String {
    let title = comment(title);
    let heading = if title.is_empty() { id.to_owned() } else { format!("{id} — {title}") };
    format!("/-! target: {heading} -/\n-- begin {id}\n-- end {id}\n")
}

/// A book's words as one line that cannot end a Lean comment.
fn comment(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace("-/", "- /").replace("/-", "/ -")
}

/// The path of a package's root file, e.g. `Numbers.lean`.
pub fn root_path(package: &str) -> String {
    module_path(package)
}

/// The root file: imports every one of `modules`. Those that the `previous` root file imports keep their order
/// (the book's); new ones follow as given. The root module itself and modules of other packages are left out.
pub fn root_file<'a>(package: &str, previous: &str, modules: impl IntoIterator<Item = &'a str>) -> String {
    let below = |module: &str| module != package && is_module_of(package, module);
    let modules: Vec<&str> = modules.into_iter().filter(|module| below(module)).collect();
    let present: BTreeSet<&str> = modules.iter().copied().collect();
    let before = header::imports(previous);
    let mut order: Vec<&str> = Vec::with_capacity(modules.len());
    let mut listed = BTreeSet::new();
    for module in before.iter().map(String::as_str).chain(modules.iter().copied()) {
        if present.contains(module) && listed.insert(module) {
            order.push(module);
        }
    }
    let mut text =
        String::from("/- Generated at each landing: imports every module of the library. -/\nmodule\n\n");
    for module in order {
        let _ = writeln!(text, "public import {module}");
    }
    text
}

/// Whether no submission may change `path`: the root file, the project's files, and everything that is not a `.lean` file
/// below the package's folder.
pub fn is_protected(package: &str, path: &str) -> bool {
    let within = path.strip_prefix(package).is_some_and(|rest| rest.starts_with('/'));
    !within || !path.ends_with(".lean") || path.split('/').any(|part| part.starts_with('.'))
}

fn lakefile(package: &str, dependencies: &[Dependency]) -> String {
    let mut text = format!(
        "name = {}\ndefaultTargets = [{}]\n\n[[lean_lib]]\nname = {}\n",
        quote(package),
        quote(package),
        quote(package)
    );
    for dependency in dependencies {
        let _ = write!(text, "\n[[require]]\nname = {}\n", quote(&dependency.name));
        for (key, value) in [("git", &dependency.git), ("rev", &dependency.rev), ("path", &dependency.path)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {}", quote(value));
            }
        }
    }
    text
}

/// A TOML basic string.
fn quote(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::{ImportGraph, module_name, regions};
    use super::*;

    #[test]
    fn a_skeleton_has_a_region_for_each_target_and_a_root_that_imports_all() {
        let slot = |id: &str, title: &str| Slot { id: id.to_owned(), title: title.to_owned() };
        let chapters = [
            Chapter {
                module: "Numbers.Parity".to_owned(),
                title: "Parity -/ evil".to_owned(),
                imports: vec![],
                slots: vec![slot("even", "Definition 1.1"), slot("even-add", "Theorem 1.4")],
            },
            Chapter {
                module: "Numbers.Gcd".to_owned(),
                imports: vec!["Numbers.Parity".to_owned()],
                ..Chapter::default()
            },
        ];
        let dependency = Dependency {
            name: "mathlib".to_owned(),
            git: Some("https://example.org/m".to_owned()),
            ..Dependency::default()
        };
        let files = skeleton("Numbers", "leanprover/lean4:v4.28.0", &[dependency], &chapters);
        let parity = &files["Numbers/Parity.lean"];
        assert_eq!(
            parity,
            "module\n\npublic import Init\n\n@[expose] public noncomputable section\n\n/-! # Parity - / evil -/\n\n\
             namespace Numbers\n\n/-! target: even — Definition 1.1 -/\n-- begin even\n-- end even\n\n\
             /-! target: even-add — Theorem 1.4 -/\n-- begin even-add\n-- end even-add\n\nend Numbers\n"
        );
        assert_eq!(regions(parity).unwrap().len(), 2);
        assert_eq!(header::imports(&files["Numbers.lean"]), ["Numbers.Parity", "Numbers.Gcd"]);
        assert!(
            files["lakefile.toml"]
                .ends_with("[[require]]\nname = \"mathlib\"\ngit = \"https://example.org/m\"\n")
        );
        let modules: Vec<(String, &str)> =
            files.iter().filter_map(|(p, t)| Some((module_name(p)?, t.as_str()))).collect();
        let graph = ImportGraph::read("Numbers", modules.iter().map(|(m, t)| (m.as_str(), *t))).unwrap();
        assert_eq!(graph.order().unwrap(), ["Numbers.Parity", "Numbers.Gcd", "Numbers"]);
    }

    #[test]
    fn the_root_file_keeps_the_books_order_and_drops_what_is_gone() {
        let first = root_file("N", "", ["N.Z", "N.A"]);
        let second = root_file("N", &first, ["N", "N.A", "N.B", "N.Z", "Other.M"]);
        assert_eq!(header::imports(&second), ["N.Z", "N.A", "N.B"]);
        assert_eq!(header::imports(&root_file("N", &second, ["N.B"])), ["N.B"]);
    }

    #[test]
    fn only_lean_files_below_the_package_may_change() {
        for path in ["N/A.lean", "N/Sub/B.lean"] {
            assert!(!is_protected("N", path), "{path}");
        }
        for path in
            ["N.lean", "lakefile.toml", "lean-toolchain", "Other/A.lean", "N/x.olean", "N/.git/a.lean"]
        {
            assert!(is_protected("N", path), "{path}");
        }
    }
}
