//! What a journal says about its run: a pure function from its records.
//!
//! It goes through the same transition functions as a run that lives, so whatever a journal was cut off
//! at, the run is in a state that the engine knows how to go on from.

use std::collections::HashMap;

use indexmap::IndexMap;
use pipeline_sdk::{Done, Mode, RunCommand, RunOutcome, StageName, StageOutcome};

use super::{Began, Entry, JournalError, Record};
use crate::config::OnFailure;
use crate::lifecycle::{RunEvent, RunState, StageEvent, StageState};
use crate::plan::Plan;
use crate::state::StageRecord;

/// What is known of a run from its journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// What it set out to do; `None` if it did not come that far.
    pub began: Option<Began>,
    /// What it was going to do.
    pub plan: Option<Plan>,
    /// Where it is.
    pub life: RunState,
    /// Whether it began to fail, or was asked to stop: then it is to be undone. One that was only cut off
    /// can be gone on with.
    pub stopping: bool,
    /// Its stages: those of the plan in its order, then any others.
    pub stages: IndexMap<StageName, RecoveredStage>,
    /// The epoch of the last process that looked after it.
    pub epoch: Option<u64>,
    /// How it ended; `None` if it is unfinished.
    pub ended: Option<Ending>,
}

/// What becomes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// Nothing: it ended, or changed nothing.
    Over,
    /// The next run goes on with it.
    GoesOn,
    /// It is undone before the next run begins.
    IsUndone,
}

/// What is known of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredStage {
    /// Where it is.
    pub state: StageState,
    /// What it did, first to last, beginning with what it inherits. One without `after` may or may not
    /// have happened.
    pub done: Vec<Done>,
    /// What the state is to know of it; nothing if that did not change.
    pub record: Option<StageRecord>,
    /// Why it could not be undone.
    pub error: Option<String>,
    /// Where in `done` each intent is.
    intents: HashMap<u64, usize>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// How.
    pub outcome: RunOutcome,
    /// What could not be undone, or was kept on purpose.
    pub left_over: Vec<String>,
    /// Why it did not succeed, if it did not.
    pub error: Option<String>,
}

/// What `records` say about their run.
///
/// # Errors
/// [`JournalError::Illegal`]: a record cannot follow those before it.
pub fn recover(records: &[Record]) -> Result<Recovered, JournalError> {
    let mut recovered = Recovered {
        began: None,
        plan: None,
        life: RunState::Begun,
        stopping: false,
        stages: IndexMap::new(),
        epoch: None,
        ended: None,
    };
    for record in records {
        let illegal = |reason| JournalError::Illegal { seq: record.seq, reason };
        recovered.take(&record.entry).map_err(illegal)?;
    }
    Ok(recovered)
}

/// Why a record cannot follow.
type Reason = String;

/// What leads to an end without being recorded by itself, in the order in which it is tried.
const WAYS_TO_END: &[&[RunEvent]] = &[
    // It was asked to stop, or interrupted, before it had changed anything.
    &[],
    &[RunEvent::AllDone { changed: true }],
    &[RunEvent::AllDone { changed: false }],
    &[RunEvent::Settle { undone: false }],
    &[RunEvent::Settle { undone: true }],
    &[RunEvent::Undone { clean: true }],
    &[RunEvent::Undone { clean: false }],
    // What was done is kept: by `on_failure = "keep"`, after a destruction, or for a run that inherits.
    &[RunEvent::Undo, RunEvent::Undone { clean: false }],
    // No stage failed: the state could not be saved.
    &[RunEvent::NotSaved],
    &[RunEvent::StageFailed, RunEvent::Settle { undone: false }],
    &[RunEvent::StageFailed, RunEvent::Undo, RunEvent::Undone { clean: false }],
    // It was not applied at all.
    &[RunEvent::Close { changes: true }],
    &[RunEvent::Close { changes: false }],
    &[RunEvent::CancelRequested],
    &[RunEvent::Plan, RunEvent::PlanFailed],
    &[RunEvent::Apply, RunEvent::AllDone { changed: false }],
    &[RunEvent::Apply, RunEvent::StageFailed, RunEvent::Settle { undone: false }],
];

impl Recovered {
    /// The stages whose work a rollback would have to undo, in the order of the plan: those that were
    /// applied, and those that began a side effect and have not undone it, also in the run that this one
    /// goes on with. What could not be undone is not tried again.
    pub fn touched(&self) -> impl Iterator<Item = (&StageName, &RecoveredStage)> {
        self.stages.iter().filter(|(_, stage)| match stage.state {
            StageState::RolledBack | StageState::Stuck | StageState::Unchanged => false,
            StageState::Applied => true,
            _ => !stage.done.is_empty(),
        })
    }

