//! What a user sees of an AtlasRun: defaults, all mistakes at once, the schema for editors, the examples.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic, in the tests' helpers too")]

use std::path::{Path, PathBuf};

use atlas_api::{AtlasRun, Duration, Provider, Quantity, Toolchain, json_schema};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures").join(name)
}

/// Loads an AtlasRun with `spec` from a folder of its own that holds `book.md`.
fn load(document: &str) -> Result<atlas_api::Loaded, atlas_api::Problems> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("book.md"), "# Parity\n").unwrap();
    let path = folder.path().join("run.yaml");
    std::fs::write(&path, document).unwrap();
    AtlasRun::load(&path)
}

#[test]
fn every_mistake_of_a_file_is_shown_at_once_with_its_place_and_a_way_out() {
    let problems = AtlasRun::load(fixture("mistakes.yaml")).unwrap_err();
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn a_whole_file_loads_with_absolute_paths_and_its_own_values() {
    let loaded =
        AtlasRun::load(fixture("whole.yaml")).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let spec = &loaded.run.spec;
    assert!(spec.books[0].path.is_absolute() && spec.books[0].path.is_file());
    assert!(spec.agents.roles["prover"].prompt.as_ref().unwrap().is_file());
    assert_eq!(spec.model_of("prover"), Some("strong"));
    assert_eq!(spec.model_of("triage"), Some("cheap"), "the first model serves the roles that name none");
    assert_eq!((spec.max_turns_of("prover"), spec.max_turns_of("fixer")), (60, 30));
    assert_eq!(spec.budget.deadline.unwrap().get().as_secs(), 5400);
    assert_eq!(spec.verifiers.cache.bytes(), 512 << 20);
    assert_eq!(loaded.run.validate(), Ok(()), "what a file says holds without the file");
    let json = serde_json::to_value(&loaded.run).unwrap();
    assert_eq!(serde_json::from_value::<AtlasRun>(json).unwrap(), loaded.run);
}

#[test]
fn pieces_of_the_book_must_be_longer_than_what_they_share() {
    let document = |agents: &str| {
        format!(
            "apiVersion: atlasrun.dev/v1alpha1\nkind: AtlasRun\nmetadata: {{name: n}}\nspec:\n  books: [{{path: book.md}}]\n  \
             library: {{package: N}}\n  agents: {agents}\n  \
             models: [{{name: m, provider: openai, model: x, baseUrl: 'http://localhost:1/v1'}}]\n"
        )
    };
    let told = |agents: &str| load(&document(agents)).map_err(|problems| problems.0[0].message.clone());
    assert!(told("{chunkLines: 20, chunkOverlap: 19}").is_ok());
    assert_eq!(
        told("{chunkLines: 20, chunkOverlap: 20}").unwrap_err(),
        "`chunkOverlap` is 20, but must be less than `chunkLines`, which is 20"
    );
    assert_eq!(
        told("{chunkLines: 50}").unwrap_err(),
        "`chunkOverlap` is 50, but must be less than `chunkLines`, which is 50",
        "the default counts too"
    );
}

#[test]
fn a_file_with_the_least_gets_the_defaults() {
    let loaded = load(
        "apiVersion: atlasrun.dev/v1alpha1\nkind: AtlasRun\nmetadata: {name: n}\nspec:\n  books: [{path: book.md}]\n  \
         library: {package: N}\n  models: [{name: m, provider: openai, model: x, baseUrl: 'http://localhost:1/v1', price: {input: 2}}]\n",
    )
    .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let spec = loaded.run.spec;
    assert_eq!(spec.library.toolchain, Toolchain::Embedded);
    assert_eq!(spec.models[0].provider, Provider::Openai);
    assert_eq!((spec.agents.attempts_per_task, spec.agents.automation, spec.suspend), (3, true, false));
    let price = atlas_domain::Price::from(spec.models[0].price);
    assert_eq!(
        (price.cache_read, price.cache_write),
        (2.0, 2.0),
        "cached input without a price costs as fresh input"
    );
}

#[test]
fn text_that_is_not_yaml_is_shown_where_it_stops_being_it() {
    let problems =
        load("apiVersion: atlasrun.dev/v1alpha1\nkind: [AtlasRun\nmetadata: {name: n}\n").unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].line >= 2, "{problems}");
    let twice = load("kind: AtlasRun\nkind: AtlasRun\n").unwrap_err();
    assert_eq!(twice[0].line, 2, "{twice}");
}

#[test]
fn latin_1_bytes_and_missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.yaml");
    std::fs::write(&path, b"kind: \xe9\n").unwrap();
    assert!(
        AtlasRun::load(&path)
            .unwrap_err()
            .to_string()
            .contains("byte 6 is none of it (save the file as UTF-8)")
    );
    let absent = AtlasRun::load(folder.path().join("other.yaml")).unwrap_err().to_string();
    assert!(absent.contains("cannot read the AtlasRun"), "{absent}");
}

#[test]
fn keys_are_asked_for_only_of_models_that_a_role_uses_and_only_when_the_run_starts() {
    let loaded = load(
        "apiVersion: atlasrun.dev/v1alpha1\nkind: AtlasRun\nmetadata: {name: n}\nspec:\n  books: [{path: book.md}]\n  \
         library: {package: N}\n  models:\n    - {name: m, provider: anthropic, model: x, key: {env: ATLAS_TEST_NO_SUCH_KEY}}\n    \
         - {name: spare, provider: anthropic, model: x, key: {env: ATLAS_TEST_NO_SUCH_KEY}}\n",
    )
    .unwrap();
    let problems = loaded.check_keys().unwrap_err();
    assert_eq!((problems.len(), problems[0].line), (1, 8));
    assert!(problems[0].message.contains("ATLAS_TEST_NO_SUCH_KEY is not set"), "{problems}");
}

#[test]
fn the_committed_schema_is_the_types() {
    let path = repository().join("docs/reference/atlasrun.schema.json");
    let committed: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default()).unwrap_or_default();
    assert_eq!(
        committed,
        json_schema(),
        "run: cargo run -p atlas-api --bin atlasrun-schema > docs/reference/atlasrun.schema.json"
    );
}

#[test]
fn the_examples_for_providers_load() {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(repository().join("examples/providers")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let loaded =
                AtlasRun::load(&path).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
            assert!(!loaded.run.spec.used_models().is_empty());
            names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    names.sort();
    assert_eq!(names, ["anthropic", "local", "openai"]);
}

proptest::proptest! {
    #[test]
    fn durations_and_sizes_are_read_back_as_they_are_written(milliseconds in 1_u64..10_000_000_000, bytes in 1_u64..u64::MAX) {
        let (mut rest, mut text) = (milliseconds, String::new());
        for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
        let duration: Duration = text.parse().unwrap();
        proptest::prop_assert_eq!(duration.get().as_millis(), u128::from(milliseconds));
        proptest::prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        let size: Quantity = bytes.to_string().parse().unwrap();
        proptest::prop_assert_eq!(size.to_string().parse::<Quantity>(), Ok(size));
    }
}

#[test]
fn durations_and_sizes_without_a_meaning_are_refused() {
    for text in ["", "90", "0s", "1y", "h", "1.5h", "-1m", "99999999999999999999d"] {
        assert!(text.parse::<Duration>().is_err(), "{text}");
    }
    for text in ["", "0", "2 gigabytes", "Gi", "-1Gi", "1.5Gi", "99999999999Ti"] {
        assert!(text.parse::<Quantity>().is_err(), "{text}");
    }
}
