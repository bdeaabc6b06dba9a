//! Looking after a run whose process is gone: what it had done, and what is to become of it.
//!
//! The run that takes over inherits everything that the other one did. It goes on from there, or undoes
//! it; the journal of the other run is closed with a fence and never written again.

use pipeline_sdk::{
    Action, Done, Mode, Outputs, PipelineId, Recorded, Redactor, RunCommand, RunId, RunOutcome,
};

use super::EngineError;
use crate::journal::{Began, Inherited, Journal, JournalError, JournalFile, Recovered, RunJournal};
use crate::lifecycle::StageState;
use crate::plan::PlannedStage;
use crate::state::{StageRecord, State};
use crate::store::{Holder, StateStore};

/// The runs of an environment.
pub(crate) struct Runs<'a> {
    pub(crate) store: &'a dyn StateStore,
    pub(crate) environment: &'a str,
    /// Those that have a journal, oldest first.
    pub(crate) ids: &'a [RunId],
    /// The one that changed the state last.
    pub(crate) last: Option<RunId>,
    /// The newest one that was missing before.
    pub(crate) missed: Option<RunId>,
}

impl Runs<'_> {
    fn journal(&self, run: RunId) -> Box<dyn JournalFile> {
        self.store.journal(self.environment, run)
    }

    async fn load(&self, run: RunId) -> Result<RunJournal, EngineError> {
        let failed = |source| EngineError::Journal { place: self.journal(run).place(), source };
        let loaded = RunJournal::load(self.store, self.environment, run).await.map_err(failed)?;
        // A state names a run only once the beginning of its journal is durable.
        if loaded.recovered.began.is_none() && self.last == Some(run) {
            let reason = "the state tells of what the run did, and nothing of that is in it".to_owned();
            return Err(failed(JournalError::Incomplete { reason }));
        }
        Ok(loaded)
    }

    /// The newest run that has changed the state and whose journal is not there any more: somebody moved it out of the
    /// way, because it was damaged. A state never names a run before that has a journal.
    pub(super) fn missing(&self) -> Option<RunId> {
        let known = self.last.into_iter().chain(self.missed);
        known.filter(|run| !self.ids.contains(run)).max()
    }

    /// The runs, newest first, down to one that is missing: what was before it is what it looked after, and nothing of
    /// that may be gone on with or undone a second time.
    fn newest_first(&self) -> impl Iterator<Item = RunId> {
        let missing = self.missing();
        self.ids.iter().rev().copied().take_while(move |run| missing.is_none_or(|missing| *run > missing))
    }
}

impl State {
    /// The state of `pipeline` without its lock: for looking only. `None` before the first save.
    ///
    /// # Errors
    /// It exists and cannot be read, or belongs to another pipeline.
    pub async fn peek(store: &dyn StateStore, pipeline: &PipelineId) -> Result<Option<Self>, EngineError> {
        let bytes = store.peek(&pipeline.environment).await?;
        bytes.map(|bytes| Self::read(store, pipeline, &bytes)).transpose()
    }

    /// What `store` has given for the environment of `pipeline`.
    pub(super) fn read(
        store: &dyn StateStore,
        pipeline: &PipelineId,
        bytes: &[u8],
    ) -> Result<Self, EngineError> {
        let environment = &pipeline.environment;
        let failed = |source| EngineError::State { place: store.place(environment), source };
        let state = Self::decode(bytes).map_err(failed)?;
        if state.pipeline == *pipeline {
            return Ok(state);
        }
        Err(EngineError::OtherPipeline {
            environment: environment.clone(),
            found: state.pipeline.canonical(),
            wanted: pipeline.canonical(),
        })
    }
}

/// The run of an environment that is worth telling about.
#[derive(Clone, Debug)]
pub struct Newest {
    /// The newest run, unless it did not come to a plan and one before it is unfinished.
    pub journal: Option<RunJournal>,
    /// The newest run that has changed the state and whose journal is not there any more. What was before it is not
    /// told about: it was looked after.
    pub missing: Option<RunId>,
}

