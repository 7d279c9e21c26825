//! The repository against real git: what libgit2 wrote, the `git` command reads back.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use atlas_library::{CommitText, Merged, Repository, RepositoryError};
use atlas_proto::FileChange;

fn git(repository: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(repository).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(subject: &str) -> CommitText {
    CommitText {
        author: "prover (even-add.prover.1)".to_owned(),
        email: "even-add.prover.1@run.atlas".to_owned(),
        subject: subject.to_owned(),
        body: "By induction.\n\nAtlas-Fake: in the body\n\nTwo paragraphs.".to_owned(),
        trailers: vec![
            ("Atlas-Target".to_owned(), "even-add".to_owned()),
            ("Atlas-Submission".to_owned(), "even-add.prover.1/1".to_owned()),
        ],
        time: 1_700_000_000,
    }
}

fn change(path: &str, content: Option<&str>) -> FileChange {
    FileChange { path: path.to_owned(), content: content.map(|c| c.as_bytes().to_vec()) }
}

fn land(repository: &Repository, parent: &str, subject: &str, changes: &[FileChange]) -> String {
    let onto = repository.tree(parent).unwrap();
    let Merged::Clean(tree) = repository.merge(&onto, parent, changes).unwrap() else { panic!("conflict") };
    let commit = repository.commit(&tree, parent, &text(subject)).unwrap();
    repository.advance_main(parent, &commit).unwrap();
    commit
}

#[test]
fn landings_are_ordinary_git_history() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::open_or_init(folder.path()).unwrap();
    assert_eq!(repository.main().unwrap(), None);
    let first = land(
        &repository,
        "",
        "Lay out",
        &[change("N/A.lean", Some("a\n")), change("N/Sub/B.lean", Some("b\n"))],
    );
    let second = land(&repository, &first, "Prove\nit", &[change("N/Sub/B.lean", None)]);

    git(folder.path(), &["fsck", "--strict"]);
    assert_eq!(git(folder.path(), &["rev-parse", "main"]).trim(), second);
    assert_eq!(git(folder.path(), &["ls-tree", "-r", "-t", "--name-only", "main"]), "N\nN/A.lean\n");
    let log = git(
        folder.path(),
        &["log", "--format=%an <%ae>|%s|%(trailers:key=Atlas-Submission,valueonly,separator=)"],
    );
    let line = "prover (even-add.prover.1) <even-add.prover.1@run.atlas>";
    assert_eq!(log, format!("{line}|Prove it|even-add.prover.1/1\n{line}|Lay out|even-add.prover.1/1\n"));

    // A second process sees the same.
    let again = Repository::open_or_init(folder.path()).unwrap();
    let history = again.history(&second, "", 10).unwrap();
    assert_eq!(history[0].trailers["Atlas-Submission"], "even-add.prover.1/1");
    assert!(!history[0].trailers.contains_key("Atlas-Fake"));
    assert_eq!(again.history(&second, &first, 10).unwrap().len(), 1);
    assert_eq!(again.who_changed("N/Sub/B.lean", &first, &second, 5).unwrap(), ["Prove it"]);
    let manifest = again.manifest(&first).unwrap();
    assert_eq!(manifest.files.len(), 2);
    assert_eq!(manifest.files[0].sha256, "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7");
    assert_eq!(repository.file(&repository.tree(&first).unwrap(), "N/A.lean").unwrap().unwrap(), b"a\n");
}

#[test]
fn main_moves_only_from_where_it_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::open_or_init(folder.path()).unwrap();
    let first = land(&repository, "", "One", &[change("N/A.lean", Some("a\n"))]);
    let tree = repository.tree(&first).unwrap();
    let other = repository.commit(&tree, &first, &text("Two")).unwrap();
    assert_eq!(other, repository.commit(&tree, &first, &text("Two")).unwrap(), "same text, same commit");
    for from in ["", other.as_str()] {
        let error = repository.advance_main(from, &other).unwrap_err();
        assert!(matches!(&error, RepositoryError::Moved { actual, .. } if *actual == first), "{error}");
    }
    assert_eq!(repository.main().unwrap().unwrap(), first);
}

#[test]
fn a_lock_that_a_killed_process_left_is_taken_over_and_a_fresh_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::open_or_init(folder.path()).unwrap();
    let first = land(&repository, "", "One", &[change("N/A.lean", Some("a\n"))]);
    let second = repository.commit(&repository.tree(&first).unwrap(), &first, &text("Two")).unwrap();
    let lock = folder.path().join("refs/heads/main.lock");
    let file = std::fs::File::create(&lock).unwrap();
    assert!(matches!(repository.advance_main(&first, &second), Err(RepositoryError::Locked { .. })));
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
    repository.advance_main(&first, &second).unwrap();
    assert_eq!(repository.main().unwrap().unwrap(), second);
}

#[test]
fn conflicts_name_files_and_lines() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::open_or_init(folder.path()).unwrap();
    let base = land(
        &repository,
        "",
        "Base",
        &[change("N/A.lean", Some("1\n2\n3\n")), change("N/B.lean", Some("b\n"))],
    );
    let head = land(
        &repository,
        &base,
        "Ours",
        &[change("N/A.lean", Some("1\nours\n3\n")), change("N/B.lean", None)],
    );
    let onto = repository.tree(&head).unwrap();
    let theirs = [change("N/A.lean", Some("1\ntheirs\n3\n")), change("N/B.lean", Some("c\n"))];
    let Merged::Conflicts(conflicts) = repository.merge(&onto, &base, &theirs).unwrap() else {
        panic!("clean")
    };
    assert_eq!(conflicts[0].to_string(), "N/A.lean: both sides changed it at line 2");
    assert_eq!(conflicts[1].to_string(), "N/B.lean: main removed it and the submission changed it");
    // The same change again is no conflict, and changes nothing.
    let same = [change("N/A.lean", Some("1\nours\n3\n"))];
    assert_eq!(repository.merge(&onto, &base, &same).unwrap(), Merged::Clean(onto.clone()));
}
