//! The traits that stages and notifiers implement.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{ApplyError, Context, Done, EventRecord, Inputs, NotifyError, Outputs, StageError, StagePlan};

/// A node of the graph.
///
/// One value serves every stage of its kind in a pipeline and every call at once: a stage keeps no
/// state between calls. What a call needs is in its arguments.
#[async_trait]
pub trait Stage: Send + Sync {
    /// Compares the world with `inputs` by reading only.
    ///
    /// Inputs may be unknown ([`Maybe`](crate::Maybe)). The engine plans again once they are known
    /// and refuses a plan that then does more than was shown. With [`Mode::Destroy`](crate::Mode) the
    /// plan removes what the stage owns; with [`Mode::Refresh`](crate::Mode) it reports drift.
    async fn plan(&self, cx: &Context, inputs: &Inputs) -> Result<StagePlan, StageError>;

    /// Does what `plan` says and nothing else.
    ///
    /// Before each side effect it records an intent ([`Context::intent`]), afterwards the result
    /// ([`Context::done`]). It may be called again with the same plan after a crash: what is already
    /// as planned is left alone.
    async fn apply(&self, cx: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError>;

    /// Undoes `done`, last first. Called again after a crash it goes on where it stopped.
    async fn rollback(&self, cx: &Context, done: &[Done]) -> Result<(), StageError>;
}

/// Receives the events of runs; changes nothing in the world that the run works on.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers one event. The engine calls it in order, retries what is retryable, and never lets
    /// a slow or failing notifier delay a run.
    async fn notify(&self, event: &EventRecord) -> Result<(), NotifyError>;
}

/// Makes a notifier from its inputs, which are all known.
pub type NotifierFactory = Arc<dyn Fn(&Inputs) -> Result<Arc<dyn Notifier>, StageError> + Send + Sync>;
