//! What a stage or notifier says of itself.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

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
/// on them. An output with `"x-if-unused": "what is amiss then"` is there for other stages: a pipeline in which none
/// refers to it works, with that warning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The name in `uses = "…"`.
    pub kind: String,
    /// One line for lists.
    pub summary: String,
    /// What it takes.
    pub inputs: Schema,
    /// What other stages can refer to. Empty for a notifier.
    #[serde(default)]
    pub outputs: Schema,
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
            inputs: Schema::of::<I>(),
            outputs: Schema::of::<O>(),
            events: Vec::new(),
            grace_seconds: None,
        }
    }
}

/// A JSON Schema 2020-12 in one piece, with every sub-schema inlined. Copies share it.
///
/// That of a Rust type is made when somebody reads it: a command that deals with one kind has no use for the schemas
/// of the others.
#[derive(Clone)]
pub struct Schema(Arc<LazyLock<Value, Made>>);

type Made = Box<dyn FnOnce() -> Value + Send>;

impl Schema {
    /// The schema of `T`.
    pub fn of<T: JsonSchema>() -> Self {
        Self::made_by(Box::new(inlined_schema::<T> as fn() -> Value))
    }

    fn made_by(make: Made) -> Self {
        Self(Arc::new(LazyLock::new(make)))
    }
}

impl From<Value> for Schema {
    fn from(schema: Value) -> Self {
        Self::made_by(Box::new(|| schema))
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self::from(Value::Null)
    }
}

impl Deref for Schema {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::fmt(self, f)
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Serialize for Schema {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

/// In a schema, a schema is any value.
impl JsonSchema for Schema {
    fn inline_schema() -> bool {
        Value::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Value::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Value::json_schema(generator)
    }
}

fn inlined_schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_made_once_and_only_for_a_reader() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = made.clone();
        let schema = Schema::made_by(Box::new(move || json!(counted.fetch_add(1, Ordering::SeqCst))));
        let copy = schema.clone();
        assert_eq!(made.load(Ordering::SeqCst), 0);
        assert_eq!((&*schema, &*copy), (&json!(0), &json!(0)));
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn in_json_it_is_the_schema_itself() {
        let manifest =
            Manifest { inputs: json!({ "type": "object" }).into(), ..Manifest::of::<u8, String>("k", "s") };
        let text = serde_json::to_value(&manifest).unwrap();
        assert_eq!(text["inputs"], json!({ "type": "object" }));
        assert_eq!(text["outputs"]["type"], "string");
        assert_eq!(serde_json::from_value::<Manifest>(text).unwrap(), manifest);
    }
}
