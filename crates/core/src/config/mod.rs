//! Reading `pipeline.toml`: all of it is checked before anything runs, and every error has a place.

mod document;
mod environment;
mod error;
mod load;
mod nodes;
mod outline;
mod place;
mod schema;
pub(crate) mod suggestion;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use pipeline_sdk::{Inputs, Isolation, PipelineId, Redactor, Registry, Schema, StageName, Value};

pub use error::{ConfigError, ConfigErrors};
pub(crate) use schema::{Written, check, property};

use crate::expression::{Scope, Template};
use crate::graph::Graph;

/// What a run does with a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Undo what the run did.
    #[default]
    Rollback,
    /// Leave everything as it is.
    Keep,
}

/// What the caller adds to the file.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// The kinds that `uses` can name; only their manifests are read here.
    pub registry: Registry,
    /// The JSON schema of `[cloud]`, which belongs to the caller.
    pub cloud_schema: Schema,
    /// Takes the place of `[pipeline] environment`.
    pub environment: Option<String>,
    /// Take the place of `[vars]`, by name. Texts are read as the type the variable has in the file.
    pub vars: BTreeMap<String, GivenVar>,
    /// What `${{ env.NAME }}` sees.
    pub env: BTreeMap<String, String>,
    /// Takes the place of `[pipeline] parallelism`.
    pub parallelism: Option<usize>,
    /// Stages and notifiers are not read: for looking at an environment, which has to work where a plugin or a variable
    /// of the environment that they need is missing.
    pub only_where: bool,
}

/// The value of a variable that does not come from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenVar {
    /// The value.
    pub text: String,
    /// What the user wrote before `=` and the value, such as `--var version`.
    pub origin: String,
}

/// A pipeline that was read and checked, for one environment.
#[derive(Clone)]
pub struct Pipeline {
    pub(crate) inner: Arc<Definition>,
}

/// What a [`Pipeline`] holds.
pub(crate) struct Definition {
    pub(crate) id: PipelineId,
    /// What it was read from.
    pub(crate) source: Source,
    /// SHA-256 of the file, in hexadecimal digits.
    pub(crate) fingerprint: String,
    pub(crate) directory: PathBuf,
    pub(crate) on_failure: OnFailure,
    pub(crate) parallelism: usize,
    /// Where states are kept, as the file says it.
    pub(crate) state: Option<String>,
    pub(crate) cloud: Value,
    pub(crate) scope: Scope,
    /// In the order of the file; the numbers of `graph` and `references` are places in it.
    pub(crate) stages: Vec<StageConfig>,
    pub(crate) by_name: HashMap<StageName, usize>,
    /// References and `needs`.
    pub(crate) graph: Graph,
    /// References alone: whose outputs a stage reads.
    pub(crate) references: Graph,
    pub(crate) notifiers: Vec<NotifierConfig>,
    /// What is amiss and no reason to stop.
    pub(crate) warnings: Vec<String>,
}

/// The file as it was read.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One `[stages.NAME]`.
pub(crate) struct StageConfig {
    pub(crate) name: StageName,
    pub(crate) kind: String,
    pub(crate) inputs: IndexMap<String, Template>,
    /// The schema of the kind's inputs.
    pub(crate) schema: Schema,
    /// The schema of the kind's outputs.
    pub(crate) outputs: Schema,
    pub(crate) limits: StageLimits,
    /// Where it runs if it is a plugin.
    pub(crate) isolation: Isolation,
}

impl Definition {
    /// Where the stage `name` runs if it is a plugin. One that is not in the file any more is kept apart.
    pub(crate) fn isolation(&self, name: &StageName) -> Isolation {
        self.by_name.get(name).map_or(Isolation::Process, |&index| self.stages[index].isolation)
    }
}

impl StageConfig {
    /// The inputs that say which version of the app is deployed.
    pub(crate) fn deployment_inputs(&self) -> impl Iterator<Item = &str> {
        let properties = self.schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let deploys =
            |(_, schema): &(&String, &Value)| schema.get("x-deployment") == Some(&Value::Bool(true));
        properties.filter(deploys).map(|(name, _)| name.as_str())
    }

    /// Whether it is the stage that deploys the app.
    pub(crate) fn deploys(&self) -> bool {
        self.deployment_inputs().next().is_some()
    }
}

/// How long a stage may take, and how often it may be tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StageLimits {
    /// For one attempt.
    pub(crate) timeout: Option<Duration>,
    /// Further attempts after one that failed.
    pub(crate) retries: u32,
}

/// One `[notify.NAME]`, evaluated.
pub(crate) struct NotifierConfig {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) inputs: Inputs,
    /// Where it runs if it is a plugin.
    pub(crate) isolation: Isolation,
    /// Whether a run that it does not hear of may not go on.
    pub(crate) required: bool,
}

impl Pipeline {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong in the file, each with its place.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigErrors::unreadable(path, &error))?;
        Self::parse(&text, path, options)
    }

    /// Checks the text of a file that is, or would be, at `path`.
    ///
    /// # Errors
    /// Everything that is wrong in the text, each with its place.
    pub fn parse(text: &str, path: &Path, options: &LoadOptions) -> Result<Self, ConfigErrors> {
        load::load(text, path, options)
            .map(|definition| Self { inner: Arc::new(definition) })
            .map_err(|errors| ConfigErrors::new(path, text, errors))
    }

    /// What the nodes of the file at `path` are, as their `uses` name it, in the order of the file. Nothing else
    /// of it is checked, and nothing is loaded.
    ///
    /// # Errors
    /// It cannot be read, or is no TOML.
    pub fn uses(path: &Path) -> Result<Vec<String>, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigErrors::unreadable(path, &error))?;
        load::all_uses(&text).map_err(|errors| ConfigErrors::new(path, &text, errors))
    }

    /// Which app and environment.
    pub fn id(&self) -> &PipelineId {
        &self.inner.id
    }

    /// The `[cloud]` table for this environment, evaluated and valid by the caller's schema.
    pub fn cloud(&self) -> &Value {
        &self.inner.cloud
    }

    /// The folder of the file: relative paths in inputs start here.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Where the file wants states, locks and journals to be kept: a folder, or a URL that the caller knows.
    pub fn state(&self) -> Option<&str> {
        self.inner.state.as_deref()
    }

    /// What a run does with a failure.
    pub fn on_failure(&self) -> OnFailure {
        self.inner.on_failure
    }

    /// The names and kinds of the stages, in an order in which each comes after all it waits for.
    pub fn stages(&self) -> impl Iterator<Item = (&StageName, &str)> {
        let stages = &self.inner.stages;
        self.inner.graph.order().iter().map(|&i| (&stages[i].name, stages[i].kind.as_str()))
    }

    /// The stages that `name` waits for, by reference or `needs`.
    pub fn needs(&self, name: &StageName) -> Vec<&StageName> {
        let Some(&index) = self.inner.by_name.get(name) else { return Vec::new() };
        self.inner.graph.before(index).iter().map(|&i| &self.inner.stages[i].name).collect()
    }

    /// What is amiss in the file and no reason to stop, one line each.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.inner.warnings.iter().map(String::as_str)
    }

    /// Knows the secrets of this pipeline. Whoever writes anything about it asks it first.
    pub fn redactor(&self) -> &Redactor {
        &self.inner.scope.redactor
    }
}
