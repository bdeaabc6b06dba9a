//! Uploads in progress, of the registry's HTTP interface and of ECR's own layer calls alike.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::{BlobStore, Digest, Scope};
use crate::image::{BlobUpload, UploadError};

/// The uploads of a registry. Calls write to the disk: an async caller makes them on a blocking
/// thread.
#[derive(Debug, Clone)]
pub struct Uploads {
    store: BlobStore,
    sessions: Arc<Mutex<HashMap<Uuid, Arc<Session>>>>,
}

#[derive(Debug)]
struct Session {
    scope: Scope,
    repository: String,
    /// `None` once it ended.
    upload: Mutex<Option<BlobUpload>>,
}

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadProblem {
    /// Never begun, ended, of another repository, or forgotten when the cloud was restarted.
    #[error("The upload does not exist; begin it again")]
    Unknown,
    /// A piece does not begin where the one before ended.
    #[error("the next byte of the upload is {expected}, not {given}")]
    OutOfOrder {
        /// Offset of the next byte.
        expected: u64,
        /// Offset of the piece.
        given: u64,
    },
    /// The content is not what was announced, or cannot be stored.
    #[error(transparent)]
    Failed(#[from] UploadError),
}

impl Uploads {
    /// Uploads into `store`.
    pub fn new(store: BlobStore) -> Self {
        Self { store, sessions: Arc::default() }
    }

    /// Where finished uploads go.
    pub fn store(&self) -> &BlobStore {
        &self.store
    }

    /// Begins an upload to a repository.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin(&self, scope: &Scope, repository: &str) -> Result<Uuid, UploadProblem> {
        let upload = self.store.begin().map_err(UploadError::Io)?;
        let session = Session {
            scope: scope.clone(),
            repository: repository.to_owned(),
            upload: Mutex::new(Some(upload)),
        };
        let id = Uuid::new_v4();
        locked(&self.sessions).insert(id, Arc::new(session));
        Ok(id)
    }

    /// Bytes received so far.
    ///
    /// # Errors
    /// [`UploadProblem::Unknown`].
    pub fn length(&self, scope: &Scope, repository: &str, id: Uuid) -> Result<u64, UploadProblem> {
        let session = self.session(scope, repository, id)?;
        let upload = locked(&session.upload);
        upload.as_ref().map(BlobUpload::len).ok_or(UploadProblem::Unknown)
    }

    /// Appends a piece that begins at `offset` (anywhere if not given). Returns the new length.
    ///
    /// # Errors
    /// See [`UploadProblem`]; after [`UploadProblem::OutOfOrder`] the upload goes on where it was.
    pub fn append(
        &self,
        scope: &Scope,
        repository: &str,
        id: Uuid,
        offset: Option<u64>,
        bytes: &[u8],
    ) -> Result<u64, UploadProblem> {
        let session = self.session(scope, repository, id)?;
        let mut slot = locked(&session.upload);
        let upload = slot.as_mut().ok_or(UploadProblem::Unknown)?;
        if let Some(given) = offset.filter(|offset| *offset != upload.len()) {
            return Err(UploadProblem::OutOfOrder { expected: upload.len(), given });
        }
        match upload.append(bytes) {
            Ok(()) => Ok(upload.len()),
            Err(error) => {
                // What is on disk is now unknown.
                *slot = None;
                locked(&self.sessions).remove(&id);
                Err(UploadError::Io(error).into())
            }
        }
    }

    /// Ends the upload as the blob `digest`; returns its length. It is gone afterwards either way.
    ///
    /// # Errors
    /// See [`UploadProblem`].
    pub fn finish(
        &self,
        scope: &Scope,
        repository: &str,
        id: Uuid,
        digest: &Digest,
    ) -> Result<u64, UploadProblem> {
        let session = self.session(scope, repository, id)?;
        locked(&self.sessions).remove(&id);
        let upload = locked(&session.upload).take().ok_or(UploadProblem::Unknown)?;
        let length = upload.len();
        upload.finish(digest)?;
        Ok(length)
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// [`UploadProblem::Unknown`].
    pub fn cancel(&self, scope: &Scope, repository: &str, id: Uuid) -> Result<(), UploadProblem> {
        self.session(scope, repository, id)?;
        locked(&self.sessions).remove(&id);
        Ok(())
    }

    fn session(&self, scope: &Scope, repository: &str, id: Uuid) -> Result<Arc<Session>, UploadProblem> {
        let session = locked(&self.sessions).get(&id).cloned();
        session
            .filter(|session| session.scope == *scope && session.repository == repository)
            .ok_or(UploadProblem::Unknown)
    }
}

impl Default for Uploads {
    /// Uploads into a store of their own in the system's folder for temporary files, which is made
    /// only if it is used.
    fn default() -> Self {
        let name = format!("pipeline-registry-{}", Uuid::new_v4().simple());
        Self::new(BlobStore::at(&std::env::temp_dir().join(name)))
    }
}

/// A panic while holding one of these locks leaves them consistent: go on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
