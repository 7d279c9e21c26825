//! Books of every format, from files as an author would write them.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use atlas_book::{Book, Format, Options, Problem, read, write_targets};
use atlas_domain::TargetKind;

fn options(package: &str) -> Options<'_> {
    Options { format: None, package, targets: None, extraction: false }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn ids(book: &Book) -> Vec<&str> {
    book.targets.iter().map(|target| target.id.as_str()).collect()
}

fn problems(path: &Path) -> Vec<Problem> {
    read(path, &options("Numbers")).unwrap_err()
}

const PARITY: &str = "# Parity

Some prose with a [link](https://example.org/#even) that is no dependency.

**Definition 1.1** (Even number). {#even lean=Even}
A number is *even* if it is twice another.

It need not be positive.

**Theorem 1.2** (Sum). {#even-add uses=even}
The sum of two [even](#even) numbers is even.

*Proof.* Add the halves, as in [Lemma 2.1](02-sums.md#halves). ∎

Prose after a proof belongs to nobody.

```
**Theorem 9.9** is only code
```

**Exercise 1.3.** {#odd-square}
The square of an odd number is odd.
";
const SUMS: &str = "# Sums\n\n**Lemma 2.1**. {#halves}\nHalves of [@even] numbers add.\n\n---\n\nprose\n";

#[test]
fn a_folder_of_markdown_chapters_gives_chapters_targets_and_both_kinds_of_dependency() {
    let folder = folder(&[("01-parity.md", PARITY), ("02-sums.md", SUMS)]);
    let book = read(folder.path(), &options("Numbers")).unwrap();
    assert_eq!(
        book.chapters.iter().map(|c| c.module.as_str()).collect::<Vec<_>>(),
        ["Numbers.Parity", "Numbers.Sums"]
    );
    assert_eq!(ids(&book), ["even", "even-add", "odd-square", "halves"]);
    let [even, add, odd, halves] = &book.targets[..] else { panic!() };
    assert_eq!(
        (even.declaration.as_str(), even.kind, even.line),
        ("Numbers.Even", TargetKind::Definition, 5)
    );
    assert!(even.statement.ends_with("It need not be positive."));
    assert_eq!(add.title, "Theorem 1.2 (Sum)");
    assert_eq!(add.statement_depends_on, std::slice::from_ref(&even.id));
    assert_eq!(add.proof_depends_on, std::slice::from_ref(&halves.id));
    assert_eq!(add.proof, "Add the halves, as in [Lemma 2.1](02-sums.md#halves).");
    assert_eq!((odd.declaration.as_str(), odd.module.as_str()), ("Numbers.odd_square", "Numbers.Parity"));
    assert_eq!(halves.statement, "Halves of [@even] numbers add.");
}

#[test]
fn a_latex_book_is_read_through_its_inputs_with_its_own_theorem_names() {
    let folder = folder(&[
        (
            "main.tex",
            "\\newtheorem{satz}{Theorem}[chapter]\n\\newtheorem{ex}{Remark}\n\\input{chapters/one}\n\\chapter{Sums}\n\\begin{satz}[Gauss]\\label{thm:gauss}\\lean{gauss_sum}\n  As in \\cref{def:tri}, see \\ref{sec:intro}. % \\ref{nonsense}\n\\end{satz}\n\\begin{proof} Induction with \\uses{lem:step}step.\\end{proof}\n",
        ),
        (
            "chapters/one.tex",
            "\\chapter{Triangles}\\label{sec:intro}\n\\begin{definition}\\label{def:tri}\nThe $n$th \\emph{triangle}.\n\\end{definition}\n\\begin{ex} A remark. \\end{ex}\n\\begin{lemma}\\label{lem:step}\\leanok\n$T_{n+1}$\n\\begin{align}\\label{eq:x} a \\end{align}\\end{lemma}\n\\begin{verbatim}\n\\begin{theorem}\\label{no}\n\\end{verbatim}\n\\begin{proof}[Proof of \\ref{lem:step}] Clear by \\eqref{eq:x}. \\end{proof}\n",
        ),
    ]);
    let book = read(folder.path(), &options("Tri")).unwrap();
    assert_eq!(
        book.chapters.iter().map(|c| c.module.as_str()).collect::<Vec<_>>(),
        ["Tri.Triangles", "Tri.Sums"]
    );
    assert_eq!(ids(&book), ["def-tri", "lem-step", "thm-gauss"]);
    let gauss = &book.targets[2];
    assert_eq!((gauss.declaration.as_str(), gauss.title.as_str()), ("Tri.gauss_sum", "Theorem (Gauss)"));
    assert_eq!(gauss.statement_depends_on[0].as_str(), "def-tri");
    assert_eq!(gauss.proof_depends_on[0].as_str(), "lem-step");
    assert!(gauss.source.ends_with("main.tex") && book.targets[1].source.ends_with("one.tex"));
    assert_eq!(book.targets[1].proof.trim(), "Clear by \\eqref{eq:x}.");
    assert!(
        book.targets[1].statement.contains("\\begin{align}") && !book.targets[1].statement.contains("leanok")
    );
}

#[test]
fn autoformbots_book_and_targets_are_read_as_they_are() {
    let book_md = "# Elementary Numbers\n\n## Chapter 1: Divisibility\n\n**Definition 1.1 (Divisibility).** We say $a \\mid b$ if $b = ak$.\n\nDivisibility is an order, as we shall see.\n\n**Theorem 1.2 (Transitivity).** If $a \\mid b$ and $b \\mid c$ then $a \\mid c$.\n\n*Proof.* Multiply. $\\square$\n\n## Chapter 2: Primes\n\n**Theorem 2.1.** There is no largest prime.\n";
    let targets = "- name: Theorem 1.2 (Transitivity)\n  description: If $a \\mid b$ and $b \\mid c$ then $a \\mid c$.\n  location: Chapter 1, Section 1\n  kind: theorem\n- name: Theorem 2.1\n  description: There is no largest prime.\n  location: Chapter 2\n  kind: theorem\n";
    let folder = folder(&[("book.md", book_md), ("targets.yaml", targets)]);
    let book = read(folder.path(), &options("My_Book")).unwrap();
    assert_eq!(
        book.chapters.iter().map(|c| c.slug.as_str()).collect::<Vec<_>>(),
        ["01-divisibility", "02-primes"]
    );
    assert_eq!(ids(&book), ["theorem-1-2", "theorem-2-1"]);
    assert_eq!(
        (book.targets[0].proof.as_str(), book.targets[0].chapter.as_str()),
        ("Multiply.", "01-divisibility")
    );
    assert_eq!(book.targets[1].module, "My_Book.Primes");

    let plain = read(
        &folder.path().join("book.md"),
        &Options { format: Some(Format::Markdown), ..options("My_Book") },
    )
    .unwrap();
    assert_eq!(
        plain.targets[0].statement, "We say $a \\mid b$ if $b = ak$.",
        "an inline statement ends with its paragraph"
    );
}

#[test]
fn autoformbots_newer_targets_are_read_as_they_are() {
    let targets = "\
- id: def-even
  type: definition
  source: \"Definition 1.1\"
  statement: \"A number n is even if n = 2k.\"
  dependencies: []
  proved_in_book: false

- id: thm-even-add
  type: theorem
  source: \"Theorem 1.2\"
  statement: \"The sum of even numbers is even.\"
  dependencies: [def-even]
  proved_in_book: true

- id: cor-even-double
  type: corollary
  source: \"Corollary 1.3\"
  statement: \"m + m is even for even m.\"
  dependencies: [def-even, thm-even-add]
  proved_in_book: no
";
    let folder = folder(&[("book.md", "# Even numbers\n\nProse.\n"), ("targets.yaml", targets)]);
    let book = read(folder.path(), &options("Even")).unwrap();
    assert_eq!(ids(&book), ["def-even", "thm-even-add", "cor-even-double"]);
    let double = &book.targets[2];
    assert_eq!((double.title.as_str(), double.kind), ("Corollary 1.3", TargetKind::Corollary));
    assert_eq!(double.statement_depends_on[0].as_str(), "def-even");
    assert_eq!(double.proof_depends_on[0].as_str(), "thm-even-add");
    assert_eq!((double.statement_depends_on.len(), double.proof_depends_on.len()), (1, 1));
}

/// A field is read as what it is declared to be, never guessed from its looks: `n` is a label, `yes` a title.
#[test]
fn bare_words_of_a_targets_file_are_text() {
    let folder = folder(&[("01-a.md", "# A\nProse.\n")]);
    let file = folder.path().join("targets.yaml");
    let entries = [("n", "yes"), ("y", "No"), ("off", "on"), ("007", "1_000"), ("12", "~1")];
    let entry = |(id, title): (&str, &str)| {
        format!("- id: {id}\n  kind: lemma\n  title: {title}\n  statement: yes\n  declaration: a{id}\n")
    };
    let dependent = "- {id: last, kind: lemma, statement: NO, statement_depends_on: [n, y, off], proof_depends_on: [007]}\n";
    std::fs::write(&file, entries.map(entry).concat() + dependent).unwrap();
    let from = Options { format: Some(Format::Markdown), targets: Some(&file), ..options("Words") };
    let book = read(folder.path(), &from).unwrap();
    let read_back: Vec<_> = book.targets.iter().map(|t| (t.id.as_str(), t.title.as_str())).collect();
    assert_eq!(read_back[..5], entries);
    assert!(book.targets[..5].iter().all(|target| target.statement == "yes"));
    let last = &book.targets[5];
    let on: Vec<&str> = last.statement_depends_on.iter().map(|id| id.as_str()).collect();
    assert_eq!((last.statement.as_str(), on.as_slice()), ("NO", &["n", "y", "off"][..]));
    assert_eq!(last.proof_depends_on[0].as_str(), "007");

    // What extraction writes is read back as it was, whatever it looks like.
    write_targets(&file, &book.targets).unwrap();
    assert_eq!(read(folder.path(), &from).unwrap().targets, book.targets);
}

#[test]
fn repoprovers_manifest_chooses_the_targets_of_its_chapters() {
    let folder = folder(&[
        (
            "manifest.json",
            r#"{"chapters": [{"id": "basics", "title": "Basic Numbers", "source_path": "tex/basics.tex", "target_theorems": ["def.double", "thm.double-even"]}]}"#,
        ),
        (
            "tex/basics.tex",
            "\\section{A}\\begin{definition}\\label{def:double} D \\end{definition}\\section{B}\\begin{theorem}\\label{thm.double-even} By \\ref{def.double} and \\ref{thm.other} \\end{theorem}\\begin{theorem}\\label{thm.other} O \\end{theorem}",
        ),
    ]);
    let book = read(folder.path(), &options("Toy")).unwrap();
    assert_eq!(
        book.chapters.iter().map(|c| (c.slug.as_str(), c.title.as_str())).collect::<Vec<_>>(),
        [("basics", "Basic Numbers")]
    );
    assert_eq!(ids(&book), ["def-double", "thm-double-even"]);
    assert_eq!(book.targets[1].declaration, "Toy.double_even");
    assert_eq!(book.targets[1].statement_depends_on.len(), 1);
}

#[test]
fn a_written_targets_file_is_read_back_and_replaces_the_books_targets() {
    let folder = folder(&[("01-parity.md", PARITY), ("02-sums.md", SUMS)]);
    let book = read(folder.path(), &options("Numbers")).unwrap();
    let file = folder.path().join("targets.yaml");
    write_targets(&file, &book.targets).unwrap();
    let again = read(
        folder.path(),
        &Options { format: Some(Format::Markdown), targets: Some(&file), ..options("Numbers") },
    )
    .unwrap();
    assert_eq!(again.targets, book.targets);
}

#[test]
fn every_mistake_is_told_with_its_place_and_the_way_out() {
    let two = folder(&[(
        "01-a.md",
        "# A\n**Theorem 1.** {#x}\nBy [y](#yy).\n\n**Theorem 2.** {#x}\nSee [z](#z).\n\n**Lemma 3.** {#yyy}\nSee [x](#z).\n\n**Lemma 4.** {#z colour=red}\nText.\n",
    )]);
    let told: Vec<String> =
        problems(two.path()).iter().map(|p| format!("{}: {} — {}", p.line, p.message, p.help)).collect();
    let place = two.path().join("01-a.md");
    assert_eq!(
        told,
        [
            "11: unknown attribute `colour=red` — write {#label lean=Name uses=a,b}".to_owned(),
            format!(
                "5: the label `x` is used twice; it was first used at {}:2 — give one of the two another label",
                place.display()
            ),
            "2: `x` refers to `yy`, which is no target — did you mean `yyy`?".to_owned(),
        ]
    );

    let circle =
        folder(&[("01-a.md", "# A\n**Lemma 1.** {#a}\nSee [b](#b).\n\n**Lemma 2.** {#b}\nSee [a](#a).\n")]);
    let told = problems(circle.path());
    assert!(told[0].message.contains("a → b → a") || told[0].message.contains("b → a → b"), "{}", told[0]);

    let duplicate =
        folder(&[("01-a.md", "# A\n**Lemma 1.** {#a}\nOne.\n\n**Lemma 2.** {#a}\nTwo, by [c](#aa).\n")]);
    let told = problems(duplicate.path());
    assert!(
        told[0].message.contains("used twice") && told[0].message.contains("01-a.md:2") && told[0].line == 5
    );
    assert!(told[1].message.contains("`aa`, which is no target") && told[1].help == "did you mean `a`?");

    let none = folder(&[("01-a.md", "# A\nNothing here.\n")]);
    assert!(problems(none.path())[0].message.contains("no targets"));
    assert!(read(none.path(), &Options { extraction: true, ..options("A") }).is_ok());

    let latin = folder(&[]);
    std::fs::write(latin.path().join("01-a.md"), b"# A\nna\xefve\n").unwrap();
    let told = problems(latin.path());
    assert!(
        told[0].line == 2
            && told[0].message.contains("0xef at offset 6")
            && told[0].help.contains("iconv -f latin1"),
        "{}",
        told[0]
    );

    let large = folder(&[]);
    std::fs::File::create(large.path().join("01-a.md")).unwrap().set_len(50_000_001).unwrap();
    assert!(problems(large.path())[0].message.contains("50 MB"));

    let looping = folder(&[("main.tex", "\\input{a}"), ("a.tex", "\n\\input{main}"), ("b.tex", "")]);
    assert!(problems(looping.path()).iter().any(|p| p.line == 2 && p.message.contains("circle")));
    let outside = folder(&[("main.tex", "\\input{../secret}\n\\input{gone}\n\\begin{theorem}never ended")]);
    let told = problems(outside.path());
    assert!(
        told[0].message.contains("leaves the book's folder") && told[1].message.contains("does not exist")
    );
    assert!(problems(&outside.path().join("nowhere"))[0].message.contains("no such file"));
}
