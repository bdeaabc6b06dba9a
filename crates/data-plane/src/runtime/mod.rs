//! Task runtimes: what turns a task definition into something that listens on an address.
//!
//! Three of them behind one trait: Docker containers, plain processes in an unpacked image where
//! there is no Docker, and simulated tasks that answer by themselves for tests and rehearsals.

mod address;
mod docker;
mod error;
mod process;
mod simulated;
mod task;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

use crate::image::Images;

pub use address::AddressBook;
pub use docker::DockerRuntime;
pub use error::RuntimeError;
pub use process::ProcessRuntime;
pub use simulated::SimulatedRuntime;
pub use task::{
    ContainerSpec, HealthCheck, LogSink, PortSpec, Started, StartedContainer, TaskEvent, TaskExit, TaskSpec,
    Transport,
};

/// Runs tasks. Events of all tasks go to the channel given in [`Options`].
#[async_trait]
pub trait TaskRuntime: Send + Sync + std::fmt::Debug {
    /// `docker`, `process` or `simulated`.
    fn name(&self) -> &'static str;

    /// Starts all containers of a task, in order. Whatever an earlier attempt at the same task id
    /// left behind is removed first; when one container fails, the others are removed again.
    ///
    /// # Errors
    /// See [`RuntimeError`]; [`RuntimeError::is_retryable`] tells the task's fault from the
    /// runtime's.
    async fn start(&self, task: &TaskSpec) -> Result<Started, RuntimeError>;

    /// Ends a task: SIGTERM to every container, SIGKILL after `grace`, then removal. Returns when
    /// nothing of it is left; its exits are reported before. A task that is not there is fine.
    ///
    /// # Errors
    /// [`RuntimeError::Unavailable`]: nothing is known, call again.
    async fn stop(&self, task: &str, grace: Duration) -> Result<(), RuntimeError>;

    /// Called once after the cloud came back: `known` are the tasks it believes to be running.
    /// Those found are watched again (exits that nobody saw are reported as events); everything of
    /// this cloud that is not among them is removed. Returns the ids that were found.
    ///
    /// # Errors
    /// [`RuntimeError::Unavailable`]: nothing is known, call again.
    async fn adopt(&self, known: &[TaskSpec]) -> Result<Vec<String>, RuntimeError>;

    /// Ids of all tasks of this cloud that have a running container, sorted.
    ///
    /// # Errors
    /// [`RuntimeError::Unavailable`].
    async fn list(&self) -> Result<Vec<String>, RuntimeError>;

    /// Removes every task of this cloud, at once, and what was unpacked or loaded for them.
    ///
    /// # Errors
    /// [`RuntimeError::Unavailable`]: nothing is known, call again.
    async fn remove_all(&self) -> Result<(), RuntimeError>;
}

/// What every runtime needs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tells the tasks of this cloud from those of others on the same machine: lower-case letters,
    /// digits and dashes. The same after a restart.
    pub cloud_id: String,
    /// A directory of the runtime's own, kept over restarts.
    pub directory: PathBuf,
    /// Where images come from.
    pub images: Images,
    /// Where events go.
    pub events: UnboundedSender<TaskEvent>,
}

/// Which runtime to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Docker if its daemon answers, else processes.
    Detect,
    /// Docker or nothing.
    Docker,
    /// Processes in unpacked images.
    Process,
    /// Tasks that only pretend.
    Simulated,
}

/// Opens a runtime.
///
/// # Errors
/// When it was asked for by name and is not there.
pub async fn open(kind: RuntimeKind, options: Options) -> Result<Arc<dyn TaskRuntime>, RuntimeError> {
    match kind {
        RuntimeKind::Docker => Ok(Arc::new(DockerRuntime::connect(options).await?)),
        RuntimeKind::Process => Ok(Arc::new(ProcessRuntime::open(options)?)),
        RuntimeKind::Simulated => Ok(Arc::new(SimulatedRuntime::new(options))),
        RuntimeKind::Detect => match DockerRuntime::connect(options.clone()).await {
            Ok(docker) => Ok(Arc::new(docker)),
            Err(error) => {
                tracing::info!(%error, "tasks run as processes");
                Ok(Arc::new(ProcessRuntime::open(options)?))
            }
        },
    }
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;
