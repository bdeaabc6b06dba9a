//! Every stage and notifier that a program knows, built in or loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Manifest, NotifierFactory, Stage, StageError};

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

/// Where a plugin runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isolation {
    /// A library in the process of the engine.
    #[default]
    None,
    /// A library in a process of its own, which can be ended and whose crash is an error. An executable
    /// always has one.
    Process,
}

/// Why there is no such kind.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// Nobody knows it.
    #[error("there is no such kind")]
    Unknown,
    /// It is a plugin, and cannot be used.
    #[error(transparent)]
    Plugin(#[from] StageError),
}

/// Finds the kinds that a program was not built with: plugins.
pub trait PluginSource: Send + Sync {
    /// The stage that `uses` names. The same question has the same answer as long as the source lives.
    ///
    /// # Errors
    /// [`KindError::Unknown`] if `uses` does not have the form of a plugin's name.
    fn stage(&self, uses: &str, isolation: Isolation) -> Result<Arc<StageKind>, KindError>;

    /// The notifier that `uses` names.
    ///
    /// # Errors
    /// As [`PluginSource::stage`].
    fn notifier(&self, uses: &str, isolation: Isolation) -> Result<Arc<NotifierKind>, KindError>;
}

/// Every stage and notifier that a program knows, by the name in `uses`.
#[derive(Clone, Default)]
pub struct Registry {
    stages: BTreeMap<String, Arc<StageKind>>,
    notifiers: BTreeMap<String, Arc<NotifierKind>>,
    plugins: Option<Arc<dyn PluginSource>>,
}

impl Registry {
    /// Adds a stage kind; a later one of the same name replaces an earlier one.
    pub fn add_stage(&mut self, kind: StageKind) {
        self.stages.insert(kind.manifest.kind.clone(), Arc::new(kind));
    }

    /// Adds a notifier kind; a later one of the same name replaces an earlier one.
    pub fn add_notifier(&mut self, kind: NotifierKind) {
        self.notifiers.insert(kind.manifest.kind.clone(), Arc::new(kind));
    }

    /// Asks `plugins` for what is not built in.
    pub fn set_plugins(&mut self, plugins: Arc<dyn PluginSource>) {
        self.plugins = Some(plugins);
    }

    /// The stage kind that `uses` names.
    ///
    /// # Errors
    /// There is none, or it is a plugin that cannot be used.
    pub fn stage(&self, uses: &str, isolation: Isolation) -> Result<Arc<StageKind>, KindError> {
        match (self.stages.get(uses), &self.plugins) {
            (Some(kind), _) => Ok(Arc::clone(kind)),
            (None, Some(plugins)) => plugins.stage(uses, isolation),
            (None, None) => Err(KindError::Unknown),
        }
    }

    /// The notifier kind that `uses` names.
    ///
    /// # Errors
    /// There is none, or it is a plugin that cannot be used.
    pub fn notifier(&self, uses: &str, isolation: Isolation) -> Result<Arc<NotifierKind>, KindError> {
        match (self.notifiers.get(uses), &self.plugins) {
            (Some(kind), _) => Ok(Arc::clone(kind)),
            (None, Some(plugins)) => plugins.notifier(uses, isolation),
            (None, None) => Err(KindError::Unknown),
        }
    }

    /// Whether `uses` is a kind that the program was built with.
    pub fn is_built_in(&self, uses: &str) -> bool {
        self.stages.contains_key(uses) || self.notifiers.contains_key(uses)
    }

    /// All built-in stage kinds, by name.
    pub fn stages(&self) -> impl Iterator<Item = &StageKind> {
        self.stages.values().map(Arc::as_ref)
    }

    /// All built-in notifier kinds, by name.
    pub fn notifiers(&self) -> impl Iterator<Item = &NotifierKind> {
        self.notifiers.values().map(Arc::as_ref)
    }
}
