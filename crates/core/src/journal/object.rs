//! A journal in an object store: one object for each batch, numbered without gaps.
//!
//! An object is only ever created. So a process that was taken for dead and lives finds, with its next
//! append, that the number is taken by the fence of the one that took over.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::{JournalError, JournalFile};
use crate::store::conditional::{Put, put};
use crate::store::refusal::reason;

/// How many objects are read at once.
const PARALLEL: usize = 16;

/// A journal below one prefix of an object store.
#[derive(Debug)]
pub struct ObjectJournal {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The number of the next object.
    next: usize,
}

impl ObjectJournal {
    /// The journal whose objects are below `prefix`.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix, next: 0 }
    }

    fn object(&self, number: usize) -> Path {
        self.prefix.clone().join(format!("{number:08}.jsonl"))
    }

    fn failed(&self, action: &'static str, error: &object_store::Error) -> JournalError {
        JournalError::Io { action, place: self.place(), reason: reason(error) }
    }
}

#[async_trait]
impl JournalFile for ObjectJournal {
    fn place(&self) -> String {
        self.prefix.to_string()
    }

    async fn read(&mut self) -> Result<Vec<u8>, JournalError> {
        let listed = self.store.list(Some(&self.prefix)).map_ok(|meta| meta.location).try_collect::<Vec<_>>();
        let mut found = listed.await.map_err(|error| self.failed("list", &error))?;
        found.sort();
        // What has another name was put there by somebody else.
        found.retain(|path| path.filename().is_some_and(|name| name.ends_with(".jsonl")));
        self.next = found.len();
        if let Some(gap) = (0..found.len()).find(|&number| found[number] != self.object(number)) {
            return Err(JournalError::Incomplete { reason: format!("{} is missing", self.object(gap)) });
        }
        let (store, failed) = (&self.store, |error| self.failed("read", &error));
        let read = futures::stream::iter(found)
            .map(|path| async move { store.get(&path).await?.bytes().await })
            .buffered(PARALLEL)
            .try_collect::<Vec<Bytes>>();
        Ok(read.await.map_err(failed)?.concat())
    }

    async fn truncate(&mut self, length: u64) -> Result<(), JournalError> {
        // An object is whole or not there.
        let reason = format!("it ends within a line after {length} bytes; somebody changed its objects");
        Err(JournalError::Incomplete { reason })
    }

    async fn append(&mut self, batch: Bytes) -> Result<(), JournalError> {
        let path = self.object(self.next);
        match put(self.store.as_ref(), &path, batch, None).await {
            Ok(Put::Written(_)) => self.next += 1,
            Ok(Put::Other(_)) => return Err(JournalError::Fenced { place: self.place() }),
            Err(error) => return Err(self.failed("write", &error)),
        }
        Ok(())
    }
}
