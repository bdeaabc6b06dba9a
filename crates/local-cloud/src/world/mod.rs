//! What exists: every account and region in memory, behind one lock.
//!
//! Handlers and controllers change it in short synchronous steps and never wait while they hold it.
//! Every change raises a version that anyone can watch; a background task writes it to disk.

mod arn;
mod saved;
mod state;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub(crate) use arn::Arn;
pub(crate) use saved::SaveError;
pub(crate) use state::{Account, Partition, Region, State};

/// The account of callers whose access key names none.
pub(crate) const DEFAULT_ACCOUNT: &str = "123456789012";

/// What exists, shared by everything that runs in the cloud. Cloning shares it.
#[derive(Clone)]
pub(crate) struct World {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    file: Option<PathBuf>,
}

impl World {
    /// A world that lives in memory only.
    pub(crate) fn in_memory() -> Self {
        Self::with(State::default(), None)
    }

    /// The world saved in `file`, or a new one if there is none. Changes go to the file by
    /// [`World::keep_saved`].
    pub(crate) fn open(file: PathBuf) -> Result<Self, SaveError> {
        let state = saved::read(&file)?.unwrap_or_default();
        Ok(Self::with(state, Some(file)))
    }

    fn with(state: State, file: Option<PathBuf>) -> Self {
        let shared = Shared { state: Mutex::new(state), version: watch::Sender::new(0), file };
        Self { shared: Arc::new(shared) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A handler that panicked left what it had done so far; the world goes on, as AWS would.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the world.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the world and tells the watchers.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.touch();
        result
    }

    /// Runs `step`, which tells whether it changed anything; the watchers hear of it only then.
    /// For controllers, which look far more often than they change.
    pub(crate) fn write_if<T>(&self, step: impl FnOnce(&mut State) -> (T, bool)) -> T {
        let (result, changed) = step(&mut self.lock());
        if changed {
            self.touch();
        }
        result
    }

    fn touch(&self) {
        self.shared.version.send_modify(|version| *version += 1);
    }

    /// Hears of every change.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// Forgets everything, as on a first start.
    pub(crate) fn reset(&self) {
        self.write(|state| *state = State { addresses: state.addresses, ..State::default() });
    }

    /// Writes the world to its file now. A world in memory has nothing to do.
    pub(crate) fn save(&self) -> Result<(), SaveError> {
        let Some(file) = &self.shared.file else { return Ok(()) };
        let bytes = self.read(saved::encode)?;
        saved::write(file, &bytes)
    }

    /// Saves after every burst of changes, until the world's last sender is gone. Run it as a task.
    pub(crate) async fn keep_saved(self) {
        let mut version = self.watch();
        while version.changed().await.is_ok() {
            // A burst of calls shares one write.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            version.mark_unchanged();
            let world = self.clone();
            match tokio::task::spawn_blocking(move || world.save()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the cloud's state was not saved"),
                Err(error) => tracing::error!(%error, "saving the cloud's state failed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_world_is_read_back() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("world.json");
        let world = World::open(file.clone()).expect("opens");
        world.write(|state| {
            state.region_mut("111122223333", "eu-central-1");
        });
        world.save().expect("saves");
        let again = World::open(file).expect("opens again");
        assert!(again.read(|state| state.accounts.contains_key("111122223333")));
    }

    #[test]
    fn only_changes_are_heard() {
        let world = World::in_memory();
        let mut watch = world.watch();
        world.read(|_| ());
        world.write_if(|_| ((), false));
        assert!(!watch.has_changed().expect("open"));
        world.write(|_| ());
        assert!(watch.has_changed().expect("open"));
        watch.mark_unchanged();
    }
}