    /// Whether it may have changed something that its end, if it has one, does not say.
    pub fn is_unfinished(&self) -> bool {
        let harmless = matches!(self.life, RunState::Begun | RunState::Planning | RunState::Planned);
        let inherits = self.began.as_ref().is_some_and(|began| began.inherits.is_some());
        self.ended.is_none() && (!harmless || inherits)
    }

    /// What becomes of the run when the next one begins, in a pipeline that deals with failures so.
    pub fn prospect(&self, on_failure: OnFailure) -> Prospect {
        if !self.is_unfinished() {
            return Prospect::Over;
        }
        // What is removed cannot be brought back.
        let fails = self.stopping && on_failure == OnFailure::Rollback && !self.is_destruction();
        if fails || self.is_undoing() { Prospect::IsUndone } else { Prospect::GoesOn }
    }

    /// Whether it was there to remove everything.
    pub fn is_destruction(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.mode == Mode::Destroy)
    }

    /// Whether it was itself there to undo another run.
    fn is_undoing(&self) -> bool {
        let began = self.began.as_ref();
        began.is_some_and(|began| began.command == RunCommand::Rollback && began.inherits.is_some())
    }

    fn take(&mut self, entry: &Entry) -> Result<(), Reason> {
        if self.ended.is_some() {
            return Err("the run has ended".to_owned());
        }
        match entry {
            Entry::Fence { epoch, .. } => return self.fence(*epoch),
            Entry::Began(began) if self.began.is_none() => {
                self.began = Some(began.clone());
                return Ok(());
            }
            Entry::Began(_) => return Err("the run began before".to_owned()),
            _ if self.began.is_none() => return Err("the run has not begun".to_owned()),
            _ => {}
        }
        match entry {
            Entry::Planned(plan) => self.planned(plan),
            Entry::CancelRequested { .. } => {
                self.stopping = true;
                self.apply_begins()?;
                self.happen(&[RunEvent::CancelRequested])
            }
            Entry::RollbackStarted { .. } => self.rollback_started(),
            Entry::Ended { outcome, left_over, error } => {
                self.end(*outcome)?;
                self.ended =
                    Some(Ending { outcome: *outcome, left_over: left_over.clone(), error: error.clone() });
                Ok(())
            }
            Entry::StageStarted { stage }
            | Entry::StageFinished { stage, .. }
            | Entry::Intent { stage, .. }
            | Entry::Result { stage, .. }
            | Entry::UndoStarted { stage }
            | Entry::Undone { stage }
            | Entry::UndoFailed { stage, .. } => {
                self.apply_begins()?;
                self.stage_event(stage, entry)
            }
            Entry::Fence { .. } | Entry::Began(_) => Ok(()),
        }
    }

    fn fence(&mut self, epoch: u64) -> Result<(), Reason> {
        if self.epoch.is_some_and(|last| epoch <= last) {
            return Err("its epoch is not above those before".to_owned());
        }
        self.epoch = Some(epoch);
        if self.began.is_none() || matches!(self.life, RunState::Ended(_)) {
            return Ok(());
        }
        self.happen(&[RunEvent::Interrupted])?;
        for stage in self.stages.values_mut() {
            if matches!(stage.state, StageState::Applying | StageState::RollingBack) {
                stage.happen(StageEvent::Interrupted)?;
            }
        }
        Ok(())
    }

    fn planned(&mut self, plan: &Plan) -> Result<(), Reason> {
        self.happen(&[RunEvent::Plan, RunEvent::PlanReady])?;
        let began = self.began.as_ref();
        let undoes = self.is_undoing();
        let inherited = began.and_then(|began| began.inherits.as_ref());
        let stage = |name: &StageName| {
            let done = inherited.and_then(|inherited| inherited.done.get(name));
            RecoveredStage::new(done.cloned().unwrap_or_default(), undoes)
        };
        let stages = plan.stages.iter();
        self.stages = stages.map(|planned| (planned.name.clone(), stage(&planned.name))).collect();
        self.plan = Some(plan.clone());
        Ok(())
    }

    /// Applying is not recorded by itself: the first record after the plan tells it.
    fn apply_begins(&mut self) -> Result<(), Reason> {
        if self.life == RunState::Planned { self.happen(&[RunEvent::Apply]) } else { Ok(()) }
    }

    fn rollback_started(&mut self) -> Result<(), Reason> {
        self.stopping = true;
        // No stage failed and nobody cancelled: the state could not be saved.
        let unsaved = self.life == RunState::Applying;
        let events = [RunEvent::StageFailed, RunEvent::Undo];
        self.happen(if unsaved { &events } else { &events[1..] })
    }

    fn stage_event(&mut self, name: &StageName, entry: &Entry) -> Result<(), Reason> {
        let undoes =
            matches!(entry, Entry::UndoStarted { .. } | Entry::Undone { .. } | Entry::UndoFailed { .. });
        let starts = matches!(entry, Entry::StageStarted { .. });
        let fits = match self.life {
            RunState::Applying => !undoes,
            RunState::Stopping(_) => !undoes && !starts,
            RunState::RollingBack(_) => {
                undoes || matches!(entry, Entry::Intent { .. } | Entry::Result { .. })
            }
            _ => false,
        };
        if !fits {
            return Err(format!("it is about stage `{name}` of a run that is {:?}", self.life));
        }
        let Some(stage) = self.stages.get_mut(name) else {
            return Err(format!("the plan has no stage `{name}`"));
        };
        stage.take(entry)?;
        match entry {
            Entry::StageFinished { outcome: StageOutcome::Failed, .. } => {
                self.stopping = true;
                self.happen(&[RunEvent::StageFailed])
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, outcome: RunOutcome) -> Result<(), Reason> {
        let busy =
            |stage: &RecoveredStage| matches!(stage.state, StageState::Applying | StageState::RollingBack);
        if let Some((name, _)) = self.stages.iter().find(|(_, stage)| busy(stage)) {
            return Err(format!("stage `{name}` has not ended"));
        }
        let wanted = RunState::Ended(outcome);
        let leads = |way: &&&[RunEvent]| follow(self.life, way).is_ok_and(|end| end == wanted);
        let way = WAYS_TO_END.iter().find(leads);
        let way = way.ok_or_else(|| format!("a run that is {:?} cannot end as {outcome:?}", self.life))?;
        self.happen(way)
    }

    fn happen(&mut self, events: &[RunEvent]) -> Result<(), Reason> {
        self.life = follow(self.life, events)?;
        Ok(())
    }
}

fn follow(life: RunState, events: &[RunEvent]) -> Result<RunState, Reason> {
    events.iter().try_fold(life, |life, event| life.next(*event)).map_err(|error| error.to_string())
}

impl RecoveredStage {
    /// The side effect that the intent `id` announced.
    pub fn intended(&self, id: u64) -> Option<&Done> {
        self.intents.get(&id).and_then(|&place| self.done.get(place))
    }

    /// A stage of a run that inherits `done` for it, and `undoes` that or goes on with it.
    fn new(done: Vec<Done>, undoes: bool) -> Self {
        let state = if undoes && !done.is_empty() { StageState::Applied } else { StageState::Waiting };
        Self { state, done, record: None, error: None, intents: HashMap::new() }
    }

    fn happen(&mut self, event: StageEvent) -> Result<(), Reason> {
        self.state = self.state.next(event).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn take(&mut self, entry: &Entry) -> Result<(), Reason> {
        match entry {
            Entry::StageStarted { .. } => self.happen(StageEvent::Start),
            Entry::Intent { id, done, .. } => self.intent(*id, done),
            Entry::Result { id, after, .. } => {
                let place = self.intents.get(id).copied();
                let done = place.and_then(|place| self.done.get_mut(place));
                let done =
                    done.ok_or_else(|| format!("it is the result of an intent {id} that is not there"))?;
                done.after = Some(after.clone());
                Ok(())
            }
            Entry::StageFinished { outcome, record, .. } => {
                self.record = record.clone();
                self.happen(match outcome {
                    StageOutcome::Applied => StageEvent::Done,
                    StageOutcome::Unchanged => StageEvent::NothingToDo,
                    StageOutcome::Failed => StageEvent::Fail,
                    StageOutcome::Skipped => StageEvent::Skip,
                    StageOutcome::RolledBack | StageOutcome::Stuck => {
                        return Err("what undoing made of a stage has records of its own".to_owned());
                    }
                })
            }
            Entry::UndoStarted { .. } => self.happen(StageEvent::Undo),
            Entry::Undone { .. } => self.happen(StageEvent::Undone),
            Entry::UndoFailed { error, .. } => {
                self.error = Some(error.clone());
                self.happen(StageEvent::UndoFailed)
            }
            _ => Ok(()),
        }
    }

    fn intent(&mut self, id: u64, done: &Done) -> Result<(), Reason> {
        if !matches!(self.state, StageState::Applying | StageState::RollingBack) {
            return Err(format!("it is the intent of a stage that is {:?}", self.state));
        }
        if self.intents.insert(id, self.done.len()).is_some() {
            return Err(format!("there is an intent {id} already"));
        }
        self.done.push(Done { after: None, ..done.clone() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::legal::{Known, Legal, began, holder, name, plan};
    use super::*;

    fn records(entries: impl IntoIterator<Item = Entry>) -> Vec<Record> {
        let record = |(seq, entry)| Record { seq, at: began().holder.since, entry };
        (0..).zip(entries).map(record).collect()
    }

    fn known(recovered: &Recovered) -> Known {
        let stages = recovered.stages.iter();
        stages.map(|(name, stage)| (name.clone(), (stage.state, stage.done.clone()))).collect()
    }

    /// What the next process does with an unfinished run.
    fn undo(recovered: &Recovered) -> Vec<Entry> {
        let mut entries = vec![Entry::RollbackStarted { cause: "it was interrupted".to_owned() }];
        for (stage, _) in recovered.touched() {
            let stage = stage.clone();
            entries.push(Entry::UndoStarted { stage: stage.clone() });
            entries.push(Entry::Undone { stage });
        }
        entries
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
        #[test]
        fn a_journal_that_is_cut_anywhere_leads_to_an_end(seed: u64) {
            let legal = Legal::new(seed);
            let mut entries = Vec::new();
            for (entry, expected) in legal.entries {
                entries.push(entry);
                let recovered = recover(&records(entries.clone()));
                let recovered = recovered.unwrap_or_else(|error| panic!("{error} in {entries:#?}"));
                prop_assert_eq!(known(&recovered), expected);
                if recovered.ended.is_some() {
                    continue;
                }
                let over = entries.iter().any(|entry| matches!(entry, Entry::Ended { .. }));
                prop_assert!(!over, "a run that ended is not unfinished");
                // Another process takes over and undoes it, or ends it if nothing was changed.
                let mut continued = entries.clone();
                if recovered.began.is_none() {
                    continued.push(Entry::Began(began()));
                }
                let epoch = recovered.epoch.unwrap_or(0) + 1;
                continued.push(Entry::Fence { epoch, holder: holder() });
                let fenced = recover(&records(continued.clone())).expect("fenced");
                let stuck = fenced.stages.values().any(|stage| stage.state == StageState::Stuck);
                let outcome = match fenced.life {
                    RunState::Ended(outcome) => outcome,
                    RunState::Stopping(stop) => {
                        continued.extend(undo(&fenced));
                        match stop {
                            _ if stuck => RunOutcome::Stuck,
                            crate::Stop::Failed => RunOutcome::RolledBack,
                            crate::Stop::Cancelled => RunOutcome::Cancelled,
                            crate::Stop::ByHand => RunOutcome::Succeeded,
                        }
                    }
                    other => panic!("{other:?}"),
                };
                continued.push(Entry::Ended { outcome, left_over: Vec::new(), error: None });
                let ended = recover(&records(continued)).expect("ended");
                prop_assert_eq!(ended.ended.expect("ended").outcome, outcome);
                prop_assert!(!ended.stages.values().any(|stage| stage.state == StageState::Applied));
            }
        }
    }

    #[test]
    fn what_cannot_follow_is_refused_with_its_number() {
        let begin = [Entry::Began(began()), Entry::Planned(Arc::new(plan(2)))];
        let intent = |stage: usize, id| Entry::Intent {
            stage: name(stage),
            id,
            done: Done {
                resource: pipeline_sdk::ResourceId::new("test:thing", "t"),
                action: pipeline_sdk::Action::Create,
                before: None,
                after: None,
            },
        };
        let start = |stage| Entry::StageStarted { stage: name(stage) };
        let fence = |epoch| Entry::Fence { epoch, holder: holder() };
        let ended = |outcome| Entry::Ended { outcome, left_over: Vec::new(), error: None };
        for (wrong, reason) in [
            (vec![begin[0].clone()], "the run began before"),
            (vec![intent(0, 0)], "it is the intent of a stage that is Waiting"),
            (vec![start(0), intent(0, 0), intent(0, 0)], "there is an intent 0 already"),
            (
                vec![start(0), Entry::Result { stage: name(0), id: 3, after: pipeline_sdk::Value::Null }],
                "it is the result of an intent 3 that is not there",
            ),
            (vec![start(7)], "the plan has no stage `s7`"),
            (vec![start(0), ended(RunOutcome::Succeeded)], "stage `s0` has not ended"),
            (vec![fence(3), fence(3)], "its epoch is not above those before"),
            (
                vec![start(0), Entry::Undone { stage: name(0) }],
                "it is about stage `s0` of a run that is Applying",
            ),
            (vec![ended(RunOutcome::RolledBack)], "a run that is Planned cannot end as RolledBack"),
            (vec![ended(RunOutcome::Unchanged), start(0)], "the run has ended"),
        ] {
            let entries: Vec<_> = begin.iter().cloned().chain(wrong).collect();
            let seq = entries.len() as u64 - 1;
            let error = recover(&records(entries)).expect_err("illegal");
            assert_eq!(error, JournalError::Illegal { seq, reason: reason.to_owned() });
        }
        let error = recover(&records([start(0)])).expect_err("illegal");
        assert_eq!(error, JournalError::Illegal { seq: 0, reason: "the run has not begun".to_owned() });
    }
}
