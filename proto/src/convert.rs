//! Conversions between wire messages and domain types.

use atlas_domain::{InvalidId, Target, TargetId, UnknownKind, Usage};

use crate::v1;

/// A target on the wire that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Its label, or one that it refers to, cannot be a label.
    #[error("target `{target}`: {cause}")]
    Id {
        /// The target's label as it came.
        target: String,
        /// What is wrong.
        cause: InvalidId,
    },
    /// Its kind is unknown.
    #[error("target `{target}`: {cause}")]
    Kind {
        /// The target's label as it came.
        target: String,
        /// What is wrong.
        cause: UnknownKind,
    },
}

impl From<&Target> for v1::Target {
    fn from(target: &Target) -> Self {
        let ids = |ids: &[TargetId]| ids.iter().map(ToString::to_string).collect();
        Self {
            id: target.id.to_string(),
            kind: target.kind.to_string(),
            chapter: target.chapter.clone(),
            title: target.title.clone(),
            statement: target.statement.clone(),
            proof: target.proof.clone(),
            statement_depends_on: ids(&target.statement_depends_on),
            proof_depends_on: ids(&target.proof_depends_on),
            declaration: target.declaration.clone(),
            module: target.module.clone(),
            line: target.line,
            source: target.source.clone(),
            parent: target.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

impl From<Target> for v1::Target {
    fn from(target: Target) -> Self {
        Self::from(&target)
    }
}

impl TryFrom<v1::Target> for Target {
    type Error = InvalidTarget;

    fn try_from(target: v1::Target) -> Result<Self, InvalidTarget> {
        let id = |name: &str| {
            TargetId::new(name).map_err(|cause| InvalidTarget::Id { target: target.id.clone(), cause })
        };
        let ids = |names: &[String]| names.iter().map(|name| id(name)).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            id: id(&target.id)?,
            kind: target
                .kind
                .parse()
                .map_err(|cause| InvalidTarget::Kind { target: target.id.clone(), cause })?,
            statement_depends_on: ids(&target.statement_depends_on)?,
            proof_depends_on: ids(&target.proof_depends_on)?,
            parent: if target.parent.is_empty() { None } else { Some(id(&target.parent)?) },
            chapter: target.chapter,
            title: target.title,
            statement: target.statement,
            proof: target.proof,
            declaration: target.declaration,
            module: target.module,
            line: target.line,
            source: target.source,
        })
    }
}

impl From<Usage> for v1::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            cost_microdollars: usage.cost_microdollars,
            model_calls: usage.model_calls,
        }
    }
}

impl From<v1::Usage> for Usage {
    fn from(usage: v1::Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            cost_microdollars: usage.cost_microdollars,
            model_calls: usage.model_calls,
        }
    }
}