impl Newest {
    /// Reads the state of `pipeline` and as many journals as it takes, without the lock: for looking only.
    ///
    /// # Errors
    /// The state or a journal cannot be read, or the state belongs to another pipeline.
    pub async fn of(store: &dyn StateStore, pipeline: &PipelineId) -> Result<Self, EngineError> {
        let environment = &pipeline.environment;
        let (state, ids) = futures::join!(State::peek(store, pipeline), store.runs(environment));
        let (last, missed) = state?.map_or((None, None), |state| (state.run, state.missing));
        let runs = Runs { store, environment, ids: &ids?, last, missed };
        let mut newest = None;
        for run in runs.newest_first() {
            let journal = runs.load(run).await?;
            if journal.recovered.plan.is_none() {
                newest = newest.or_else(|| journal.recovered.began.is_some().then_some(journal));
            } else if newest.is_none() || journal.recovered.is_unfinished() {
                newest = Some(journal);
                break;
            } else {
                break;
            }
        }
        Ok(Self { journal: newest, missing: runs.missing() })
    }
}

/// An earlier run and what its journal says.
pub(crate) struct Earlier {
    pub(crate) run: RunId,
    pub(crate) recovered: Recovered,
}

impl Earlier {
    /// Reads the journal of `run`.
    pub(crate) async fn read(runs: &Runs<'_>, run: RunId) -> Result<Self, EngineError> {
        Ok(Self { run, recovered: runs.load(run).await?.recovered })
    }

    /// The newest run that had a plan, if it is unfinished. All before it are looked after: every run begins with
    /// that. One that did not come to a plan has done nothing, and looked after nothing.
    pub(crate) async fn unfinished(runs: &Runs<'_>) -> Result<Option<Self>, EngineError> {
        for run in runs.newest_first() {
            let earlier = Self::read(runs, run).await?;
            if earlier.recovered.plan.is_some() {
                return Ok(earlier.recovered.is_unfinished().then_some(earlier));
            }
        }
        Ok(None)
    }

    /// The newest run whose work is still there and can be undone.
    pub(crate) async fn undoable(runs: &Runs<'_>) -> Result<Self, EngineError> {
        let mut looked_after = Vec::new();
        for run in runs.newest_first() {
            let earlier = Self::read(runs, run).await?;
            let Recovered { began: Some(began), plan: Some(_), .. } = &earlier.recovered else { continue };
            if let Some(inherited) = &began.inherits {
                looked_after.push(inherited.run);
            }
            let outcome = earlier.recovered.ended.as_ref().map(|ending| ending.outcome);
            let left = match outcome {
                None => earlier.recovered.is_unfinished(),
                Some(RunOutcome::Succeeded) => {
                    began.command != RunCommand::Rollback || began.inherits.is_none()
                }
                Some(RunOutcome::Stuck) => true,
                Some(_) => false,
            };
            if looked_after.contains(&run) || !left {
                continue;
            }
            if earlier.recovered.is_destruction() {
                let what = match outcome {
                    Some(RunOutcome::Stuck) => {
                        "did not remove everything; `pipeline destroy` goes on with it, and `pipeline run` makes what \
                         is missing again"
                    }
                    _ => "removed everything; `pipeline run` makes it again",
                };
                return Err(EngineError::NothingToUndo(format!("the last run, {run}, {what}")));
            }
            return Ok(earlier);
        }
        Err(EngineError::NothingToUndo(match runs.missing() {
            Some(run) => {
                format!("the journal of run {run} is missing, and what is older is not undone without it")
            }
            None => "no run has left anything that could be undone".to_owned(),
        }))
    }

    /// Keeps the process of the run, should it still live, from writing to its journal.
    pub(crate) async fn fence(
        &self,
        runs: &Runs<'_>,
        redactor: Redactor,
        (epoch, holder): (u64, Holder),
    ) -> Result<(), EngineError> {
        let file = runs.journal(self.run);
        let place = file.place();
        let fenced = Journal::resume(file, self.run, redactor, (epoch, holder)).await;
        fenced.map(|_| ()).map_err(|source| EngineError::Journal { place, source })
    }

    /// Where the run worked, if that was kept.
    pub(crate) fn target(&self) -> Option<&str> {
        self.recovered.began.as_ref()?.before.target.as_deref()
    }

    /// What the run did and has not undone, for the one that takes over. With `stuck`, also what could
    /// not be undone.
    pub(crate) fn inheritance(&self, stuck: bool) -> Inherited {
        let left = |state| match state {
            StageState::RolledBack => false,
            StageState::Stuck => stuck,
            _ => true,
        };
        let stages = self.recovered.stages.iter();
        let stages = stages.filter(|(_, stage)| left(stage.state) && !stage.done.is_empty());
        let done = stages.map(|(name, stage)| (name.clone(), stage.done.clone())).collect();
        Inherited { run: self.run, done }
    }

