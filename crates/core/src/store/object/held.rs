//! The lock of an environment in an object store, while it is held.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::UpdateVersion;
use pipeline_sdk::CancellationToken;

use super::Object;
use super::conditional::Put;
use super::lease::Lease;
use crate::store::{StateLock, StoreError};

/// A lock that is held.
pub(super) struct ObjectLock {
    lease: Arc<Lease>,
    /// Where the state is.
    object: Object,
    epoch: u64,
    state: tokio::sync::Mutex<StateObject>,
}

/// What is known of the object that holds the state.
#[derive(Default)]
struct StateObject {
    /// The version that was read or written last; nothing is known before the first.
    known: Option<Option<UpdateVersion>>,
    /// What may have been written by a save that seemed to fail, or was not waited for.
    unsure: Vec<Bytes>,
}

impl ObjectLock {
    pub(super) fn new(lease: Arc<Lease>, object: Object, epoch: u64) -> Self {
        Self { lease, object, epoch, state: tokio::sync::Mutex::default() }
    }
}

impl Drop for ObjectLock {
    fn drop(&mut self) {
        if !self.lease.is_open() {
            return;
        }
        let lease = self.lease.clone();
        match tokio::runtime::Handle::try_current() {
            // Nobody is left to be told if it fails; others wait for the end of the lease then.
            Ok(runtime) => drop(runtime.spawn(async move { lease.release().await })),
            Err(_) => lease.abandon(),
        }
    }
}

#[async_trait]
impl StateLock for ObjectLock {
    async fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut state = self.state.lock().await;
        let found = self.object.get().await?;
        state.known = Some(found.as_ref().map(|found| found.version.clone()));
        state.unsure.clear();
        Ok(found.map(|found| found.bytes.into()))
    }

    async fn save(&self, bytes: Vec<u8>) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        let (object, bytes) = (&self.object, Bytes::from(bytes));
        let mut expected = match &state.known {
            Some(known) => known.clone(),
            None => object.get().await?.map(|found| found.version),
        };
        state.known = Some(expected.clone());
        state.unsure.push(bytes.clone());
        loop {
            if !self.is_held() {
                return Err(self.lease.why_lost());
            }
            match object.put(bytes.clone(), expected.as_ref()).await {
                Ok(Put::Written(version)) => {
                    *state = StateObject { known: Some(Some(version)), unsure: Vec::new() };
                    return Ok(());
                }
                // A save that seemed to fail has arrived after all.
                Ok(Put::Other(Some(found))) if state.unsure.contains(&found.bytes) => {
                    expected = Some(found.version);
                    state.known = Some(expected.clone());
                }
                Ok(Put::Other(_)) => return Err(StoreError::Conflict { place: object.place() }),
                Err(error) => return Err(error),
            }
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_held(&self) -> bool {
        !self.lease.left().is_zero()
    }

    async fn confirm(&self) -> Result<(), StoreError> {
        self.lease.confirm().await
    }

    fn lost(&self) -> CancellationToken {
        self.lease.lost()
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.lease.release().await
    }
}
