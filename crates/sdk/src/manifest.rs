//! What a stage or notifier says of itself.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a stage or notifier says of itself, before any pipeline is read.
///
/// The schemas are JSON Schema 2020-12 of one object each, with every sub-schema inlined. The engine
/// checks `pipeline.toml` against `inputs`: unknown keys, missing keys, types, enumerations. A
/// property with `"x-secret": true` holds a secret, whose value is redacted wherever it turns up. One
/// with `"x-deployment": true` says which version of the app is deployed: `pipeline rollback --to RUN`
/// takes it from that run and plans, of all stages, those that have such a property and what builds
/// on them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The name in `uses = "…"`.
    pub kind: String,
    /// One line for lists.
    pub summary: String,
    /// What it takes.
    pub inputs: Value,
    /// What other stages can refer to. Empty for a notifier.
    #[serde(default)]
    pub outputs: Value,
    /// The events that a notifier wants, by their names in [`Event`](crate::Event), such as
    /// `run_finished`; every one if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// How many seconds a stage may take to end once it was cancelled: 10 unless given, 300 at most. One that
    /// takes longer is given up. Only read for plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
}

impl Manifest {
    /// A manifest whose schemas come from Rust types; their doc comments become descriptions.
    pub fn of<I: JsonSchema, O: JsonSchema>(kind: &str, summary: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            summary: summary.to_owned(),
            inputs: inlined_schema::<I>(),
            outputs: inlined_schema::<O>(),
            events: Vec::new(),
            grace_seconds: None,
        }
    }
}

/// The JSON Schema of `T` in one piece, without references: what the engine checks configuration against.
pub fn inlined_schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