    /// The state that undoing the run leads back to.
    pub(crate) fn before(&self, state: &State) -> State {
        let began = self.recovered.began.as_ref();
        began.map_or_else(|| state.clone(), |Began { before, .. }| before.clone())
    }

    /// `state` with all that the run did: it may have been saved before the run's last words, or after
    /// a part of them. It is the next state then.
    pub(crate) fn bring_up_to_date(&self, state: &mut State) {
        let Recovered { began: Some(began), plan: Some(plan), .. } = &self.recovered else { return };
        let before = state.stages.clone();
        for planned in &plan.stages {
            let Some(stage) = self.recovered.stages.get(&planned.name) else { continue };
            let name = &planned.name;
            match (planned.mode, stage.state) {
                (_, StageState::RolledBack) => state.put(name, began.before.stages.get(name).cloned()),
                (Mode::Destroy, StageState::Applied) => state.put(name, None),
                (Mode::Destroy, _) | (_, StageState::Waiting | StageState::Skipped) => {}
                (_, StageState::Applied | StageState::Unchanged) => {
                    if let Some(record) = &stage.record {
                        state.put(name, Some(record.clone()));
                    }
                }
                _ if stage.done.is_empty() => {}
                _ => {
                    let known = state.stages.remove(name).or_else(|| stage.record.clone());
                    state.put(name, Some(partly(known, planned, &stage.done)));
                }
            }
        }
        if state.stages != before {
            state.run = Some(self.run);
            state.serial += 1;
        }
    }

    /// The stages of a run that undoes this one, with what it will change.
    pub(crate) fn undo_stages(&self, inherited: &Inherited) -> Vec<PlannedStage> {
        let undo = |planned: &PlannedStage| {
            let mut undo = planned.clone();
            let done = inherited.done.get(&planned.name).map(Vec::as_slice).unwrap_or_default();
            let stays = |done: &&Done| {
                let mut changes = planned.plan.changes.iter();
                changes.any(|change| change.resource == done.resource && change.irreversible.is_some())
            };
            let undone = done.iter().rev().filter(|done| !stays(done));
            undo.plan.changes = undone.map(super::rollback::inverse).collect();
            undo.plan.outputs = Outputs::default();
            undo.mode = super::rollback::undo_mode(undo.mode, done);
            undo
        };
        self.recovered.plan.iter().flat_map(|plan| &plan.stages).map(undo).collect()
    }
}

/// What is known of a stage that was cut off: nothing that it made may be forgotten.
pub(super) fn partly(known: Option<StageRecord>, planned: &PlannedStage, done: &[Done]) -> StageRecord {
    let mut record = known.unwrap_or_else(|| StageRecord {
        kind: planned.kind.clone(),
        inputs: planned.inputs.clone(),
        needs: planned.needs.clone(),
        outputs: Outputs::default(),
    });
    let resources = &mut record.outputs.resources;
    for Done { resource: id, action, after, .. } in done {
        match (after, action) {
            (Some(_), Action::Delete) => resources.retain(|known| known.id != *id),
            (Some(after), _) => {
                let made = Recorded { id: id.clone(), attributes: after.clone() };
                match resources.iter_mut().find(|known| known.id == *id) {
                    Some(known) => *known = made,
                    None => resources.push(made),
                }
            }
            // Whether it was done is not known: the next look at the world tells.
            (None, _) => {}
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn nothing_older_than_a_run_whose_journal_is_missing_is_looked_at() {
        let store = MemoryStore::default();
        let mut ids = vec![RunId::generate()];
        for _ in 0..3 {
            ids.push(RunId::generate().after(ids[ids.len() - 1]));
        }
        let runs = |ids: &[RunId], last, missed| {
            let runs = Runs { store: &store, environment: "local", ids, last, missed };
            (runs.newest_first().collect::<Vec<_>>(), runs.missing())
        };
        let backwards = |ids: &[RunId]| ids.iter().rev().copied().collect::<Vec<_>>();
        assert_eq!(runs(&ids, None, None), (backwards(&ids), None));
        assert_eq!(runs(&ids, Some(ids[1]), Some(ids[0])), (backwards(&ids), None));
        let rest = [ids[0], ids[2], ids[3]];
        assert_eq!(runs(&rest, Some(ids[1]), None), (vec![ids[3], ids[2]], Some(ids[1])));
        assert_eq!(runs(&rest, Some(ids[3]), Some(ids[1])), (vec![ids[3], ids[2]], Some(ids[1])));
        assert_eq!(runs(&ids[..2], Some(ids[3]), None), (vec![], Some(ids[3])));
    }
}
