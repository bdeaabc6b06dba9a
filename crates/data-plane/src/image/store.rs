//! The content-addressed store on disk that the registry fills and the task runtimes read.
//!
//! A blob appears under its name only when it is whole, synced and verified: it is written to a
//! temporary file beside, hashed on the way, and renamed. Calls are synchronous and short; whoever
//! writes large amounts from an async task moves them to a blocking thread.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::Digest;

/// Blobs under `<dir>/blobs/sha256/ab/<hex>`, unfinished ones under `<dir>/uploads`.
#[derive(Debug, Clone)]
pub struct BlobStore {
    blobs: PathBuf,
    uploads: PathBuf,
}

impl BlobStore {
    /// Opens the store below `dir`, creating it if needed, and forgets uploads that an earlier
    /// process left unfinished (their clients get "upload unknown" and start again).
    ///
    /// # Errors
    /// When the directories cannot be created.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let store = Self::at(dir);
        if store.uploads.exists() {
            fs::remove_dir_all(&store.uploads)?;
        }
        fs::create_dir_all(&store.uploads)?;
        fs::create_dir_all(&store.blobs)?;
        Ok(store)
    }

    /// The store below `dir`, whose directories are made when something is stored.
    pub fn at(dir: &Path) -> Self {
        Self { blobs: dir.join("blobs").join("sha256"), uploads: dir.join("uploads") }
    }

    /// Where the bytes of `digest` are, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(&digest.hex()[..2]).join(digest.hex())
    }

    /// Size of a blob in bytes, `None` when it is not here.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().filter(fs::Metadata::is_file).map(|meta| meta.len())
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// `NotFound` when it is not here.
    pub fn reader(&self, digest: &Digest) -> io::Result<File> {
        File::open(self.path(digest))
    }

    /// Reads a small blob (a manifest, a configuration) whole.
    ///
    /// # Errors
    /// `NotFound` when it is not here, `InvalidData` when it is larger than `limit` bytes.
    pub fn read(&self, digest: &Digest, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(digest)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let text = format!("blob {digest} is larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(bytes)
    }

    /// Stores `bytes` under their digest.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn insert(&self, bytes: &[u8]) -> io::Result<Digest> {
        let mut upload = self.begin()?;
        upload.append(bytes)?;
        upload.keep()
    }

    /// Begins a blob whose bytes arrive in pieces. Dropping the upload discards it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin(&self) -> io::Result<BlobUpload> {
        fs::create_dir_all(&self.uploads)?;
        let file = NamedTempFile::new_in(&self.uploads)?;
        Ok(BlobUpload { store: self.clone(), file, hasher: Sha256::new(), length: 0 })
    }

    /// Removes a blob; one that is not here is fine.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self, digest: &Digest) -> io::Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A blob on its way into the store.
#[derive(Debug)]
pub struct BlobUpload {
    store: BlobStore,
    file: NamedTempFile,
    hasher: Sha256,
    length: u64,
}

/// Why an upload did not become a blob.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The bytes received are not the bytes announced.
    #[error(
        "the content has digest {actual}, not {expected}: it was changed or cut on the way, upload it again"
    )]
    Mismatch {
        /// What the client announced.
        expected: Digest,
        /// What the received bytes hash to.
        actual: Digest,
    },
    /// The disk refused.
    #[error("cannot store the blob: {0}")]
    Io(#[from] io::Error),
}

impl BlobUpload {
    /// Bytes received so far.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was received yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When the disk refuses; the upload is then unusable.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Ends the upload as the blob `expected`.
    ///
    /// # Errors
    /// [`UploadError::Mismatch`] when the bytes hash to something else; nothing is stored then.
    pub fn finish(self, expected: &Digest) -> Result<(), UploadError> {
        let actual = self.digest();
        if actual != *expected {
            return Err(UploadError::Mismatch { expected: expected.clone(), actual });
        }
        self.keep()?;
        Ok(())
    }

    fn digest(&self) -> Digest {
        Digest::from_hash(self.hasher.clone().finalize().as_slice())
    }

    fn keep(self) -> io::Result<Digest> {
        let digest = self.digest();
        let path = self.store.path(&digest);
        if self.store.size(&digest) == Some(self.length) {
            return Ok(digest);
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        self.file.as_file().sync_data()?;
        self.file.persist(&path).map_err(|error| error.error)?;
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_whole_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let digest = store.insert(b"hello").unwrap();
        assert_eq!(store.size(&digest), Some(5));
        assert_eq!(store.read(&digest, 5).unwrap(), b"hello");
        assert_eq!(store.read(&digest, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);

        let mut upload = store.begin().unwrap();
        upload.append(b"hel").unwrap();
        upload.append(b"lo!").unwrap();
        assert_eq!(upload.len(), 6);
        let error = upload.finish(&digest).unwrap_err();
        assert!(matches!(error, UploadError::Mismatch { .. }), "{error}");

        let _abandoned = store.begin().unwrap();
        let again = BlobStore::open(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
        again.remove(&digest).unwrap();
        again.remove(&digest).unwrap();
        assert_eq!(again.size(&digest), None);
    }
}
