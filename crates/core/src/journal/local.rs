//! A journal in a local file.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{JournalError, JournalFile};
use crate::store::{disk, folder};

/// A journal in a file of this machine.
#[derive(Debug)]
pub struct LocalJournal {
    path: Arc<Path>,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    file: Arc<File>,
    /// How long the file is if nobody else writes to it.
    length: u64,
}

impl LocalJournal {
    /// The journal at `path`. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into().into(), open: None }
    }

    /// What came of work on the disk.
    fn done<T>(&self, action: &'static str, work: io::Result<io::Result<T>>) -> Result<T, JournalError> {
        work.flatten().map_err(|error| self.failed(action, &error.to_string()))
    }

    fn failed(&self, action: &'static str, reason: &str) -> JournalError {
        JournalError::Io { action, place: self.place(), reason: reason.to_owned() }
    }

    fn opened(&self) -> Result<Open, JournalError> {
        self.open.clone().ok_or_else(|| self.failed("cut", "it was not read before"))
    }
}

#[async_trait]
impl JournalFile for LocalJournal {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    async fn read(&mut self) -> Result<Vec<u8>, JournalError> {
        let path = self.path.clone();
        let (open, bytes) = self.done("read", disk::read(move || read(&path)).await)?.unzip();
        self.open = open;
        Ok(bytes.unwrap_or_default())
    }

    async fn truncate(&mut self, length: u64) -> Result<(), JournalError> {
        let open = self.opened()?;
        let file = open.file.clone();
        let cut = move || file.set_len(length).and_then(|()| file.sync_all());
        self.done("cut", disk::write(cut).await)?;
        self.open = Some(Open { length, ..open });
        Ok(())
    }

    async fn append(&mut self, batch: Bytes) -> Result<(), JournalError> {
        let (path, open) = (self.path.clone(), self.open.clone());
        let written = self.done("write", disk::write(move || append(&path, open, &batch)).await)?;
        self.open = Some(written.ok_or_else(|| JournalError::Fenced { place: self.place() })?);
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Option<(Open, Vec<u8>)>> {
    let mut file = match File::options().read(true).append(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Whoever only looks needs no more; a write will fail.
        Err(error) if is_forbidden(&error) => File::open(path)?,
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let open = Open { file: Arc::new(file), length: bytes.len() as u64 };
    Ok(Some((open, bytes)))
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// `None` if somebody else wrote to the file.
fn append(path: &Path, open: Option<Open>, batch: &[u8]) -> io::Result<Option<Open>> {
    let (open, new) = match open {
        Some(open) => (open, false),
        None => match create(path) {
            Ok(file) => (Open { file: Arc::new(file), length: 0 }, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    let mut file = &*open.file;
    if file.metadata()?.len() != open.length {
        return Ok(None);
    }
    file.write_all(batch)?;
    file.sync_data()?;
    if new {
        // The name is durable once the folder is.
        path.parent().map_or(Ok(()), folder::sync_names)?;
    }
    let length = open.length + batch.len() as u64;
    Ok(Some(Open { length, ..open }))
}

fn create(path: &Path) -> io::Result<File> {
    path.parent().map_or(Ok(()), folder::create)?;
    let mut options = File::options();
    options.create_new(true).read(true).append(true);
    // It holds what the state holds, which only its owner reads.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
