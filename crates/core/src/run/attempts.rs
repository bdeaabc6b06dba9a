//! Applying one stage: within its time, and again if that is allowed and may help.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pipeline_sdk::{
    ApplyError, CancellationToken, Context, Outputs, Progress, ProgressLevel, ResourceId, StageError,
};

use super::takeover::partly;
use crate::config::StageLimits;
use crate::node::{Node, ResolvedInputs, Session};
use crate::plan::{PlannedStage, check_approved};
use crate::state::StageRecord;

/// How long a stage that has run out of time may take to stop, before it is dropped.
const GRACE: Duration = Duration::from_secs(300);

/// Before the second attempt; doubles from there.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a call of a stage ended.
pub(super) enum Ended {
    Applied { outputs: Outputs, sealed: ResolvedInputs, changes: usize },
    Unchanged { outputs: Outputs, sealed: ResolvedInputs },
    Failed(ApplyError),
}

/// One stage that is to be applied, with all that this needs.
pub(super) struct Work {
    session: Session,
    node: Arc<Node>,
    prior: Option<StageRecord>,
    planned: PlannedStage,
    inputs: ResolvedInputs,
    /// Cancelled when the run should end.
    cancel: CancellationToken,
}

impl Work {
    pub(super) fn new(
        session: &Session,
        node: &Arc<Node>,
        prior: Option<&StageRecord>,
        planned: &PlannedStage,
        inputs: ResolvedInputs,
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            session: session.clone(),
            node: node.clone(),
            prior: prior.cloned(),
            planned: planned.clone(),
            inputs,
            cancel: cancel.clone(),
        }
    }

    /// Applies the stage as often as it may be tried.
    pub(super) async fn carry_out(self) -> Ended {
        let StageLimits { retries, .. } = self.node.limits;
        let mut attempt = 0;
        loop {
            let error = match self.attempt().await {
                Ok(ended) => return ended,
                Err(error) => error,
            };
            let may_help = matches!(error.error, StageError::Failed { .. });
            if !may_help
                || attempt == retries
                || self.cancel.is_cancelled()
                || self.session.recorder.broken().is_some()
            {
                return Ended::Failed(error);
            }
            attempt += 1;
            let whose = self.node.name.as_str();
            let pause = self.session.jitter.pause(whose, FIRST_PAUSE, attempt, LONGEST_PAUSE);
            self.warn(&error.error, attempt, pause);
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause) => {}
                () = self.cancel.cancelled() => return Ended::Failed(error),
            }
        }
    }

    fn warn(&self, error: &StageError, attempt: u32, pause: Duration) {
        let retries = self.node.limits.retries;
        let message =
            format!("{error}; tried again in {:.1} s ({attempt} of {retries})", pause.as_secs_f64());
        let progress = Progress { level: ProgressLevel::Warning, ..Progress::note(message) };
        self.context(&self.cancel).report(progress);
    }

    /// What the state knows of the stage, and what it has done in this run before.
    fn context(&self, cancel: &CancellationToken) -> Context {
        let done = self.session.recorder.done_by(&self.node.name);
        let known = (!done.is_empty()).then(|| partly(self.prior.clone(), &self.planned, &done));
        self.session.context(&self.node, known.as_ref().or(self.prior.as_ref()), cancel)
    }

    async fn attempt(&self) -> Result<Ended, ApplyError> {
        let stop = self.cancel.child_token();
        let work = self.apply(self.context(&stop));
        let Some(limit) = self.node.limits.timeout else { return work.await };
        tokio::pin!(work);
        if let Ok(ended) = tokio::time::timeout(limit, &mut work).await {
            return ended;
        }
        stop.cancel();
        let too_late =
            StageError::failed(format!("it did not end within its timeout of {limit:?} and was stopped"))
                .with_help("raise `timeout` of the stage, or look at what it waits for");
        match tokio::time::timeout(GRACE, work).await {
            // It ended after all.
            Ok(Ok(ended)) => Ok(ended),
            Ok(Err(ApplyError { so_far, .. })) => Err(ApplyError { error: too_late, so_far }),
            Err(_) => Err(too_late.into()),
        }
    }

    /// Plans the stage once more with inputs that are all known, and does what was approved.
    async fn apply(&self, context: Context) -> Result<Ended, ApplyError> {
        let (stage, inputs) = (&self.node.stage, self.inputs.clone());
        let plan = stage.plan(&context, &inputs.values).await?;
        let made = self.made();
        let new = plan.changes.iter().filter(|change| !made.contains(&change.resource));
        check_approved(&self.planned.plan, new)?;
        if plan.is_empty() {
            return Ok(Ended::Unchanged { outputs: plan.outputs, sealed: inputs });
        }
        let outputs = stage.apply(&context, &plan).await?;
        Ok(Ended::Applied { outputs, sealed: inputs, changes: plan.changes.len() })
    }

    /// What an earlier attempt has worked on: it may have to be finished in another way than begun.
    fn made(&self) -> HashSet<ResourceId> {
        self.session.recorder.done_by(&self.node.name).into_iter().map(|done| done.resource).collect()
    }
}
