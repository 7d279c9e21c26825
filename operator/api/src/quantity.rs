//! Amounts of bytes as Kubernetes writes them: `2Gi`, `512Mi`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A positive number of bytes, written with Kubernetes' suffixes: `Ki`, `Mi`, `Gi`, `Ti` (powers of 1024), `k`, `M`, `G`, `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity(u64);

/// A text that is not a quantity of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: write bytes with the suffix Ki, Mi, Gi, Ti, k, M, G or T, as in `2Gi`")]
pub struct InvalidQuantity(String);

const SUFFIXES: [(&str, u64); 8] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1000),
];

impl Quantity {
    /// `number` GiB.
    pub const fn gibibytes(number: u64) -> Self {
        Self(number << 30)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let invalid = || InvalidQuantity(text.to_owned());
        let trimmed = text.trim();
        let (number, factor) = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((trimmed.strip_suffix(suffix)?, *factor)))
            .unwrap_or((trimmed, 1));
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(invalid)?;
        if bytes == 0 { Err(invalid()) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUFFIXES.iter().find(|(_, factor)| self.0.is_multiple_of(*factor)) {
            Some((suffix, factor)) => write!(f, "{}{suffix}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl TryFrom<String> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.to_string()
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "atlas-bytes", "pattern": "^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$" })
    }
}
