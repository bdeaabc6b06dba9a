//! A journal in a local file.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{JournalError, JournalFile};
use crate::store::folder;

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

    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        let path = self.path.clone();
        let result = tokio::task::spawn_blocking(move || work(&path)).await;
        let place = self.place();
        result.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| JournalError::Io {
            action,
            place,
            reason: error.to_string(),
        })
    }

    fn opened(&self) -> Result<Open, JournalError> {
        self.open.clone().ok_or_else(|| JournalError::Io {
            action: "cut",
            place: self.place(),
            reason: "it was not read before".to_owned(),
        })
    }
}

#[async_trait]
impl JournalFile for LocalJournal {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    async fn read(&mut self) -> Result<Vec<u8>, JournalError> {
        let (open, bytes) = self.blocking("read", read).await?.unzip();
        self.open = open;
        Ok(bytes.unwrap_or_default())
    }

    async fn truncate(&mut self, length: u64) -> Result<(), JournalError> {
        let open = self.opened()?;
        let file = open.file.clone();
        self.blocking("cut", move |_| file.set_len(length).and_then(|()| file.sync_all())).await?;
        self.open = Some(Open { length, ..open });
        Ok(())
    }

    async fn append(&mut self, batch: Bytes) -> Result<(), JournalError> {
        let open = self.open.clone();
        let written = self.blocking("write", move |path| append(path, open, &batch)).await?;
        self.open = Some(written.ok_or_else(|| JournalError::Fenced { place: self.place() })?);
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Option<(Open, Vec<u8>)>> {
    let mut file = match File::options().read(true).append(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let open = Open { file: Arc::new(file), length: bytes.len() as u64 };
    Ok(Some((open, bytes)))
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
    File::options().create_new(true).read(true).append(true).open(path)
}
