//! What a stage is told about the run it takes part in, and whom it can call.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::wire::AwsAccess;
use crate::{
    Action, Done, Inputs, Link, Outputs, Progress, ProgressLevel, Recorded, ResourceId, RunId, StageError,
    StageName,
};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Make the world as the inputs say.
    Converge,
    /// Remove everything the stage owns.
    Destroy,
    /// Report how the world differs from what the stage last made; never applied.
    Refresh,
}

/// Which app, in which environment. Every resource's name starts from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineId {
    /// `[pipeline] name`.
    pub name: String,
    /// The environment, such as `staging`.
    pub environment: String,
}

impl PipelineId {
    /// The canonical name, `{name}-{environment}`: what resources are called unless told otherwise.
    pub fn canonical(&self) -> String {
        format!("{}-{}", self.name, self.environment)
    }
}

/// What the environment's state remembers of this stage from earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prior {
    /// The outputs and resources of the last successful apply.
    pub outputs: Outputs,
}

impl Prior {
    /// The remembered resource with this id.
    pub fn resource(&self, id: &ResourceId) -> Option<&Recorded> {
        self.outputs.resources.iter().find(|recorded| recorded.id == *id)
    }
}

/// Takes what a running stage has to say.
pub trait ProgressSink: Send + Sync {
    /// Takes one message. Never blocks.
    fn progress(&self, stage: &StageName, progress: Progress);
}

/// Makes side effects durable: the stage's side of the journal.
#[async_trait]
pub trait Recorder: Send + Sync {
    /// Returns once the intent is durable; only then may the side effect begin. The number names
    /// the intent in [`Recorder::done`].
    async fn intent(&self, stage: &StageName, intent: Done) -> Result<u64, StageError>;
    /// Records what the side effect left.
    async fn done(&self, stage: &StageName, intent: u64, after: serde_json::Value) -> Result<(), StageError>;
}

/// What only the host of a plugin can do for it.
#[async_trait]
pub trait HostServices: Send + Sync {
    /// How to reach AWS as the rest of the pipeline does.
    ///
    /// # Errors
    /// There are no credentials.
    async fn aws(&self) -> Result<AwsAccess, StageError>;
}

/// The fields of a [`Context`], for the engine that makes one.
#[derive(Clone)]
pub struct ContextParts {
    /// The stage that is called.
    pub stage: StageName,
    /// The run it is called in.
    pub run: RunId,
    /// Which app and environment.
    pub pipeline: PipelineId,
    /// The folder of `pipeline.toml`: relative paths in inputs start here.
    pub directory: PathBuf,
    /// What the plan is for.
    pub mode: Mode,
    /// What the state remembers.
    pub prior: Option<Prior>,
    /// Cancelled when the run should end.
    pub cancel: CancellationToken,
    /// Where progress goes.
    pub sink: Arc<dyn ProgressSink>,
    /// Where intents go.
    pub recorder: Arc<dyn Recorder>,
    /// For a rollback, the inputs that the run was planned with, as far as they are still known.
    pub inputs: Option<Inputs>,
    /// What the host does for a plugin; nothing for a stage that is built in.
    pub services: Option<Arc<dyn HostServices>>,
}

/// What a stage is told about the run it takes part in, and whom it can call.
#[derive(Clone)]
pub struct Context {
    parts: Arc<ContextParts>,
}

impl From<ContextParts> for Context {
    fn from(parts: ContextParts) -> Self {
        Self { parts: Arc::new(parts) }
    }
}

impl Context {
    /// The name of the stage in the pipeline.
    pub fn stage(&self) -> &StageName {
        &self.parts.stage
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.parts.run
    }

    /// Which app and environment.
    pub fn pipeline(&self) -> &PipelineId {
        &self.parts.pipeline
    }

    /// The folder of `pipeline.toml`: relative paths in inputs start here.
    pub fn directory(&self) -> &std::path::Path {
        &self.parts.directory
    }

    /// What the plan is for.
    pub fn mode(&self) -> Mode {
        self.parts.mode
    }

    /// What the state remembers of this stage; nothing before its first apply.
    pub fn prior(&self) -> Option<&Prior> {
        self.parts.prior.as_ref()
    }

    /// In a rollback, the inputs that the run was planned with, as far as they are still known: one that came from
    /// another stage, or from a variable that is not set any more, is missing. What undoing needs in any case
    /// belongs into the intents.
    pub fn inputs(&self) -> Option<&Inputs> {
        self.parts.inputs.as_ref()
    }

    /// Cancelled when the run should end: stop at the next point that leaves nothing half done.
    pub fn cancel(&self) -> &CancellationToken {
        &self.parts.cancel
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// A key that is the same whenever this stage of this run asks for it under this `purpose`,
    /// also after a crash: for requests that AWS makes idempotent by a client token.
    ///
    /// 32 hexadecimal digits.
    pub fn idempotency_key(&self, purpose: &str) -> String {
        let ContextParts { run, stage, .. } = self.parts.as_ref();
        let digest = Sha256::digest(format!("{run}/{stage}/{purpose}"));
        let mut digits = [0; 32];
        // `hex::encode` takes each digit through an iterator: what every call of a plugin pays for.
        let _ = hex::encode_to_slice(&digest[..16], &mut digits);
        String::from_utf8_lossy(&digits).into_owned()
    }

    /// How to reach AWS as the rest of the pipeline does: for plugins, which have no clients of the host.
    ///
    /// # Errors
    /// There are no credentials, or the stage is no plugin.
    pub async fn aws(&self) -> Result<AwsAccess, StageError> {
        match &self.parts.services {
            Some(services) => services.aws().await,
            None => Err(StageError::failed("only plugins get access to AWS from their host")),
        }
    }

    /// Says something that matters while the stage runs, and only then.
    pub fn note(&self, message: impl Into<String>) {
        self.report(Progress::note(message));
    }

    /// Says something worth telling people who are not watching: notifiers get it.
    pub fn milestone(&self, message: impl Into<String>, link: Option<Link>) {
        self.report(Progress { level: ProgressLevel::Milestone, link, ..Progress::note(message) });
    }

    /// Reports progress.
    pub fn report(&self, progress: Progress) {
        self.parts.sink.progress(&self.parts.stage, progress);
    }

    /// Records durably what is about to be done to `resource`. `before` is all that is needed to
    /// undo it.
    pub async fn intent(
        &self,
        resource: ResourceId,
        action: Action,
        before: Option<serde_json::Value>,
    ) -> Result<u64, StageError> {
        let intent = Done { resource, action, before, after: None };
        self.parts.recorder.intent(&self.parts.stage, intent).await
    }

    /// Records what came of an intent.
    pub async fn done(&self, intent: u64, after: serde_json::Value) -> Result<(), StageError> {
        self.parts.recorder.done(&self.parts.stage, intent, after).await
    }
}

/// Drops progress and remembers nothing: for tests and for tools that call a stage by itself.
pub struct NullSink;

impl ProgressSink for NullSink {
    fn progress(&self, _stage: &StageName, _progress: Progress) {}
}

#[async_trait]
impl Recorder for NullSink {
    async fn intent(&self, _stage: &StageName, _intent: Done) -> Result<u64, StageError> {
        Ok(0)
    }
    async fn done(&self, _: &StageName, _: u64, _: serde_json::Value) -> Result<(), StageError> {
        Ok(())
    }
}
