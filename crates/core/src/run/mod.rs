//! One run: it locks the environment, plans, applies, and ends with a report.

mod execute;
mod execution;
mod report;
mod rollback;
mod save;

use std::sync::Arc;
use std::time::Instant;

use pipeline_sdk::{Event, Mode, Notifier, Registry, RunCommand, RunId, RunOutcome};

pub use report::{RunReport, StageReport};

use crate::cancel::Cancellation;
use crate::config::Pipeline;
use crate::events::{Emitter, EventSink};
use crate::failure::{StageFailure, with_causes};
use crate::lifecycle::{IllegalTransition, RunEvent, RunState};
use crate::node::{Nodes, Session};
use crate::notify::{Notifications, NotifyLimits};
use crate::plan::{Plan, PlanFailure, PlannedStage, plan_all};
use crate::recorder::RunRecorder;
use crate::state::{State, StateError};
use crate::store::{Holder, StateLock, StateStore, StoreError, Wait};

/// Why a run could not begin or plan.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store refused, or another run holds the lock.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store broke while it saved.
    #[error("the state store broke while it saved: {0}")]
    SavePanicked(String),
    /// The state is not the one of this pipeline.
    #[error(
        "the state of `{environment}` belongs to the pipeline `{found}`, not to `{wanted}`; \
             a pipeline cannot be renamed: destroy it under its old name first; a second pipeline in this folder \
             needs another environment, or a state folder of its own (PIPELINE_STATE_DIR)"
    )]
    OtherPipeline {
        /// The environment.
        environment: String,
        /// The name in the state.
        found: String,
        /// The name in the file.
        wanted: String,
    },
    /// A notifier refused its inputs.
    #[error("notifier `{name}`: {message}")]
    Notifier {
        /// The notifier.
        name: String,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// Stages that could not be planned, all of them.
    #[error("{}", failed_stages(.0))]
    Plan(Vec<StageFailure>),
    /// A plan that cannot be applied any more, or never could be.
    #[error("{0}; make a new plan")]
    StalePlan(String),
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

/// A notifier by the name that the file gives it.
type NamedNotifier = (String, Arc<dyn Notifier>);

/// Begins runs of one pipeline.
pub struct Engine {
    pipeline: Pipeline,
    registry: Registry,
    store: Arc<dyn StateStore>,
    sink: EventSink,
    limits: NotifyLimits,
}

impl Engine {
    /// An engine for `pipeline`, whose stages come from `registry`. What happens is told to `sink`.
    pub fn new(pipeline: Pipeline, registry: Registry, store: Arc<dyn StateStore>, sink: EventSink) -> Self {
        Self { pipeline, registry, store, sink, limits: NotifyLimits::default() }
    }

    /// Other limits for notifiers.
    #[must_use]
    pub fn with_notify_limits(mut self, limits: NotifyLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Locks the environment, waiting for it as `wait` says, loads its state and begins a run. `target`
    /// says where it works, such as `eu-central-1 (embedded cloud)`. Only a run that can change something
    /// tells the notifiers.
    ///
    /// # Errors
    /// The lock is held, the state cannot be read, or a notifier refuses its inputs.
    pub async fn begin(
        &self,
        command: RunCommand,
        target: impl Into<String>,
        cancel: Cancellation,
        wait: Wait<'_>,
    ) -> Result<Run, EngineError> {
        let run = RunId::generate();
        let definition = self.pipeline.inner.clone();
        let environment = &definition.id.environment;
        let notifiers = self.notifiers(command)?;
        let holder = Holder::this_process(run);
        let lock: Arc<dyn StateLock> = self.store.lock(environment, &holder, wait).await?.into();
        let state = match self.load(lock.as_ref()).await {
            Ok(state) => state,
            Err(error) => {
                // What is wrong with the state is what matters; a lease ends by itself.
                let _ = lock.release().await;
                return Err(error);
            }
        };
        let emitter = Emitter::new(run, definition.scope.redactor.clone(), self.sink.clone());
        emitter.notify(Notifications::start(notifiers, self.limits, &emitter.complaint()));
        emitter.emit(Event::RunStarted {
            pipeline: definition.id.clone(),
            command,
            target: target.into(),
            stages: self.pipeline.stages().map(|(name, _)| name.clone()).collect(),
        });
        let recorder = Arc::new(RunRecorder::new(emitter.clone()));
        let session = Session { run, definition, emitter, recorder };
        let registry = self.registry.clone();
        let life = RunState::Begun;
        Ok(Run { session, registry, lock, state, cancel, life, since: Instant::now() })
    }

    fn notifiers(&self, command: RunCommand) -> Result<Vec<NamedNotifier>, EngineError> {
        if command == RunCommand::Plan {
            return Ok(Vec::new());
        }
        let make = |config: &crate::config::NotifierConfig| {
            let refused = |message| EngineError::Notifier { name: config.name.clone(), message };
            let kind = self.registry.notifier(&config.kind);
            let kind = kind.ok_or_else(|| refused(format!("the kind `{}` is not known", config.kind)))?;
            let notifier = (kind.create)(&config.inputs).map_err(|error| refused(with_causes(&error)))?;
            Ok((config.name.clone(), notifier))
        };
        self.pipeline.inner.notifiers.iter().map(make).collect()
    }

    async fn load(&self, lock: &dyn StateLock) -> Result<State, EngineError> {
        let id = &self.pipeline.inner.id;
        let Some(bytes) = lock.load().await? else { return Ok(State::empty(id.clone())) };
        let state = State::decode(&bytes)?;
        if state.pipeline != *id {
            return Err(EngineError::OtherPipeline {
                environment: id.environment.clone(),
                found: state.pipeline.canonical(),
                wanted: id.canonical(),
            });
        }
        Ok(state)
    }
}

/// A run that began. It holds the lock of its environment until it is dropped.
pub struct Run {
    session: Session,
    registry: Registry,
    lock: Arc<dyn StateLock>,
    state: State,
    cancel: Cancellation,
    life: RunState,
    since: Instant,
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
        self.life = self.life.next(RunEvent::Plan)?;
        match self.try_plan(mode).await {
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
                self.finished(Some(error.to_string()), Vec::new()).await;
                Err(error)
            }
        }
    }

    async fn try_plan(&self, mode: Mode) -> Result<Plan, EngineError> {
        let nodes = self.nodes(mode)?;
        let planned = plan_all(&self.session, &nodes, &self.state, &self.cancel).await;
        let mut planned: Vec<_> = match planned {
            Ok(planned) => planned.into_iter().map(Some).collect(),
            Err(PlanFailure::Stages(failures)) => return Err(EngineError::Plan(failures)),
            Err(PlanFailure::Cancelled) => return Err(EngineError::Cancelled),
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
            stages,
        };
        match shared_resources(&plan) {
            failures if failures.is_empty() => Ok(plan),
            failures => Err(EngineError::Plan(failures)),
        }
    }

    fn nodes(&self, mode: Mode) -> Result<Nodes, EngineError> {
        Nodes::new(&self.session.definition, &self.registry, &self.state, mode).map_err(EngineError::Plan)
    }

    /// Does what `plan` says. On a failure what was done is undone, as the pipeline asks for.
    ///
    /// Every way this can end is in the report.
    pub async fn apply(mut self, plan: Plan) -> RunReport {
        let prepared = self.prepare(&plan);
        let mut report = match prepared {
            Ok(nodes) => self.execute(plan, &nodes).await,
            Err(error) => self.failed_report(&error),
        };
        let redactor = &self.session.definition.scope.redactor;
        report.error = report.error.map(|error| redactor.text(&error));
        report.left_over = report.left_over.iter().map(|line| redactor.text(line)).collect();
        self.life = RunState::Ended(report.outcome);
        self.finished(report.error.clone(), report.left_over.clone()).await;
        report
    }

    /// Checks that `plan` is still the one to apply.
    fn prepare(&mut self, plan: &Plan) -> Result<Nodes, EngineError> {
        if self.life == RunState::Begun {
            // A plan that was made by an earlier run.
            self.life = self.life.next(RunEvent::Plan)?.next(RunEvent::PlanReady)?;
        }
        self.life = self.life.next(RunEvent::Apply)?;
        let id = &self.session.definition.id;
        if plan.mode == Mode::Refresh {
            return Err(EngineError::StalePlan(
                "a plan that only reports drift cannot be applied".to_owned(),
            ));
        }
        if plan.pipeline != *id {
            let (found, wanted) = (plan.pipeline.canonical(), id.canonical());
            return Err(EngineError::StalePlan(format!("the plan is for `{found}`, not for `{wanted}`")));
        }
        if plan.serial != self.state.serial {
            return Err(EngineError::StalePlan(
                "the environment was changed since the plan was made".to_owned(),
            ));
        }
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
            self.finished(None, Vec::new()).await;
        }
    }

    /// Ends a run that was only to plan.
    pub async fn close(mut self, plan: Option<&Plan>) -> RunOutcome {
        let event = RunEvent::Close { changes: plan.is_some_and(|plan| !plan.is_empty()) };
        match (self.life, self.life.next(event)) {
            (RunState::Ended(outcome), _) => outcome,
            (_, Ok(RunState::Ended(outcome))) => {
                self.life = RunState::Ended(outcome);
                self.finished(None, Vec::new()).await;
                outcome
            }
            _ => RunOutcome::Failed,
        }
    }

    fn failed_report(&self, error: &EngineError) -> RunReport {
        RunReport {
            run: self.session.run,
            outcome: RunOutcome::Failed,
            stages: Vec::new(),
            outputs: execution::outputs_of(&self.state),
            changes: 0,
            error: Some(error.to_string()),
            help: None,
            left_over: Vec::new(),
        }
    }

    /// Gives the lock back, tells that the run ended, and waits for the notifiers within their limit.
    async fn finished(&self, error: Option<String>, left_over: Vec<String>) {
        let RunState::Ended(outcome) = self.life else { return };
        let emitter = &self.session.emitter;
        if let Err(error) = self.lock.release().await {
            emitter.warn(format!("the lock was not given back, and ends by itself after a while: {error}"));
        }
        let elapsed_ms = millis(self.since);
        emitter.emit(Event::RunFinished { outcome, elapsed_ms, error, left_over });
        if let Some(notifications) = emitter.end_notifications() {
            for name in notifications.flush().await {
                tracing::warn!(notifier = name, "a notifier did not take all events before the run ended");
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

/// A stage that was renamed would destroy what it owns under its old name.
fn shared_resources(plan: &Plan) -> Vec<StageFailure> {
    use pipeline_sdk::{Action, StageError};
    let removed = |stage: &&PlannedStage| plan.mode == Mode::Converge && stage.mode == Mode::Destroy;
    let mut failures = Vec::new();
    for stage in plan.stages.iter().filter(removed) {
        let deleted = stage.plan.changes.iter().filter(|change| change.action == Action::Delete);
        for change in deleted {
            let keeps = |other: &&PlannedStage| {
                other.mode == Mode::Converge
                    && (other.plan.outputs.resources.iter().any(|kept| kept.id == change.resource)
                        || other.plan.changes.iter().any(|kept| kept.resource == change.resource))
            };
            if let Some(keeper) = plan.stages.iter().find(keeps) {
                let (resource, name) = (&change.resource, &keeper.name);
                let error = StageError::failed(format!(
                    "it is no longer in the file and would delete {resource}, which `{name}` uses now"
                ))
                .with_help(format!(
                    "a stage cannot be renamed in place: call `{name}` `{}` again",
                    stage.name
                ));
                failures.push(StageFailure::of(&stage.name, &error));
                break;
            }
        }
    }
    failures
}
