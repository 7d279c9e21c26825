//! What tests with real Lean share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::sync::LazyLock;

use atlas_lean::Embedded;
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, DeclarationFacts, ModuleSource};

/// Where the image lies: `ATLAS_LEAN_IMAGE`, else the repository's cache.
pub fn image() -> PathBuf {
    std::env::var_os("ATLAS_LEAN_IMAGE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.cache/lean/image"),
        PathBuf::from,
    )
}

/// One embedded Lean with an empty cache for all tests of a file.
pub fn lean() -> &'static Embedded {
    static LEAN: LazyLock<Embedded> =
        LazyLock::new(|| Embedded::fresh(&image()).expect("run `scripts/setup lean`"));
    &LEAN
}

/// A chapter module with the library's header, which has six lines.
pub fn with_header(imports: &[&str], body: &str) -> String {
    let imports = if imports.is_empty() { &["Init"][..] } else { imports };
    let lines: Vec<String> = imports.iter().map(|i| format!("public import {i}")).collect();
    format!("module\n\n{}\n\n@[expose] public noncomputable section\n\n{body}", lines.join("\n"))
}

/// A module without library imports.
pub fn module(name: &str, body: &str) -> ModuleSource {
    library(&[(name, &[], body)]).remove(0)
}

/// Modules: name, imports, body.
pub fn library(modules: &[(&str, &[&str], &str)]) -> Vec<ModuleSource> {
    let source = |(name, imports, body): &(&str, &[&str], &str)| ModuleSource {
        name: (*name).to_owned(),
        sha256: String::new(),
        source: Some(with_header(imports, body).into_bytes()),
    };
    modules.iter().map(source).collect()
}

fn request(modules: Vec<ModuleSource>, level: CheckLevel) -> CheckRequest {
    CheckRequest {
        id: "test".into(),
        level: level.into(),
        check: modules.iter().map(|m| m.name.clone()).collect(),
        modules,
        ..CheckRequest::default()
    }
}

/// Asks for a certified verdict on all modules.
pub fn certify(modules: Vec<ModuleSource>) -> CheckRequest {
    request(modules, CheckLevel::Certified)
}

/// Asks for an elaboration of all modules.
pub fn elaborate(modules: Vec<ModuleSource>) -> CheckRequest {
    request(modules, CheckLevel::Elaborated)
}

/// The facts of one declaration.
pub fn fact<'a>(reply: &'a CheckReply, name: &str) -> &'a DeclarationFacts {
    reply
        .declarations
        .iter()
        .find(|d| d.name == name)
        .unwrap_or_else(|| panic!("no facts of {name}: {reply:#?}"))
}

/// The texts of all diagnostics.
pub fn messages(reply: &CheckReply) -> Vec<&str> {
    reply.diagnostics.iter().map(|d| d.message.as_str()).collect()
}
