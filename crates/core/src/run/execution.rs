//! What a run knows of its stages while it applies and undoes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use pipeline_sdk::{Event, Mode, Outputs, StageName, StageOutcome, Value};

use super::{EngineError, StageReport, millis};
use crate::failure::StageFailure;
use crate::journal::Entry;
use crate::lifecycle::{RunEvent, RunState, StageEvent, StageState};
use crate::node::{Node, Nodes, Session};
use crate::plan::PlannedStage;
use crate::state::{State, StateV1};

/// The progress of one node.
pub(super) struct Progress {
    pub(super) state: StageState,
    pub(super) planned: PlannedStage,
    /// What it gives to the stages after it.
    pub(super) outputs: Outputs,
    pub(super) failure: Option<StageFailure>,
    since: Option<Instant>,
    elapsed_ms: u64,
}

impl Progress {
    fn new(planned: PlannedStage) -> Self {
        let outputs = planned.plan.outputs.clone();
        let state = StageState::Waiting;
        Self { state, planned, outputs, failure: None, since: None, elapsed_ms: 0 }
    }
}

/// A run while it applies its plan.
pub(super) struct Execution<'a> {
    pub(super) session: &'a Session,
    pub(super) nodes: &'a Nodes,
    pub(super) life: RunState,
    /// By the numbers of the nodes.
    pub(super) stages: Vec<Progress>,
    /// The state that the run began with.
    pub(super) start: &'a State,
    /// The state that undoing the run leads back to. Another one only if the run takes over from one
    /// that was cut off.
    pub(super) before: &'a State,
    /// The state as it is now.
    pub(super) state: State,
    /// Why the run fails, if it does.
    pub(super) cause: Option<StageFailure>,
    /// A failure beside the stages: the state could not be saved.
    pub(super) error: Option<EngineError>,
    /// The cloud undid a failed deployment by itself.
    pub(super) undone_by_cloud: bool,
}

impl<'a> Execution<'a> {
    pub(super) fn new(
        session: &'a Session,
        nodes: &'a Nodes,
        life: RunState,
        (start, before): (&'a State, &'a State),
        plan: Vec<PlannedStage>,
    ) -> Self {
        let mut places: Vec<_> = plan.into_iter().zip(nodes.order.order()).collect();
        places.sort_by_key(|(_, place)| **place);
        Self {
            session,
            nodes,
            life,
            stages: places.into_iter().map(|(planned, _)| Progress::new(planned)).collect(),
            start,
            before,
            state: start.clone(),
            cause: None,
            error: None,
            undone_by_cloud: false,
        }
    }

