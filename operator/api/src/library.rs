//! The Lean library that a run writes.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The Lean library that a run writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Library {
    /// The Lean that checks it: `embedded` (comes with Atlas, core Lean only), `native` (`lean` and `lake` on PATH), or the
    /// path of a native toolchain's folder.
    #[serde(default)]
    pub toolchain: Toolchain,
    /// The package's name and root module, e.g. `Numbers`: a capital letter, then letters and digits.
    pub package: String,
    /// Lake packages that the library may import; they need a native toolchain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
}

/// Which Lean checks a library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Toolchain {
    /// The Lean that comes with Atlas.
    #[default]
    Embedded,
    /// `lean` and `lake` on PATH.
    Native,
    /// A native toolchain in this folder (the one that holds `bin/lean`).
    Path(PathBuf),
}

impl From<String> for Toolchain {
    fn from(text: String) -> Self {
        match text.as_str() {
            "embedded" => Self::Embedded,
            "native" => Self::Native,
            _ => Self::Path(PathBuf::from(text)),
        }
    }
}

impl From<Toolchain> for String {
    fn from(toolchain: Toolchain) -> Self {
        match toolchain {
            Toolchain::Embedded => "embedded".into(),
            Toolchain::Native => "native".into(),
            Toolchain::Path(path) => path.to_string_lossy().into_owned(),
        }
    }
}

impl JsonSchema for Toolchain {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Toolchain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// A Lake package that the library may import: from git, or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependency {
    /// Lake's name of it, e.g. `mathlib`.
    pub name: String,
    /// URL of its git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// Branch, tag or commit in `git`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// Its folder, instead of `git`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}
