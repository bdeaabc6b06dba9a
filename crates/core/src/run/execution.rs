//! What a run knows of its stages while it applies and undoes them.

use std::time::Instant;

use indexmap::IndexMap;
use pipeline_sdk::{Event, Outputs, StageName, StageOutcome, Value};

use super::{EngineError, StageReport, millis};
use crate::failure::StageFailure;
use crate::lifecycle::{RunEvent, RunState, StageEvent, StageState};
use crate::node::{Node, Nodes, Session};
use crate::plan::PlannedStage;
use crate::state::State;

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
    /// The state before the run.
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
        before: &'a State,
        plan: Vec<PlannedStage>,
    ) -> Self {
        let mut places: Vec<_> = plan.into_iter().zip(nodes.order.order()).collect();
        places.sort_by_key(|(_, place)| **place);
        Self {
            session,
            nodes,
            life,
            stages: places.into_iter().map(|(planned, _)| Progress::new(planned)).collect(),
            before,
            state: before.clone(),
            cause: None,
            error: None,
            undone_by_cloud: false,
        }
    }

    pub(super) fn node(&self, index: usize) -> &'a Node {
        &self.nodes.list[index]
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
        let progress = &mut self.stages[index];
        match progress.state.next(event) {
            Ok(next) => progress.state = next,
            Err(defect) => {
                self.error = Some(defect.into());
                return;
            }
        }
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
