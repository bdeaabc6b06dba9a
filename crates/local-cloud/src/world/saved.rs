//! The world on disk: one JSON file, replaced atomically, with a version of its format.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::State;

/// Raised when an older cloud could not read a newer file.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Saving<'a> {
    format: u32,
    state: &'a State,
}

#[derive(Deserialize)]
struct Saved {
    state: State,
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// Why the world could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The file or its folder cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is of another version, or damaged.
    #[error("{}: {reason}. `pipeline cloud reset` starts over with an empty cloud", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The world cannot be written as JSON.
    #[error("the cloud's state cannot be written: {0}")]
    Encode(#[from] serde_json::Error),
}

pub(super) fn read(path: &Path) -> Result<Option<State>, SaveError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SaveError::File { path: path.to_owned(), source }),
    };
    let content = |reason: String| SaveError::Content { path: path.to_owned(), reason };
    let header: Header = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
    if header.format != FORMAT {
        return Err(content(format!("format {} is not the {FORMAT} that this version reads", header.format)));
    }
    let saved: Saved = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
    Ok(Some(saved.state))
}

pub(super) fn encode(state: &State) -> Result<Vec<u8>, SaveError> {
    Ok(serde_json::to_vec(&Saving { format: FORMAT, state })?)
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    let fail = |source| SaveError::File { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(fail)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_data().map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}
