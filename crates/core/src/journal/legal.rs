//! Journals that an engine could write, made at random: for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_sdk::{
    Action, Done, Inputs, Mode, PipelineId, ResourceId, RunCommand, RunId, RunOutcome, StageName,
    StageOutcome, StagePlan, json,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::{Began, Entry};
use crate::lifecycle::StageState;
use crate::plan::{Plan, PlannedStage};
use crate::state::State;
use crate::store::Holder;

/// What must be known of each stage: where it is, and what it did.
pub(super) type Known = BTreeMap<StageName, (StageState, Vec<Done>)>;

/// Entries, and what is known after each.
pub(super) struct Legal {
    rng: StdRng,
    pub(super) entries: Vec<(Entry, Known)>,
    known: Known,
    epoch: u64,
    stopping: bool,
    /// The intents without a result, as stage and id.
    open: Vec<(StageName, u64)>,
}

pub(super) fn run_id() -> RunId {
    RunId::parse("01932d07-4a00-7000-8000-000000000001").expect("run")
}

pub(super) fn holder() -> Holder {
    let since = "2026-11-25T10:00:00Z".parse().expect("time");
    Holder { run: run_id(), pid: 4711, host: "build-7".to_owned(), since }
}

pub(super) fn name(index: usize) -> StageName {
    StageName::new(format!("s{index}")).expect("name")
}

pub(super) fn began() -> Began {
    let pipeline = PipelineId { name: "hello".to_owned(), environment: "local".to_owned() };
    Began {
        pipeline: pipeline.clone(),
        command: RunCommand::Run,
        target: "eu-central-1 (embedded cloud)".to_owned(),
        holder: holder(),
        before: State { serial: 7, ..State::empty(pipeline) },
        inherits: None,
        redeploys: None,
    }
}

pub(super) fn plan(stages: usize) -> Plan {
    let stage = |index| PlannedStage {
        name: name(index),
        kind: "thing".to_owned(),
        mode: Mode::Converge,
        inputs: Inputs::default(),
        needs: Vec::new(),
        plan: StagePlan::default(),
    };
    Plan {
        run: run_id(),
        mode: Mode::Converge,
        pipeline: began().pipeline,
        serial: 7,
        configuration: String::new(),
        target: None,
        stages: (0..stages).map(stage).collect(),
    }
}

