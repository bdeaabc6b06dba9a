//! States and journals in local files: `.pipeline/ENVIRONMENT/state.json` and `runs/RUN.journal`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pipeline_sdk::{CancellationToken, RunId};
use serde::{Deserialize, Serialize};

use super::{Holder, LockStatus, StateLock, StateStore, StoreError, disk, folder};
use crate::journal::{JournalFile, LocalJournal};

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
    async fn try_lock(&self, environment: &str, holder: &Holder) -> Result<Box<dyn StateLock>, StoreError> {
        let folder = self.root.join(environment);
        let (environment, holder) = (environment.to_owned(), holder.clone());
        let lock = done(disk::read(move || take(folder, environment, &holder)).await)?;
        Ok(Box::new(lock))
    }

    async fn peek(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.root.join(environment).join("state.json");
        done(disk::read(move || read(&path)).await)
    }

    fn place(&self, environment: &str) -> String {
        self.root.join(environment).join("state.json").display().to_string()
    }

    fn journal(&self, environment: &str, run: RunId) -> Box<dyn JournalFile> {
        let runs = self.root.join(environment).join("runs");
        Box::new(LocalJournal::new(runs.join(format!("{run}.journal"))))
    }

    async fn runs(&self, environment: &str) -> Result<Vec<RunId>, StoreError> {
        let folder = self.root.join(environment).join("runs");
        done(disk::read(move || runs(&folder)).await)
    }

    async fn lock_status(&self, environment: &str) -> Result<LockStatus, StoreError> {
        let path = self.root.join(environment).join("lock");
        done(disk::read(move || status(&path)).await)
    }

    async fn break_lock(&self, environment: &str) -> Result<Option<Holder>, StoreError> {
        match self.lock_status(environment).await? {
            LockStatus::Free => Ok(None),
            LockStatus::Held { holder, .. } => {
                Err(StoreError::InUse { environment: environment.to_owned(), holder })
            }
        }
    }
}

struct LocalLock {
    environment: String,
    folder: Arc<Path>,
    epoch: u64,
    /// The operating system gives the lock back when the file is closed, also after a crash. `None` once
    /// it was given back.
    file: Mutex<Option<File>>,
    /// Never cancelled: nobody can take the lock of a living process.
    lost: CancellationToken,
}

impl LocalLock {
    fn file(&self) -> MutexGuard<'_, Option<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StateLock for LocalLock {
    async fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.folder.join("state.json");
        done(disk::read(move || read(&path)).await)
    }

    async fn save(&self, state: Vec<u8>) -> Result<(), StoreError> {
        self.confirm().await?;
        let folder = self.folder.clone();
        done(disk::write(move || replace(&folder, &state)).await)
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_held(&self) -> bool {
        self.file().is_some()
    }

    async fn confirm(&self) -> Result<(), StoreError> {
        if self.is_held() {
            return Ok(());
        }
        Err(StoreError::Lost { environment: self.environment.clone(), by: None })
    }

    fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    async fn release(&self) -> Result<(), StoreError> {
        // Closing the file unlocks it.
        drop(self.file().take());
        Ok(())
    }
}

/// What is written into the file of the lock: for people and messages, and to count. The lock itself is
/// the operating system's.
#[derive(Serialize, Deserialize)]
struct LockFile {
    #[serde(default)]
    epoch: u64,
    #[serde(flatten)]
    holder: Holder,
}

/// How the name of a state begins that is being written.
const UNFINISHED: &str = ".state-";

/// How often a lock is tried again at once: somebody may just be looking at it ([`status`]).
const LOOKS: u32 = 3;

