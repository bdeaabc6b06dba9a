//! A journal in memory, which can be made to fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{JournalError, JournalFile};

/// A journal in memory: for tests. Clones are other writers of the same journal.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    shared: Arc<Mutex<Shared>>,
    /// How long the journal is if nobody else writes to it.
    length: usize,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: Vec<u8>,
    writes: u64,
    /// By the number of the write: how many bytes of it are kept.
    faults: HashMap<u64, usize>,
}

impl MemoryJournal {
    /// What is in the journal.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared().bytes.clone()
    }

    /// How many batches were written, or tried to be.
    pub fn writes(&self) -> u64 {
        self.shared().writes
    }

    /// Lets a write fail, counted from 0, after the first `kept` bytes of its batch are written.
    pub fn fail_write(&self, number: u64, kept: usize) {
        self.shared().faults.insert(number, kept);
    }

    /// A new writer of the same journal, which has read nothing.
    pub fn reopened(&self) -> Self {
        Self { shared: self.shared.clone(), length: 0 }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl JournalFile for MemoryJournal {
    fn place(&self) -> String {
        "in memory".to_owned()
    }

    async fn read(&mut self) -> Result<Vec<u8>, JournalError> {
        let bytes = self.bytes();
        self.length = bytes.len();
        Ok(bytes)
    }

    async fn truncate(&mut self, length: u64) -> Result<(), JournalError> {
        self.length = usize::try_from(length).unwrap_or(usize::MAX);
        let length = self.length;
        self.shared().bytes.truncate(length);
        Ok(())
    }

    async fn append(&mut self, batch: Bytes) -> Result<(), JournalError> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let number = shared.writes;
        shared.writes += 1;
        if shared.bytes.len() != self.length {
            return Err(JournalError::Fenced { place: "in memory".to_owned() });
        }
        if let Some(kept) = shared.faults.remove(&number) {
            shared.bytes.extend_from_slice(&batch[..kept.min(batch.len())]);
            let (place, reason) = ("in memory".to_owned(), "no space left on device".to_owned());
            return Err(JournalError::Io { action: "write", place, reason });
        }
        shared.bytes.extend_from_slice(&batch);
        self.length = shared.bytes.len();
        Ok(())
    }
}
