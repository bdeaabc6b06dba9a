//! States in memory: for tests, and for programs that keep them elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pipeline_sdk::{CancellationToken, RunId};

use super::{Holder, LockStatus, StateLock, StateStore, StoreError};
use crate::journal::{JournalFile, MemoryJournal};

/// Keeps states in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<HashMap<String, Environment>>>,
}

#[derive(Default)]
struct Environment {
    state: Option<Vec<u8>>,
    saves: u64,
    epoch: u64,
    /// Who holds the lock, and how they are told that they do not any more.
    held: Option<(Holder, CancellationToken)>,
    journals: BTreeMap<RunId, MemoryJournal>,
}

impl MemoryStore {
    /// How often a state was saved.
    pub fn saves(&self) -> u64 {
        self.shared().values().map(|environment| environment.saves).sum()
    }

    /// The journal of `run`, which can be made to fail.
    pub fn journal(&self, environment: &str, run: RunId) -> MemoryJournal {
        self.with(environment, |found| found.journals.entry(run).or_default().reopened())
    }

    fn shared(&self) -> MutexGuard<'_, HashMap<String, Environment>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, environment: &str, work: impl FnOnce(&mut Environment) -> T) -> T {
        work(self.shared().entry(environment.to_owned()).or_default())
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn try_lock(&self, environment: &str, holder: &Holder) -> Result<Box<dyn StateLock>, StoreError> {
        let lost = CancellationToken::new();
        let epoch = self.with(environment, |found| {
            if let Some((holder, _)) = &found.held {
                return Err(StoreError::Locked {
                    environment: environment.to_owned(),
                    holder: Some(holder.clone()),
                });
            }
            found.held = Some((holder.clone(), lost.clone()));
            found.epoch += 1;
            Ok(found.epoch)
        })?;
        Ok(Box::new(MemoryLock { store: self.clone(), environment: environment.to_owned(), epoch, lost }))
    }

    async fn peek(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.with(environment, |found| found.state.clone()))
    }

    fn place(&self, environment: &str) -> String {
        format!("the memory of this process ({environment})")
    }

    fn journal(&self, environment: &str, run: RunId) -> Box<dyn JournalFile> {
        Box::new(Self::journal(self, environment, run))
    }

    async fn runs(&self, environment: &str) -> Result<Vec<RunId>, StoreError> {
        let begun = |(run, journal): (&RunId, &MemoryJournal)| (!journal.bytes().is_empty()).then_some(*run);
        Ok(self.with(environment, |found| found.journals.iter().filter_map(begun).collect()))
    }

    async fn lock_status(&self, environment: &str) -> Result<LockStatus, StoreError> {
        Ok(self.with(environment, |found| match &found.held {
            Some((holder, _)) => LockStatus::Held {
                holder: Some(holder.clone()),
                epoch: found.epoch,
                lease: None,
                renewed: None,
            },
            None => LockStatus::Free,
        }))
    }

    async fn break_lock(&self, environment: &str) -> Result<Option<Holder>, StoreError> {
        let held = self.with(environment, |found| found.held.take());
        Ok(held.map(|(holder, lost)| {
            lost.cancel();
            holder
        }))
    }
}

struct MemoryLock {
    store: MemoryStore,
    environment: String,
    epoch: u64,
    lost: CancellationToken,
}

impl MemoryLock {
    /// Whether the lock is still the one that was taken.
    fn holds(&self, environment: &Environment) -> bool {
        environment.held.is_some() && environment.epoch == self.epoch
    }

    fn free(&self) {
        self.store.with(&self.environment, |found| {
            if self.holds(found) {
                found.held = None;
            }
        });
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.free();
    }
}

#[async_trait]
impl StateLock for MemoryLock {
    async fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.peek(&self.environment).await
    }

    async fn save(&self, state: Vec<u8>) -> Result<(), StoreError> {
        self.store.with(&self.environment, |found| {
            if !self.holds(found) {
                let by = found.held.as_ref().map(|(holder, _)| holder.clone());
                return Err(StoreError::Lost { environment: self.environment.clone(), by });
            }
            found.saves += 1;
            found.state = Some(state);
            Ok(())
        })
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_held(&self) -> bool {
        self.store.with(&self.environment, |found| self.holds(found))
    }

    async fn confirm(&self) -> Result<(), StoreError> {
        if self.is_held() {
            return Ok(());
        }
        Err(StoreError::Lost { environment: self.environment.clone(), by: None })
    }

    fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.free();
        Ok(())
    }
}