fn take(folder: PathBuf, environment: String, holder: &Holder) -> Result<LocalLock, StoreError> {
    folder::create(&folder).map_err(at("create", &folder))?;
    let path = folder.join("lock");
    let options = || File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = options().map_err(at("open", &path))?;
    let mut looks = 0;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if looks < LOOKS => {
                looks += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(TryLockError::WouldBlock) => {
                let holder = read_lock(&mut file).map(|found| found.holder);
                return Err(StoreError::Locked { environment, holder });
            }
            Err(TryLockError::Error(error)) => return Err(at("lock", &path)(error)),
        }
    }
    remove_unfinished(&folder);
    let epoch = read_lock(&mut file).map_or(0, |found| found.epoch) + 1;
    write_lock(&mut file, &LockFile { epoch, holder: holder.clone() }).map_err(at("write", &path))?;
    let (file, lost) = (Mutex::new(Some(file)), CancellationToken::new());
    Ok(LocalLock { environment, folder: folder.into(), epoch, file, lost })
}

/// Only the first line counts: a process that ended while it wrote may have left more.
fn read_lock(file: &mut File) -> Option<LockFile> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    serde_json::from_str(text.lines().next()?).ok()
}

fn write_lock(file: &mut File, content: &LockFile) -> io::Result<()> {
    let mut text = serde_json::to_vec(content)?;
    text.push(b'\n');
    file.rewind()?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)
}

fn status(path: &Path) -> Result<LockStatus, StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockStatus::Free),
        Err(error) => return Err(at("open", path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(LockStatus::Free),
        Err(TryLockError::WouldBlock) => {
            let found = read_lock(&mut file);
            let epoch = found.as_ref().map_or(0, |found| found.epoch);
            Ok(LockStatus::Held {
                holder: found.map(|found| found.holder),
                epoch,
                lease: None,
                renewed: None,
            })
        }
        Err(TryLockError::Error(error)) => Err(at("lock", path)(error)),
    }
}

fn runs(folder: &Path) -> Result<Vec<RunId>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at("list", folder)(error)),
    };
    let mut runs = Vec::new();
    for entry in entries {
        let name = entry.map_err(at("list", folder))?.file_name();
        let run = name.to_str().and_then(|name| name.strip_suffix(".journal"));
        runs.extend(run.and_then(RunId::parse));
    }
    runs.sort();
    Ok(runs)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at("read", path)(error)),
    }
}

/// Removes what processes have left that were killed while they wrote a state. Only the holder of the lock writes one.
fn remove_unfinished(folder: &Path) {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    for name in names.filter(|name| name.to_str().is_some_and(|name| name.starts_with(UNFINISHED))) {
        // One that cannot be removed is only in the way of tidiness.
        let _ = fs::remove_file(folder.join(name));
    }
}

/// Writes beside the file, makes that durable, and puts it in the file's place in one step.
fn replace(folder: &Path, state: &[u8]) -> Result<(), StoreError> {
    let path = folder.join("state.json");
    let write = || -> io::Result<()> {
        let mut next = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        next.write_all(state)?;
        next.as_file().sync_all()?;
        next.persist(&path)?;
        folder::sync_names(folder)
    };
    write().map_err(at("write", &path))
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let place = path.display().to_string();
    move |source| StoreError::Io { action, place, source }
}

/// What came of work on the disk.
fn done<T>(work: io::Result<Result<T, StoreError>>) -> Result<T, StoreError> {
    work.unwrap_or_else(|source| {
        Err(StoreError::Io { action: "use", place: "the state store".to_owned(), source })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_saved_state_is_read_back_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("folder");
        let store = LocalStore::beside(folder.path());
        let lock = store.try_lock("local", &Holder::this_process(RunId::generate())).await.expect("lock");
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
        let lock = store.try_lock("local", &first).await.expect("lock");
        let second = Holder::this_process(RunId::generate());
        match store.try_lock("local", &second).await.map(|_| ()) {
            Err(StoreError::Locked { holder, .. }) => assert_eq!(holder, Some(first)),
            other => panic!("{other:?}"),
        }
        store.try_lock("other", &second).await.expect("another environment is free");
        drop(lock);
        store.try_lock("local", &second).await.expect("the lock is free again");
    }
}
