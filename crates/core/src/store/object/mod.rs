//! States, locks and journals in an object store, such as a bucket of S3.
//!
//! Below the prefix, for each environment: `state.json`, `lock.json` and `runs/RUN/NUMBER.jsonl`.

pub(crate) mod conditional;
mod held;
mod lease;
mod lock_file;
pub(crate) mod refusal;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use pipeline_sdk::RunId;
use tokio::time::Instant;

use self::conditional::{Found, Put, get, put};
use self::held::ObjectLock;
use self::lease::{Lease, Stopwatch};
use self::lock_file::LockFile;
use super::{Holder, LockStatus, StateLock, StateStore, StoreError};
use crate::journal::{JournalFile, ObjectJournal};

/// How long a lease lasts unless told otherwise.
const LEASE: Duration = Duration::from_secs(30);

/// A store dates what it is given by the second, as HTTP does (RFC 9110 section 8.8.2): two dates may be off by one each.
const COARSE: Duration = Duration::from_secs(2);

/// How often a lock is looked at again when it changes while it is written.
const ATTEMPTS: u32 = 5;

/// Keeps states in an object store.
///
/// The lock is a lease: its holder renews it at a third of its life. Others may take it once they have
/// seen the same lease, by their own clock, for longer than its life, or once the store dates it so long
/// before something that it is given now. So no two clocks are compared.
#[derive(Clone)]
pub struct ObjectStateStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    lease: Duration,
    /// What the lock of each environment looked like.
    seen: Arc<Mutex<HashMap<String, Sighting>>>,
}

/// A lock that looked the same, by its tag, since some time.
struct Sighting {
    tag: Option<String>,
    since: Instant,
}

impl ObjectStateStore {
    /// Keeps states below `prefix` of `store`, which has to know conditional writes: a bucket of S3,
    /// for example, and not [`object_store::local::LocalFileSystem`]. Whoever makes the store decides
    /// on credentials, retries and TLS.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: impl Into<Path>) -> Self {
        Self { store, prefix: prefix.into(), lease: LEASE, seen: Arc::default() }
    }

    /// Locks that it takes live this long without being renewed; 30 seconds unless told otherwise.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    fn object(&self, environment: &str, name: &str) -> Object {
        let path = self.prefix.clone().join(environment).join(name);
        Object { store: self.store.clone(), path }
    }

    /// Whether a lock has not been renewed for longer than it lives.
    async fn is_over(&self, environment: &str, lock: &Found, life: Duration) -> bool {
        match self.look(environment, &lock.version.e_tag) {
            Look::Same(age) => age > life,
            Look::Renewed => false,
            Look::First => self
                .now(environment)
                .await
                .is_some_and(|now| now.duration_since(lock.written).is_ok_and(|age| age > life + COARSE)),
        }
    }

    fn look(&self, environment: &str, tag: &Option<String>) -> Look {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let look = match seen.get(environment) {
            Some(known) if known.tag == *tag && tag.is_some() => {
                return Look::Same(now.duration_since(known.since));
            }
            Some(_) => Look::Renewed,
            None => Look::First,
        };
        seen.insert(environment.to_owned(), Sighting { tag: tag.clone(), since: now });
        look
    }

    /// The time by the store's own clock, which dates what it is given; `None` if it does not say.
    async fn now(&self, environment: &str) -> Option<SystemTime> {
        let path = self.object(environment, "clock").path;
        self.store.put(&path, "written to learn the time of this store".into()).await.ok()?;
        let now = self.store.head(&path).await.ok().map(|object| object.last_modified.into());
        // Whoever may not remove it leaves a few bytes that the next one writes over.
        let _ = self.store.delete(&path).await;
        now
    }
}

/// What was seen of a lock.
enum Look {
    /// It is the first that this process sees of it.
    First,
    /// It changed since the last look: its holder lives.
    Renewed,
    /// It has looked the same for so long.
    Same(Duration),
}