    pub(super) fn node(&self, index: usize) -> &'a Arc<Node> {
        &self.nodes.list[index]
    }

    /// Whether the stage has done anything: in this run, or in one that this run takes over from.
    pub(super) fn did(&self, index: usize) -> bool {
        self.session.recorder.did(&self.node(index).name)
    }

    /// Something happens to the run. A transition that cannot be is kept as the run's error.
    pub(super) fn happen(&mut self, event: RunEvent) {
        match self.life.next(event) {
            Ok(next) => self.life = next,
            Err(defect) => self.error = Some(defect.into()),
        }
    }

    /// Something happens to a stage, and is told if the stage ended by it.
    pub(super) fn advance(&mut self, index: usize, event: StageEvent) {
        let node = self.node(index);
        match self.stages[index].state.next(event) {
            Ok(next) => self.stages[index].state = next,
            Err(defect) => {
                self.error = Some(defect.into());
                return;
            }
        }
        self.record(index, event);
        let progress = &mut self.stages[index];
        if matches!(event, StageEvent::Start | StageEvent::Undo) {
            progress.since = Some(Instant::now());
            if event == StageEvent::Start {
                self.session.emitter.emit(Event::StageStarted { stage: node.name.clone() });
            }
            return;
        }
        let elapsed_ms = progress.since.take().map_or(0, millis);
        progress.elapsed_ms += elapsed_ms;
        let failed = matches!(progress.state, StageState::Failed | StageState::Stuck);
        let failure = progress.failure.as_ref().filter(|_| failed);
        self.session.emitter.emit(Event::StageFinished {
            stage: node.name.clone(),
            outcome: outcome(progress.state),
            elapsed_ms,
            error: failure.map(|failure| failure.message.clone()),
            help: failure.and_then(|failure| failure.help.clone()),
        });
    }

    /// Writes into the journal what happened to a stage.
    fn record(&self, index: usize, event: StageEvent) {
        let progress = &self.stages[index];
        let stage = || self.node(index).name.clone();
        let finished = |outcome| Entry::StageFinished { stage: stage(), outcome, record: self.news(index) };
        self.session.recorder.note(|| match event {
            StageEvent::Start => Entry::StageStarted { stage: stage() },
            StageEvent::NothingToDo => finished(StageOutcome::Unchanged),
            StageEvent::Done => finished(StageOutcome::Applied),
            StageEvent::Fail | StageEvent::Interrupted => finished(StageOutcome::Failed),
            StageEvent::Skip => finished(StageOutcome::Skipped),
            StageEvent::Undo => Entry::UndoStarted { stage: stage() },
            StageEvent::Undone => Entry::Undone { stage: stage() },
            StageEvent::UndoFailed => {
                let failure = progress.failure.as_ref();
                let error = failure.map(|failure| failure.message.clone()).unwrap_or_default();
                Entry::UndoFailed { stage: stage(), error }
            }
        });
    }

    /// What the state knows of a stage, if that is not what it knew when the run began.
    fn news(&self, index: usize) -> Option<crate::state::StageRecord> {
        let node = self.node(index);
        if node.mode == Mode::Destroy {
            return None;
        }
        let now = self.state.stages.get(&node.name)?;
        (self.start.stages.get(&node.name) != Some(now)).then(|| now.clone())
    }

    /// Why the run may do nothing more, once that is so.
    pub(super) fn broken(&mut self) -> bool {
        let Some(why) = self.session.recorder.broken() else { return false };
        self.error.get_or_insert_with(|| why.clone().into());
        true
    }

    /// All that the run knows, for when it cannot be kept where it belongs.
    pub(super) fn emergency(&self, error: &EngineError) -> String {
        let Session { run, definition, recorder, .. } = self.session;
        let done: BTreeMap<_, _> =
            self.nodes.list.iter().map(|node| (&node.name, recorder.done_by(&node.name))).collect();
        let known = serde_json::json!({
            "format": "pipeline-emergency",
            "run": run,
            "error": error.to_string(),
            "state": StateV1::of(&self.state),
            "before": StateV1::of(self.before),
            "done": done,
        });
        format!("{:#}\n", definition.scope.redactor.value(known))
    }

    pub(super) fn reports(&self) -> Vec<StageReport> {
        let report = |&index: &usize| {
            let progress = &self.stages[index];
            StageReport {
                name: self.node(index).name.clone(),
                outcome: outcome(progress.state),
                elapsed_ms: progress.elapsed_ms,
                failure: progress.failure.clone(),
            }
        };
        self.nodes.order.order().iter().map(report).collect()
    }
}

fn outcome(state: StageState) -> StageOutcome {
    match state {
        StageState::Applied => StageOutcome::Applied,
        StageState::Unchanged => StageOutcome::Unchanged,
        StageState::Failed => StageOutcome::Failed,
        StageState::RolledBack => StageOutcome::RolledBack,
        StageState::RollingBack | StageState::Stuck => StageOutcome::Stuck,
        StageState::Waiting | StageState::Applying | StageState::Skipped => StageOutcome::Skipped,
    }
}

/// The outputs of every stage that exists.
pub(super) fn outputs_of(state: &State) -> IndexMap<StageName, IndexMap<String, Value>> {
    state.stages.iter().map(|(name, record)| (name.clone(), record.outputs.values.clone())).collect()
}
