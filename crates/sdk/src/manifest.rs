//! What a stage or notifier says of itself, and the list of those a program knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{NotifierFactory, Stage};

/// What a stage or notifier says of itself, before any pipeline is read.
///
/// The schemas are JSON Schema 2020-12 of one object each, with every sub-schema inlined. The engine
/// checks `pipeline.toml` against `inputs`: unknown keys, missing keys, types, enumerations. A
/// property with `"x-secret": true` holds a secret, whose value is redacted wherever it turns up. One
/// with `"x-deployment": true` says which version of the app is deployed: `pipeline rollback --to RUN`
/// takes it from that run and plans, of all stages, those that have such a property and what builds
/// on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name in `uses = "…"`.
    pub kind: String,
    /// One line for lists.
    pub summary: String,
    /// What it takes.
    pub inputs: Value,
    /// What other stages can refer to. Empty for a notifier.
    pub outputs: Value,
}

impl Manifest {
    /// A manifest whose schemas come from Rust types; their doc comments become descriptions.
    pub fn of<I: JsonSchema, O: JsonSchema>(kind: &str, summary: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            summary: summary.to_owned(),
            inputs: inlined_schema::<I>(),
            outputs: inlined_schema::<O>(),
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

/// A stage and its manifest.
#[derive(Clone)]
pub struct StageKind {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The stage; shared by all nodes of this kind.
    pub stage: Arc<dyn Stage>,
}

/// A notifier's factory and its manifest.
#[derive(Clone)]
pub struct NotifierKind {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Makes one from the inputs in `[notify.NAME]`.
    pub create: NotifierFactory,
}

/// Every stage and notifier that a program knows, by the name in `uses`.
#[derive(Clone, Default)]
pub struct Registry {
    stages: BTreeMap<String, StageKind>,
    notifiers: BTreeMap<String, NotifierKind>,
}

impl Registry {
    /// Adds a stage kind; a later one of the same name replaces an earlier one.
    pub fn add_stage(&mut self, kind: StageKind) {
        self.stages.insert(kind.manifest.kind.clone(), kind);
    }

    /// Adds a notifier kind; a later one of the same name replaces an earlier one.
    pub fn add_notifier(&mut self, kind: NotifierKind) {
        self.notifiers.insert(kind.manifest.kind.clone(), kind);
    }

    /// The stage kind called `name`.
    pub fn stage(&self, name: &str) -> Option<&StageKind> {
        self.stages.get(name)
    }

    /// The notifier kind called `name`.
    pub fn notifier(&self, name: &str) -> Option<&NotifierKind> {
        self.notifiers.get(name)
    }

    /// All stage kinds, by name.
    pub fn stages(&self) -> impl Iterator<Item = &StageKind> {
        self.stages.values()
    }

    /// All notifier kinds, by name.
    pub fn notifiers(&self) -> impl Iterator<Item = &NotifierKind> {
        self.notifiers.values()
    }
}
