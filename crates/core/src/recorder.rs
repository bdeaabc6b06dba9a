//! What a run did, stage by stage: written to the journal, and kept for a rollback.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use pipeline_sdk::{Done, Event, Recorder, StageError, StageName, Value};
use tokio::sync::OnceCell;

use crate::events::Emitter;
use crate::journal::{Entry, Journal, JournalError};
use crate::plan::Plan;
use crate::store::StateLock;

/// Why a run can record nothing more. It does nothing more either: what is not recorded could not be
/// undone after a crash, and without its lock somebody else may be at work.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unrecordable {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The lock was lost.
    #[error(
        "the lock of the environment was lost: another run has taken it, or its store did not answer for \
         longer than a lease lasts. This run does nothing more. The next `pipeline run` or `pipeline \
         rollback` looks after what it has begun"
    )]
    LockLost,
}

/// Remembers intents and results in their order, and writes them to the journal first.
pub(crate) struct RunRecorder {
    emitter: Emitter,
    lock: Arc<dyn StateLock>,
    /// Nothing is recorded by a run that only plans.
    journal: Option<Journal>,
    stages: Mutex<HashMap<StageName, Vec<Done>>>,
    broken: OnceLock<Unrecordable>,
    /// Set once the journal is there, whatever becomes of the machine.
    begun: OnceCell<()>,
    /// Set once the lock was this run's after its journal was there.
    confirmed: OnceCell<()>,
}

impl RunRecorder {
    /// The recorder of a run that takes over what `inherited` says was done before it.
    pub(crate) fn new(
        emitter: Emitter,
        lock: Arc<dyn StateLock>,
        journal: Option<Journal>,
        inherited: BTreeMap<StageName, Vec<Done>>,
    ) -> Self {
        let stages = Mutex::new(inherited.into_iter().collect());
        Self {
            emitter,
            lock,
            journal,
            stages,
            broken: OnceLock::new(),
            begun: OnceCell::new(),
            confirmed: OnceCell::new(),
        }
    }

    /// Returns once the journal is durably there, with all that was written until now. A state may name the run only
    /// then: one that names a run without a journal is taken for the sign that somebody has moved it away.
    pub(crate) async fn begins(&self) -> Result<(), Unrecordable> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let begun = self.begun.get_or_try_init(|| journal.flush()).await;
        begun.copied().map_err(|error| self.breaks(error.into()))
    }

    /// Writes `entry`, after which something is changed, and returns once that may begin: whoever has broken the lock
    /// before they could find the journal is found now.
    pub(crate) async fn write_ahead(&self, entry: Entry) -> Result<(), Unrecordable> {
        self.write(entry).await?;
        let confirmed = self.confirmed.get_or_try_init(|| self.lock.confirm()).await;
        confirmed.copied().map_err(|_| self.breaks(Unrecordable::LockLost))
    }

    /// What `stage` did, first to last. An intent without a result has no `after`.
    pub(crate) fn done_by(&self, stage: &StageName) -> Vec<Done> {
        self.stages().get(stage).cloned().unwrap_or_default()
    }

    /// Whether `stage` did anything.
    pub(crate) fn did(&self, stage: &StageName) -> bool {
        self.stages().get(stage).is_some_and(|done| !done.is_empty())
    }

    /// Writes `entry`, which is durable with the next one that is waited for. A failure shows with that
    /// one, or in [`RunRecorder::broken`].
    pub(crate) fn note(&self, entry: impl FnOnce() -> Entry) {
        if let Some(journal) = &self.journal
            && let Err(error) = journal.append_relaxed(entry())
        {
            self.breaks(error.into());
        }
    }

    /// Writes what the run will do; gives the plan back.
    pub(crate) fn note_plan(&self, plan: Plan) -> Plan {
        let plan = Arc::new(plan);
        self.note(|| Entry::Planned(Arc::clone(&plan)));
        // The entry is written and gone, so nothing is copied.
        Arc::unwrap_or_clone(plan)
    }

    /// Writes `entry` and returns once it is durable.
    pub(crate) async fn write(&self, entry: Entry) -> Result<(), Unrecordable> {
        let Some(journal) = &self.journal else { return Ok(()) };
        match journal.append(entry).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.breaks(error.into())),
        }
    }

    /// Why nothing more can be recorded, once that is so.
    pub(crate) fn broken(&self) -> Option<&Unrecordable> {
        if !self.lock.is_held() {
            self.breaks(Unrecordable::LockLost);
        }
        self.broken.get()
    }

    /// Returns once the lock is lost.
    pub(crate) async fn lock_lost(&self) {
        self.lock.lost().cancelled().await;
    }

    /// The first reason stays.
    fn breaks(&self, why: Unrecordable) -> Unrecordable {
        self.broken.get_or_init(|| why).clone()
    }

    fn stages(&self) -> MutexGuard<'_, HashMap<StageName, Vec<Done>>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the intent among those of its stage.
    fn remember(&self, stage: &StageName, intent: Done) -> u64 {
        let mut stages = self.stages();
        let done = stages.entry(stage.clone()).or_default();
        done.push(intent);
        done.len() as u64 - 1
    }

    /// Takes an intent back whose side effect does not begin, unless its stage has others that count on their places.
    fn forget(&self, stage: &StageName, id: u64) {
        if let Some(done) = self.stages().get_mut(stage)
            && done.len() as u64 == id + 1
        {
            done.pop();
        }
    }

    /// Fails if a side effect may not begin.
    fn check(&self) -> Result<(), StageError> {
        self.broken().map_or(Ok(()), |why| Err(refusal(why)))
    }
}

fn refusal(why: &Unrecordable) -> StageError {
    StageError::failed(why.to_string())
}

#[async_trait]
impl Recorder for RunRecorder {
    async fn intent(&self, stage: &StageName, intent: Done) -> Result<u64, StageError> {
        self.check()?;
        let intent = Done { after: None, ..intent };
        let id = self.remember(stage, intent.clone());
        let entry = Entry::Intent { stage: stage.clone(), id, done: intent };
        let written = self.write_ahead(entry).await.map_err(|why| refusal(&why));
        // Writing it may have taken longer than the lease lasts.
        if let Err(refused) = written.and_then(|()| self.check()) {
            self.forget(stage, id);
            return Err(refused);
        }
        Ok(id)
    }

    async fn done(&self, stage: &StageName, intent: u64, after: Value) -> Result<(), StageError> {
        let (resource, action) = {
            let mut stages = self.stages();
            let entry = stages.get_mut(stage).and_then(|done| done.get_mut(intent as usize));
            let entry = entry.ok_or_else(|| {
                StageError::failed(format!("the stage `{stage}` reported a result without an intent"))
            })?;
            entry.after = Some(after.clone());
            (entry.resource.clone(), entry.action)
        };
        self.emitter.emit(Event::ResourceChanged { stage: stage.clone(), resource, action });
        let entry = Entry::Result { stage: stage.clone(), id: intent, after };
        self.write(entry).await.map_err(|why| refusal(&why))
    }
}
