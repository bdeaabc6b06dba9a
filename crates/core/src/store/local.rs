//! States in local files: `.pipeline/ENVIRONMENT/state.json`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::{Holder, StateLock, StateStore, StoreError};

/// Keeps states in a folder of this machine.
#[derive(Clone, Debug)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// Keeps states below `root`, one folder for each environment. Made when first needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store of a pipeline: `.pipeline` in the folder of its file.
    pub fn beside(directory: &Path) -> Self {
        Self::new(directory.join(".pipeline"))
    }
}

#[async_trait]
impl StateStore for LocalStore {
    async fn lock(&self, environment: &str, holder: &Holder) -> Result<Box<dyn StateLock>, StoreError> {
        let folder = self.root.join(environment);
        let (environment, holder) = (environment.to_owned(), holder.clone());
        let lock = blocking(move || take(folder, environment, &holder)).await?;
        Ok(Box::new(lock))
    }

    async fn peek(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.root.join(environment).join("state.json");
        blocking(move || read(&path)).await
    }
}

struct LocalLock {
    folder: Arc<Path>,
    /// The operating system gives the lock back when the file is closed, also after a crash.
    _file: File,
}

#[async_trait]
impl StateLock for LocalLock {
    async fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.folder.join("state.json");
        blocking(move || read(&path)).await
    }

    async fn save(&self, state: Vec<u8>) -> Result<(), StoreError> {
        let folder = self.folder.clone();
        blocking(move || replace(&folder, &state)).await
    }
}

fn take(folder: PathBuf, environment: String, holder: &Holder) -> Result<LocalLock, StoreError> {
    fs::create_dir_all(&folder).map_err(at("create", &folder))?;
    let path = folder.join("lock");
    let options = || File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = options().map_err(at("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
            return Err(StoreError::Locked { environment, holder });
        }
        Err(TryLockError::Error(error)) => return Err(at("lock", &path)(error)),
    }
    // Only for people and for the message above; the lock itself is the operating system's.
    let text = serde_json::to_vec(holder).map_err(io::Error::from).map_err(at("write", &path))?;
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
    written.map_err(at("write", &path))?;
    Ok(LocalLock { folder: folder.into(), _file: file })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at("read", path)(error)),
    }
}

/// Writes beside the file, makes that durable, and puts it in the file's place in one step.
fn replace(folder: &Path, state: &[u8]) -> Result<(), StoreError> {
    let path = folder.join("state.json");
    let write = || -> io::Result<()> {
        let mut next = tempfile::Builder::new().prefix(".state-").tempfile_in(folder)?;
        next.write_all(state)?;
        next.as_file().sync_all()?;
        next.persist(&path)?;
        // The new name is durable once the folder is.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    };
    write().map_err(at("write", &path))
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let place = path.display().to_string();
    move |source| StoreError::Io { action, place, source }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let source = io::Error::other(error);
        Err(StoreError::Io { action: "use", place: "the state store".to_owned(), source })
    })
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::RunId;

    use super::*;

    #[tokio::test]
    async fn a_saved_state_is_read_back_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("folder");
        let store = LocalStore::beside(folder.path());
        let lock = store.lock("local", &Holder::this_process(RunId::generate())).await.expect("lock");
        assert_eq!(lock.load().await.expect("load"), None);
        for state in [b"one".to_vec(), b"two".to_vec()] {
            lock.save(state).await.expect("save");
        }
        assert_eq!(lock.load().await.expect("load"), Some(b"two".to_vec()));
        assert_eq!(store.peek("local").await.expect("peek"), Some(b"two".to_vec()));
        let mut names: Vec<_> = fs::read_dir(folder.path().join(".pipeline/local"))
            .expect("list")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["lock", "state.json"]);
    }

    #[tokio::test]
    async fn a_second_run_is_told_who_holds_the_lock_and_gets_it_afterwards() {
        let folder = tempfile::tempdir().expect("folder");
        let store = LocalStore::beside(folder.path());
        let first = Holder::this_process(RunId::generate());
        let lock = store.lock("local", &first).await.expect("lock");
        let second = Holder::this_process(RunId::generate());
        match store.lock("local", &second).await.map(|_| ()) {
            Err(StoreError::Locked { holder, .. }) => assert_eq!(holder, Some(first)),
            other => panic!("{other:?}"),
        }
        store.lock("other", &second).await.expect("another environment is free");
        drop(lock);
        store.lock("local", &second).await.expect("the lock is free again");
    }
}