#[async_trait]
impl StateStore for ObjectStateStore {
    async fn try_lock(&self, environment: &str, holder: &Holder) -> Result<Box<dyn StateLock>, StoreError> {
        let object = self.object(environment, "lock.json");
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let found = object.get().await?;
            let current = found.as_ref().map(|found| LockFile::read(&object, &found.bytes)).transpose()?;
            if let (Some(current), Some(found)) = (&current, &found)
                && let Some(holder) = &current.holder
                && !self.is_over(environment, found, current.life()).await
            {
                let holder = Some(holder.clone());
                return Err(StoreError::Locked { environment: environment.to_owned(), holder });
            }
            let epoch = current.map_or(0, |current| current.epoch) + 1;
            let mine = LockFile::held(epoch, self.lease, holder.clone());
            let since = Stopwatch::start();
            match object.put(mine.write(), found.map(|found| found.version).as_ref()).await? {
                Put::Written(version) => {
                    let lease = Lease::start(environment, object, (mine, version), since);
                    let state = self.object(environment, "state.json");
                    return Ok(Box::new(ObjectLock::new(lease, state, epoch)));
                }
                // Somebody was faster; perhaps they gave it back already.
                Put::Other(found) => last = found,
            }
        }
        let last = last.and_then(|found| LockFile::read(&object, &found.bytes).ok());
        let holder = last.and_then(|last| last.holder);
        Err(StoreError::Locked { environment: environment.to_owned(), holder })
    }

    async fn peek(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.object(environment, "state.json").get().await?;
        Ok(found.map(|found| found.bytes.into()))
    }

    fn place(&self, environment: &str) -> String {
        self.object(environment, "state.json").place()
    }

    fn journal(&self, environment: &str, run: RunId) -> Box<dyn JournalFile> {
        let prefix = self.object(environment, "runs").path.join(run.to_string());
        Box::new(ObjectJournal::new(self.store.clone(), prefix))
    }

    async fn runs(&self, environment: &str) -> Result<Vec<RunId>, StoreError> {
        let folder = self.object(environment, "runs");
        let listed = self.store.list_with_delimiter(Some(&folder.path)).await;
        let listed = listed.map_err(folder.failed("list"))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        let mut runs: Vec<_> = names.filter_map(RunId::parse).collect();
        runs.sort();
        Ok(runs)
    }

    async fn lock_status(&self, environment: &str) -> Result<LockStatus, StoreError> {
        let object = self.object(environment, "lock.json");
        let Some(found) = object.get().await? else { return Ok(LockStatus::Free) };
        let lock = LockFile::read(&object, &found.bytes)?;
        let (epoch, lease) = (lock.epoch, Some(lock.life()));
        let renewed = Timestamp::try_from(found.written).ok();
        Ok(match lock.holder {
            Some(holder) => LockStatus::Held { holder: Some(holder), epoch, lease, renewed },
            None => LockStatus::Free,
        })
    }

    async fn break_lock(&self, environment: &str) -> Result<Option<Holder>, StoreError> {
        let object = self.object(environment, "lock.json");
        for _ in 0..ATTEMPTS {
            let Some(found) = object.get().await? else { return Ok(None) };
            let lock = LockFile::read(&object, &found.bytes)?;
            let Some(holder) = lock.holder.clone() else { return Ok(None) };
            if let Put::Written(_) = object.put(lock.released().write(), Some(&found.version)).await? {
                return Ok(Some(holder));
            }
        }
        // A holder that renews so often is alive.
        Err(StoreError::Conflict { place: object.place() })
    }
}

/// One object, with errors that name it.
#[derive(Clone)]
struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

impl Object {
    fn place(&self) -> String {
        format!("{} in {}", self.path, self.store)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(object_store::Error) -> StoreError {
        let place = self.place();
        move |source| StoreError::Service { action, place, source }
    }

    async fn get(&self) -> Result<Option<Found>, StoreError> {
        get(self.store.as_ref(), &self.path).await.map_err(self.failed("read"))
    }

    async fn put(
        &self,
        bytes: Bytes,
        expected: Option<&object_store::UpdateVersion>,
    ) -> Result<Put, StoreError> {
        put(self.store.as_ref(), &self.path, bytes, expected).await.map_err(self.failed("write"))
    }
}
