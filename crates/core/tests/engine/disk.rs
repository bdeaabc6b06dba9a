//! A store in memory whose writes go through something that can spoil them.

use bytes::Bytes;
use pipeline_core::{
    Holder, JournalError, JournalFile, LockStatus, MemoryStore, StateLock, StateStore, StoreError,
};
use pipeline_sdk::{CancellationToken, RunId, async_trait};

/// What a write goes through.
#[async_trait]
pub(crate) trait Disk: Clone + Send + Sync + 'static {
    /// Saves `state`, or not.
    async fn save(&self, lock: &dyn StateLock, state: Vec<u8>) -> Result<(), StoreError> {
        lock.save(state).await
    }

    /// Appends `batch`, or not.
    async fn append(&self, journal: &mut dyn JournalFile, batch: Bytes) -> Result<(), JournalError> {
        journal.append(batch).await
    }
}

/// A store on a disk; its locks and journals are on the same one.
pub(crate) struct OnDisk<T, D>(pub(crate) T, pub(crate) D);

#[async_trait]
impl<D: Disk> StateStore for OnDisk<MemoryStore, D> {
    async fn try_lock(&self, environment: &str, holder: &Holder) -> Result<Box<dyn StateLock>, StoreError> {
        Ok(Box::new(OnDisk(self.0.try_lock(environment, holder).await?, self.1.clone())))
    }
    async fn peek(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.peek(environment).await
    }
    fn place(&self, environment: &str) -> String {
        self.0.place(environment)
    }

    fn journal(&self, environment: &str, run: RunId) -> Box<dyn JournalFile> {
        let journal: Box<dyn JournalFile> = Box::new(self.0.journal(environment, run));
        Box::new(OnDisk(journal, self.1.clone()))
    }
    async fn runs(&self, environment: &str) -> Result<Vec<RunId>, StoreError> {
        self.0.runs(environment).await
    }
    async fn lock_status(&self, environment: &str) -> Result<LockStatus, StoreError> {
        self.0.lock_status(environment).await
    }
    async fn break_lock(&self, environment: &str) -> Result<Option<Holder>, StoreError> {
        self.0.break_lock(environment).await
    }
}

#[async_trait]
impl<D: Disk> StateLock for OnDisk<Box<dyn StateLock>, D> {
    fn epoch(&self) -> u64 {
        self.0.epoch()
    }
    fn is_held(&self) -> bool {
        self.0.is_held()
    }
    fn lost(&self) -> CancellationToken {
        self.0.lost()
    }
    async fn confirm(&self) -> Result<(), StoreError> {
        self.0.confirm().await
    }
    async fn release(&self) -> Result<(), StoreError> {
        self.0.release().await
    }
    async fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load().await
    }
    async fn save(&self, state: Vec<u8>) -> Result<(), StoreError> {
        self.1.save(self.0.as_ref(), state).await
    }
}

#[async_trait]
impl<D: Disk> JournalFile for OnDisk<Box<dyn JournalFile>, D> {
    fn place(&self) -> String {
        self.0.place()
    }
    async fn read(&mut self) -> Result<Vec<u8>, JournalError> {
        self.0.read().await
    }
    async fn truncate(&mut self, length: u64) -> Result<(), JournalError> {
        self.0.truncate(length).await
    }
    async fn append(&mut self, batch: Bytes) -> Result<(), JournalError> {
        self.1.append(self.0.as_mut(), batch).await
    }
}
