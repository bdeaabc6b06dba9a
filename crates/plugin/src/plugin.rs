//! What a plugin has.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_sdk::wire::{PROTOCOL, Welcome};
use pipeline_sdk::{JsonSchema, Manifest, Notifier, NotifierKind, Stage, StageError, StageKind, schemars};
use serde::de::DeserializeOwned;

/// The stages and notifiers of a plugin.
pub struct Plugin {
    name: String,
    version: String,
    pub(crate) stages: BTreeMap<String, StageKind>,
    pub(crate) notifiers: BTreeMap<String, NotifierKind>,
}

impl Plugin {
    /// A plugin that has nothing yet.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            stages: BTreeMap::new(),
            notifiers: BTreeMap::new(),
        }
    }

    /// Adds a stage. The schemas of its inputs and outputs come from their types, whose doc comments become
    /// descriptions.
    #[must_use]
    pub fn stage<I: JsonSchema, O: JsonSchema>(
        self,
        kind: &str,
        summary: &str,
        stage: impl Stage + 'static,
    ) -> Self {
        self.stage_kind(StageKind { manifest: Manifest::of::<I, O>(kind, summary), stage: Arc::new(stage) })
    }

    /// Adds a stage with the manifest that it has.
    #[must_use]
    pub fn stage_kind(mut self, kind: StageKind) -> Self {
        self.stages.insert(kind.manifest.kind.clone(), kind);
        self
    }

    /// Adds a notifier, which `create` makes from its inputs. The schema of these comes from their type.
    #[must_use]
    pub fn notifier<I: JsonSchema + DeserializeOwned>(
        self,
        kind: &str,
        summary: &str,
        create: impl Fn(I) -> Result<Arc<dyn Notifier>, StageError> + Send + Sync + 'static,
    ) -> Self {
        #[derive(JsonSchema)]
        struct NoOutputs {}
        self.notifier_kind(NotifierKind {
            manifest: Manifest::of::<I, NoOutputs>(kind, summary),
            create: Arc::new(move |inputs| create(inputs.parse()?)),
        })
    }

    /// Adds a notifier with the manifest that it has.
    #[must_use]
    pub fn notifier_kind(mut self, kind: NotifierKind) -> Self {
        self.notifiers.insert(kind.manifest.kind.clone(), kind);
        self
    }

    pub(crate) fn welcome(&self) -> Welcome {
        Welcome {
            protocol: PROTOCOL,
            name: self.name.clone(),
            version: self.version.clone(),
            stages: self.stages.values().map(|kind| kind.manifest.clone()).collect(),
            notifiers: self.notifiers.values().map(|kind| kind.manifest.clone()).collect(),
        }
    }
}
