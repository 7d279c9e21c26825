//! Keys: where they are, and the key itself, which is never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The folder in which Kubernetes secrets are mounted unless `ATLAS_SECRETS` names another.
const SECRETS: &str = "/etc/atlas/secrets";

/// Where a key is; exactly one of the three. The key itself never stands in an AtlasRun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum KeySource {
    /// An environment variable's name.
    Env(String),
    /// A file that holds the key alone.
    File(PathBuf),
    /// A Kubernetes secret that is mounted into the agent runner.
    Secret(SecretKey),
}

/// One entry of a Kubernetes secret. It is read from `$ATLAS_SECRETS/<name>/<key>`, where `ATLAS_SECRETS` is
/// `/etc/atlas/secrets` unless set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// The secret's name.
    pub name: String,
    /// The entry.
    pub key: String,
}

/// A key. `Debug` does not show it, and there is no `Display` and no serialization.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key itself: for the header of a request and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl KeySource {
    /// Reads the key; white space around it is dropped.
    ///
    /// # Errors
    /// Why there is none, in words that do not hold it.
    pub fn read(&self) -> Result<Key, String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => format!("the environment variable {name} is not set"),
                std::env::VarError::NotUnicode(_) => format!("the environment variable {name} is not UTF-8"),
            })?,
            Self::File(path) => read(path)?,
            Self::Secret(secret) => read(&secret.path())?,
        };
        let key = text.trim();
        if key.is_empty() {
            return Err(format!("{self} is empty"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{self} holds more than a key: white space or bytes that no HTTP header takes"
            ));
        }
        Ok(Key(key.to_owned()))
    }

    /// What to do when it cannot be read.
    pub(crate) fn way_out(&self) -> String {
        match self {
            Self::Env(name) => format!("`export {name}=…` before `atlas run`, or use `key: {{file: PATH}}`"),
            Self::File(path) => format!("put the key, alone, into {}", path.display()),
            Self::Secret(secret) => {
                format!(
                    "mount the secret `{}`, or set ATLAS_SECRETS to a folder that holds {}/{}",
                    secret.name, secret.name, secret.key
                )
            }
        }
    }
}

impl SecretKey {
    fn path(&self) -> PathBuf {
        let folder = std::env::var_os("ATLAS_SECRETS").map_or_else(|| PathBuf::from(SECRETS), PathBuf::from);
        folder.join(&self.name).join(&self.key)
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the key in {}: {error}", path.display()))
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Secret(secret) => write!(f, "the entry `{}` of the secret `{}`", secret.key, secret.name),
        }
    }
}