impl Legal {
    /// The journal that belongs to `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let (rng, entries, known) = (StdRng::seed_from_u64(seed), Vec::new(), Known::new());
        let mut legal = Self { rng, entries, known, epoch: 0, stopping: false, open: Vec::new() };
        legal.write();
        legal
    }

    /// How often, out of ten.
    fn in_ten(&mut self, times: u32) -> bool {
        self.rng.random_ratio(times, 10)
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push((entry, self.known.clone()));
    }

    fn fence(&mut self) {
        self.epoch += self.rng.random_range(1..3);
        self.push(Entry::Fence { epoch: self.epoch, holder: holder() });
    }

    fn end(&mut self, outcome: RunOutcome) {
        self.push(Entry::Ended { outcome, left_over: Vec::new(), error: None });
    }

    fn pick(&mut self, states: &[StageState]) -> Option<StageName> {
        let names: Vec<_> = self
            .known
            .iter()
            .filter(|(_, (state, _))| states.contains(state))
            .map(|(name, _)| name)
            .collect();
        names.choose(&mut self.rng).map(|name| (*name).clone())
    }

    fn set(&mut self, stage: &StageName, state: StageState) {
        self.known.get_mut(stage).expect("stage").0 = state;
    }

    fn write(&mut self) {
        if self.in_ten(7) {
            self.fence();
        }
        self.push(Entry::Began(began()));
        if self.in_ten(1) {
            return self.end(RunOutcome::Failed);
        }
        let stages = self.rng.random_range(0..6);
        self.known = (0..stages).map(|index| (name(index), (StageState::Waiting, Vec::new()))).collect();
        self.push(Entry::Planned(Arc::new(plan(stages))));
        if self.in_ten(1) {
            self.push(Entry::CancelRequested { cause: "SIGINT".to_owned() });
            return self.end(RunOutcome::Cancelled);
        }
        if self.in_ten(1) {
            self.fence();
            return self.end(RunOutcome::Failed);
        }
        self.apply();
        self.settle();
    }

    fn apply(&mut self) {
        while self.known.values().any(|(state, _)| {
            *state == StageState::Applying || (*state == StageState::Waiting && !self.stopping)
        }) {
            match self.rng.random_range(0..12) {
                0..4 if !self.stopping => self.start(),
                0..7 => self.side_effect(),
                7..11 => self.finish(),
                // Before a stage has begun, these two end the run.
                _ if self.known.values().all(|(state, _)| *state == StageState::Waiting) => {}
                _ if self.in_ten(3) => {
                    self.push(Entry::CancelRequested { cause: "SIGTERM".to_owned() });
                    self.stopping = true;
                }
                _ if self.in_ten(4) => self.crash(),
                _ => {}
            }
        }
    }

    fn start(&mut self) {
        let Some(stage) = self.pick(&[StageState::Waiting]) else { return };
        if self.in_ten(2) {
            self.set(&stage, StageState::Unchanged);
            return self.push(Entry::StageFinished { stage, outcome: StageOutcome::Unchanged, record: None });
        }
        self.set(&stage, StageState::Applying);
        self.push(Entry::StageStarted { stage });
    }

    fn side_effect(&mut self) {
        if let (true, Some(place)) = (self.in_ten(5), self.open.len().checked_sub(1)) {
            let (stage, id) = self.open.remove(self.rng.random_range(0..=place));
            if self.known[&stage].0 != StageState::Applying {
                return;
            }
            let after = json!({ "arn": format!("arn:{id}") });
            self.known.get_mut(&stage).expect("stage").1[id as usize].after = Some(after.clone());
            return self.push(Entry::Result { stage, id, after });
        }
        let Some(stage) = self.pick(&[StageState::Applying]) else { return };
        let done = Done {
            resource: ResourceId::new("test:thing", stage.as_str()),
            action: Action::Update,
            before: Some(json!(self.rng.random_range(0..100))),
            after: None,
        };
        let list = &mut self.known.get_mut(&stage).expect("stage").1;
        list.push(done.clone());
        let id = list.len() as u64 - 1;
        self.open.push((stage.clone(), id));
        self.push(Entry::Intent { stage, id, done });
    }

    fn finish(&mut self) {
        let Some(stage) = self.pick(&[StageState::Applying]) else { return };
        let (outcome, state) = match self.rng.random_range(0..10) {
            0..2 => (StageOutcome::Failed, StageState::Failed),
            2..4 => (StageOutcome::Unchanged, StageState::Unchanged),
            _ => (StageOutcome::Applied, StageState::Applied),
        };
        self.stopping |= outcome == StageOutcome::Failed;
        self.set(&stage, state);
        self.push(Entry::StageFinished { stage, outcome, record: None });
    }

    /// The process ends, and another one looks after the run.
    fn crash(&mut self) {
        self.stopping = true;
        for (state, _) in self.known.values_mut() {
            if matches!(*state, StageState::Applying | StageState::RollingBack) {
                *state = StageState::Failed;
            }
        }
        self.fence();
    }

    fn settle(&mut self) {
        while let Some(stage) = self.pick(&[StageState::Waiting]) {
            self.set(&stage, StageState::Skipped);
            self.push(Entry::StageFinished { stage, outcome: StageOutcome::Skipped, record: None });
        }
        let has = |legal: &Self, state| legal.known.values().any(|(found, _)| *found == state);
        let cancelled = || {
            let mut entries = self.entries.iter();
            let reason = |entry: &Entry| match entry {
                Entry::StageFinished { outcome: StageOutcome::Failed, .. } => Some(false),
                // The first fence is not one of a crash.
                Entry::Fence { .. } => Some(false),
                Entry::CancelRequested { .. } => Some(true),
                _ => None,
            };
            entries.by_ref().find(|(entry, _)| matches!(entry, Entry::Planned(_)));
            entries.find_map(|(entry, _)| reason(entry)).unwrap_or(false)
        };
        let outcome = if cancelled() { RunOutcome::Cancelled } else { RunOutcome::RolledBack };
        if !self.stopping
            || (outcome == RunOutcome::Cancelled
                && !has(self, StageState::Skipped)
                && !has(self, StageState::Failed))
        {
            let changed = has(self, StageState::Applied);
            return self.end(if changed { RunOutcome::Succeeded } else { RunOutcome::Unchanged });
        }
        if self.in_ten(1) {
            return self.end(RunOutcome::Stuck);
        }
        if !has(self, StageState::Applied) && !has(self, StageState::Failed) {
            let nothing = if outcome == RunOutcome::RolledBack { RunOutcome::Failed } else { outcome };
            return self.end(nothing);
        }
        self.undo();
        let clean = !has(self, StageState::Stuck);
        self.end(if clean { outcome } else { RunOutcome::Stuck });
    }

    fn undo(&mut self) {
        self.push(Entry::RollbackStarted { cause: "stage `s1`: broke".to_owned() });
        let left = [StageState::Applied, StageState::Failed, StageState::RollingBack];
        while let Some(stage) = self.pick(&left) {
            if self.in_ten(1) {
                self.crash();
                self.push(Entry::RollbackStarted { cause: "the run was interrupted".to_owned() });
            } else if self.known[&stage].0 != StageState::RollingBack {
                self.set(&stage, StageState::RollingBack);
                self.push(Entry::UndoStarted { stage });
            } else if self.in_ten(8) {
                self.set(&stage, StageState::RolledBack);
                self.push(Entry::Undone { stage });
            } else {
                self.set(&stage, StageState::Stuck);
                self.push(Entry::UndoFailed { stage, error: "it is in use".to_owned() });
            }
        }
    }
}
