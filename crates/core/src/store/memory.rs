//! States in memory: for tests, and for programs that keep them elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Holder, StateLock, StateStore, StoreError};

/// Keeps states in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    states: HashMap<String, Vec<u8>>,
    locked: HashSet<String>,
    saves: u64,
}

impl MemoryStore {
    /// How often a state was saved.
    pub fn saves(&self) -> u64 {
        self.shared().saves
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn lock(&self, environment: &str, _holder: &Holder) -> Result<Box<dyn StateLock>, StoreError> {
        let environment = environment.to_owned();
        if !self.shared().locked.insert(environment.clone()) {
            return Err(StoreError::Locked { environment, holder: None });
        }
        Ok(Box::new(MemoryLock { store: self.clone(), environment }))
    }

    async fn peek(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.shared().states.get(environment).cloned())
    }
}

struct MemoryLock {
    store: MemoryStore,
    environment: String,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.store.shared().locked.remove(&self.environment);
    }
}

#[async_trait]
impl StateLock for MemoryLock {
    async fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.peek(&self.environment).await
    }

    async fn save(&self, state: Vec<u8>) -> Result<(), StoreError> {
        let mut shared = self.store.shared();
        shared.saves += 1;
        shared.states.insert(self.environment.clone(), state);
        Ok(())
    }
}
