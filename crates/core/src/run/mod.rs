//! One run: it locks the environment, plans, applies, and ends with a report.

mod attempts;
mod begin;
mod execute;
mod execution;
mod ownership;
mod recognise;
mod report;
mod rollback;
mod save;
mod saved;
mod takeover;
mod target;
mod undo;

use std::sync::Arc;
use std::time::Instant;

use pipeline_sdk::{Event, Mode, Registry, RunId, RunOutcome};

pub use begin::Engine;
pub use report::{RunReport, StageReport};
pub use takeover::Newest;
pub use target::Target;
pub(crate) use target::redacted;
pub(crate) use undo::Deployed;
pub use undo::Undoing;

use crate::cancel::Cancellation;
use crate::failure::StageFailure;
use crate::journal::Entry;
use crate::lifecycle::{IllegalTransition, RunEvent, RunState};
use crate::node::{Nodes, Session};
use crate::plan::{Plan, PlanFailure, PlannedStage, plan_all};
use crate::recorder::Unrecordable;
use crate::state::{State, StateError};
use crate::store::{StateLock, StoreError};
use ownership::shared_resources;

/// Why a run could not begin or plan.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store refused, or another run holds the lock.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot be read.
    #[error("the state {place} {source}")]
    State {
        /// The state.
        place: String,
        /// What is wrong with it.
        source: StateError,
    },
    /// The state cannot be written as JSON.
    #[error("the state of this run {0}")]
    Unwritable(#[from] StateError),
    /// The store broke while it saved.
    #[error("the state store broke while it saved: {0}")]
    SavePanicked(String),
    /// The state is not the one of this pipeline.
    #[error(
        "the state of `{environment}` belongs to the pipeline `{found}`, not to `{wanted}`; \
             a pipeline cannot be renamed: destroy it under its old name first; a second pipeline in this folder \
             needs another environment, or a place of its own for its state (`[pipeline] state`, PIPELINE_STATE)"
    )]
    OtherPipeline {
        /// The environment.
        environment: String,
        /// The name in the state.
        found: String,
        /// The name in the file.
        wanted: String,
    },
    /// What the environment has is somewhere else.
    #[error(
        "what `{environment}` has is in another place ({found}) than the one that [cloud] and the credentials name \
         ({wanted}), so nothing of it can be changed from here. Name that place again, give this one an \
         environment of its own (`--environment`), or destroy there what is not wanted any more; if that place is \
         gone, move the state out of the way, {state}, with the journals in `runs` beside it"
    )]
    OtherTarget {
        /// The environment.
        environment: String,
        /// Where its state, or the run that was cut off, says it is.
        found: String,
        /// Where this run works.
        wanted: String,
        /// The state.
        state: String,
    },
    /// A notifier cannot be made.
    #[error("notifier `{name}`: {message}")]
    Notifier {
        /// The notifier.
        name: String,
        /// Whether it refused its inputs.
        input: bool,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// A notifier that is required did not take what happened.
    #[error("the required notifier `{name}` does not take events, so nothing was changed: {message}")]
    Unheard {
        /// The notifier.
        name: String,
        /// Why.
        message: String,
    },
    /// Stages that could not be planned, all of them.
    #[error("{}", failed_stages(.0))]
    Plan(Vec<StageFailure>),
    /// A plan that cannot be applied any more, or never could be.
    #[error("{0}; make a new plan")]
    StalePlan(String),
    /// The journal of an earlier run cannot be read or closed.
    #[error("the journal {place} of an earlier run: {source}")]
    Journal {
        /// The journal.
        place: String,
        /// What is wrong with it.
        source: crate::journal::JournalError,
    },
    /// The run can record nothing more.
    #[error(transparent)]
    Unrecordable(#[from] Unrecordable),
    /// There is nothing that a rollback could undo.
    #[error("there is nothing to undo: {0}")]
    NothingToUndo(String),
    /// What is to be brought back was never there.
    #[error("nothing can be brought back: {0}; `pipeline history` lists the runs")]
    NothingToDeploy(String),
    /// What an earlier run had begun could not be undone.
    #[error("run {run} was cut off, and undoing it failed: {reason}; `pipeline status` says what is left")]
    NotUndone {
        /// The earlier run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// The run was cancelled before anything was changed.
    #[error("cancelled; nothing was changed")]
    Cancelled,
    /// The engine was called in a wrong order, or is wrong itself.
    #[error(transparent)]
    Defect(#[from] Defect),
}

/// The engine was called in a wrong order, or is wrong itself.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Defect(#[from] IllegalTransition);

impl From<IllegalTransition> for EngineError {
    fn from(error: IllegalTransition) -> Self {
        Self::Defect(Defect(error))
    }
}

fn failed_stages(failures: &[StageFailure]) -> String {
    match failures {
        [only] => only.to_string(),
        several => format!("{} stages could not be planned", several.len()),
    }
}

/// A run that began. It holds the lock of its environment until it is dropped.
pub struct Run {
    session: Session,
    registry: Registry,
    lock: Arc<dyn StateLock>,
    state: State,
    /// The state that undoing the run leads back to.
    before: State,
    /// What it brings back, instead of what the file says.
    redeploys: Option<Deployed>,
    cancel: Cancellation,
    life: RunState,
    /// The run that has to be undone before what this one plans can be done.
    undone_first: Option<RunId>,
    since: Instant,
    /// Whether it is the last to use the lock.
    last: bool,
}

impl Run {
    /// The run's id.
    pub fn id(&self) -> RunId {
        self.session.run
    }

    /// The state the run began with.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Plans every stage; nothing is changed.
    ///
    /// # Errors
    /// The run has ended then: every stage that could not be planned is named.
    pub async fn plan(&mut self, mode: Mode) -> Result<Plan, EngineError> {
        self.plan_like(mode, None).await
    }

    async fn plan_like(&mut self, mode: Mode, saved: Option<&Plan>) -> Result<Plan, EngineError> {
        self.life = self.life.next(RunEvent::Plan)?;
        let planned = async {
            if mode == Mode::Destroy {
                self.recognise().await;
            }
            let plan = self.try_plan(mode).await?;
            match saved.and_then(|saved| saved.difference(&plan)) {
                Some(difference) => Err(EngineError::StalePlan(difference)),
                None => Ok(plan),
            }
        };
        match planned.await {
            Ok(plan) => {
                self.life = self.life.next(RunEvent::PlanReady)?;
                self.session.emitter.emit(Event::Planned { changes: plan.changes().count() });
                Ok(plan)
            }
            Err(error) => {
                let event = match error {
                    EngineError::Cancelled => RunEvent::CancelRequested,
                    _ => RunEvent::PlanFailed,
                };
                if event == RunEvent::CancelRequested {
                    self.session.emitter.emit(Event::CancelRequested { cause: self.cancel.cause() });
                }
                self.life = self.life.next(event)?;
                self.end_before_apply(Some(error.to_string())).await;
                Err(error)
            }
        }
    }

    async fn try_plan(&self, mode: Mode) -> Result<Plan, EngineError> {
        let nodes = self.nodes(mode)?;
        let planned = plan_all(&self.session, &nodes, &self.state, &self.cancel).await;
        let mut planned: Vec<_> = match planned {
            Ok(planned) => planned.into_iter().map(Some).collect(),
            Err(PlanFailure::Stages(failures)) => return Err(self.not_planned(failures)),
            Err(PlanFailure::Cancelled) => {
                let unheard = self.session.emitter.unheard();
                let why = unheard.map(|(name, message)| EngineError::Unheard { name, message });
                return Err(why.unwrap_or(EngineError::Cancelled));
            }
        };
        let redactor = &self.session.definition.scope.redactor;
        let mut stages = Vec::with_capacity(planned.len());
        for &index in nodes.order.order() {
            let Some(planned) = planned.get_mut(index).and_then(Option::take) else { continue };
            let node = &nodes.list[index];
            stages.push(PlannedStage {
                name: node.name.clone(),
                kind: node.kind.clone(),
                mode: node.mode,
                inputs: planned.sealed,
                needs: node.needs.clone(),
                plan: frozen(planned.plan, redactor),
            });
        }
        let plan = Plan {
            run: self.session.run,
            mode,
            pipeline: self.session.definition.id.clone(),
            serial: self.state.serial,
            configuration: self.session.definition.fingerprint.clone(),
            target: self.state.target.clone(),
            stages,
        };
        match shared_resources(&plan) {
            failures if failures.is_empty() => Ok(plan),
            failures => Err(self.not_planned(failures)),
        }
    }

    fn nodes(&self, mode: Mode) -> Result<Nodes, EngineError> {
        let definition = &self.session.definition;
        let nodes = match &self.redeploys {
            None => Nodes::new(definition, &self.registry, &self.state, mode),
            Some(deployed) => Nodes::redeploying(definition, &self.registry, &self.state, deployed),
        };
        nodes.map_err(|failures| self.not_planned(failures))
    }

    fn not_planned(&self, failures: Vec<StageFailure>) -> EngineError {
        EngineError::Plan(self.session.definition.tellable(failures))
    }

    /// Does what `plan` says. On a failure what was done is undone, as the pipeline asks for.
    ///
    /// Every way this can end is in the report.
    pub async fn apply(mut self, plan: Plan) -> RunReport {
        let prepared = match self.prepare(&plan) {
            Ok(nodes) => self.required_have_heard(&plan).await.map(|()| nodes),
            Err(error) => Err(error),
        };
        let report = match prepared {
            Ok(nodes) => {
                let plan = self.session.recorder.note_plan(plan);
                self.execute(plan, &nodes).await
            }
            Err(error) => self.failed_report(&error),
        };
        self.end(report).await
    }

    /// Nothing is changed before those who have to know of it do.
    async fn required_have_heard(&self, plan: &Plan) -> Result<(), EngineError> {
        if plan.is_empty() {
            return Ok(());
        }
        let emitter = &self.session.emitter;
        let heard = tokio::select! {
            biased;
            heard = emitter.required_have_heard() => heard,
            // One that misses something asks to stop as well.
            () = self.cancel.requested() => emitter.unheard().map_or(Ok(()), Err),
        };
        heard.map_err(|(name, message)| EngineError::Unheard { name, message })?;
        if self.cancel.is_requested() {
            emitter.emit(Event::CancelRequested { cause: self.cancel.cause() });
            return Err(EngineError::Cancelled);
        }
        Ok(())
    }

    /// Ends the run as `report` says, without the secrets that its errors may hold.
    async fn end(&mut self, mut report: RunReport) -> RunReport {
        let redactor = &self.session.definition.scope.redactor;
        report.error = report.error.map(|error| redactor.text(&error));
        report.help = report.help.map(|help| redactor.text(&help));
        report.left_over = report.left_over.iter().map(|line| redactor.text(line)).collect();
        self.life = RunState::Ended(report.outcome);
        // A run that could not save is not over: the next one has to look after it.
        if report.emergency.is_none() {
            let (left_over, error) = (report.left_over.clone(), report.error.clone());
            self.record(Entry::Ended { outcome: report.outcome, left_over, error }).await;
        }
        self.finished(report.error.clone(), report.left_over.clone()).await;
        report
    }

    /// A failure to record the end is no failure of the run: the next one finds that nothing is left to do.
    async fn record(&self, end: Entry) {
        if let Err(why) = self.session.recorder.write(end).await {
            self.session.emitter.warn(format!("the end of the run was not recorded: {why}"));
        }
    }

    /// Checks that `plan` is still the one to apply.
    fn prepare(&mut self, plan: &Plan) -> Result<Nodes, EngineError> {
        self.life = self.life.next(RunEvent::Apply)?;
        plan.check_origin(&self.session.definition, &self.state)?;
        let nodes = self.nodes(plan.mode)?;
        let same = nodes.list.len() == plan.stages.len()
            && plan.stages.iter().zip(nodes.order.order()).all(|(stage, &index)| {
                let node = &nodes.list[index];
                (&stage.name, &stage.kind, stage.mode) == (&node.name, &node.kind, node.mode)
            });
        if !same {
            return Err(EngineError::StalePlan(
                "the pipeline was changed since the plan was made".to_owned(),
            ));
        }
        Ok(nodes)
    }

    /// Ends a run whose plan the user does not want.
    pub async fn decline(mut self) {
        if let Ok(life) = self.life.next(RunEvent::CancelRequested) {
            self.life = life;
            self.end_before_apply(None).await;
        }
    }

    /// Ends a run that has changed nothing.
    async fn end_before_apply(&self, error: Option<String>) {
        if let RunState::Ended(outcome) = self.life {
            self.record(Entry::Ended { outcome, left_over: Vec::new(), error: error.clone() }).await;
        }
        self.finished(error, Vec::new()).await;
    }

    /// Ends a run that was only to plan.
    pub async fn close(mut self, plan: Option<&Plan>) -> RunOutcome {
        let event = RunEvent::Close { changes: plan.is_some_and(|plan| !plan.is_empty()) };
        match (self.life, self.life.next(event)) {
            (RunState::Ended(outcome), _) => outcome,
            (_, Ok(RunState::Ended(outcome))) => {
                self.life = RunState::Ended(outcome);
                self.end_before_apply(None).await;
                outcome
            }
            _ => RunOutcome::Failed,
        }
    }

    fn failed_report(&self, error: &EngineError) -> RunReport {
        let cancelled = matches!(error, EngineError::Cancelled);
        RunReport {
            run: self.session.run,
            outcome: if cancelled { RunOutcome::Cancelled } else { RunOutcome::Failed },
            stages: Vec::new(),
            outputs: execution::outputs_of(&self.state),
            changes: 0,
            error: Some(error.to_string()),
            help: None,
            left_over: Vec::new(),
            emergency: None,
        }
    }

    /// Gives the lock back, tells that the run ended, and waits for the notifiers within their limit.
    async fn finished(&self, error: Option<String>, left_over: Vec<String>) {
        let RunState::Ended(outcome) = self.life else { return };
        let emitter = &self.session.emitter;
        if self.last
            && let Err(error) = self.lock.release().await
        {
            emitter.warn(format!("the lock was not given back, and ends by itself after a while: {error}"));
        }
        let elapsed_ms = millis(self.since);
        emitter.emit(Event::RunFinished { outcome, elapsed_ms, error, left_over });
        if let Some(notifications) = emitter.end_notifications() {
            for name in notifications.flush().await {
                emitter.warn(format!("the notifier `{name}` did not take all events before the run ended"));
            }
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A plan without what only a running stage needs, and without secrets.
fn frozen(mut plan: pipeline_sdk::StagePlan, redactor: &pipeline_sdk::Redactor) -> pipeline_sdk::StagePlan {
    plan.detail = pipeline_sdk::Value::Null;
    if redactor.is_empty() {
        return plan;
    }
    let redacted =
        serde_json::to_value(&plan).map(|value| redactor.value(value)).and_then(serde_json::from_value);
    redacted.unwrap_or(plan)
}
