//! The JSON schema of the AtlasRun.

use serde_json::Value;

use crate::AtlasRun;

/// The JSON schema (2020-12) of an AtlasRun's file, for editors; `docs/reference/atlasrun.schema.json` holds it.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(AtlasRun);
    schema.insert("$id".into(), "https://atlasrun.dev/v1alpha1/atlasrun.schema.json".into());
    schema.to_value()
}
