//! Where states and journals are kept, and the lock that keeps two runs on one environment apart.
//!
//! A state can only be read and written for a run through the lock, so no run can forget to take it.

pub(crate) mod disk;
mod error;
pub(crate) mod folder;
mod local;
mod memory;
mod object;
mod wait;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use pipeline_sdk::{CancellationToken, RunId};
use serde::{Deserialize, Serialize};

pub(crate) use object::{conditional, refusal};

pub use error::StoreError;
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use object::ObjectStateStore;
pub use wait::Wait;

use crate::journal::JournalFile;

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// The process id.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// Since when.
    pub since: Timestamp,
}

impl Holder {
    /// This process, for `run`.
    pub fn this_process(run: RunId) -> Self {
        let host = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
        let host = host.map_or_else(|| "this machine".to_owned(), |host| host.trim().to_owned());
        Self { run, pid: std::process::id(), host, since: Timestamp::now() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, pid, host, since } = self;
        write!(f, "run {run}, process {pid} on {host}, since {since}")
    }
}

/// Whether somebody holds a lock.
#[derive(Clone, Debug, PartialEq)]
pub enum LockStatus {
    /// Nobody does.
    Free,
    /// Somebody does, or did until their process ended without saying so.
    Held {
        /// Who, if that could be read.
        holder: Option<Holder>,
        /// How often the lock was taken so far.
        epoch: u64,
        /// How long after the holder's last sign of life others may take the lock; `None` if they
        /// may as soon as its process has ended.
        lease: Option<Duration>,
        /// When that sign was, by the clock of the store; `None` without a lease.
        renewed: Option<Timestamp>,
    },
}

/// Keeps the states of environments.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Takes the lock of `environment`, or fails at once.
    ///
    /// # Errors
    /// [`StoreError::Locked`] names the holder.
    async fn try_lock(&self, environment: &str, holder: &Holder) -> Result<Box<dyn StateLock>, StoreError>;

    /// Takes the lock of `environment`, waiting for it as `wait` says.
    ///
    /// # Errors
    /// [`StoreError::Locked`] names who held it to the end.
    async fn lock(
        &self,
        environment: &str,
        holder: &Holder,
        wait: Wait<'_>,
    ) -> Result<Box<dyn StateLock>, StoreError> {
        wait.poll(|since| {
            let holder = Holder { since: since.unwrap_or(holder.since), ..holder.clone() };
            async move { self.try_lock(environment, &holder).await }
        })
        .await
    }

    /// The state of `environment` without its lock: for looking only. `None` before the first save.
    ///
    /// # Errors
    /// It exists and cannot be read.
    async fn peek(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// What people call the state of `environment`: a path or an address.
    fn place(&self, environment: &str) -> String;

    /// The journal of `run` in `environment`. Nothing is opened or made yet. Anybody may read it; whoever
    /// writes it holds the lock.
    fn journal(&self, environment: &str, run: RunId) -> Box<dyn JournalFile>;

    /// The runs that have a journal in `environment`, in the order in which they began.
    ///
    /// # Errors
    /// They cannot be listed.
    async fn runs(&self, environment: &str) -> Result<Vec<RunId>, StoreError>;

    /// Whether somebody holds the lock of `environment`, without taking it.
    ///
    /// # Errors
    /// It cannot be read.
    async fn lock_status(&self, environment: &str) -> Result<LockStatus, StoreError>;

    /// Takes the lock of `environment` from a holder that is gone and gives it back. Returns whose it
    /// was; `None` if it is free.
    ///
    /// A holder that lives after all notices when it next renews its lease, and can neither save the
    /// state nor write its journal once another run has begun.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if only the end of the holder's process frees it.
    async fn break_lock(&self, environment: &str) -> Result<Option<Holder>, StoreError>;
}

/// The lock of one environment.
///
/// Given back by [`StateLock::release`]. When it is dropped or the process ends, that is tried too; a
/// store that is no file of this machine may then need the length of a lease to notice.
#[async_trait]
pub trait StateLock: Send + Sync {
    /// The state; `None` before the first save.
    ///
    /// # Errors
    /// It exists and cannot be read.
    async fn load(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Puts `state` in the place of the one before, wholly or not at all, and durably.
    ///
    /// # Errors
    /// The one before is still there, or what another holder has put in its place.
    async fn save(&self, state: Vec<u8>) -> Result<(), StoreError>;

    /// Grows by one whenever the lock is taken.
    fn epoch(&self) -> u64;

    /// Whether the lock is certainly still this run's at this instant: asked before each side effect.
    /// Never touches the store. Once `false`, it stays so.
    fn is_held(&self) -> bool;

    /// Returns once the store itself has said that the lock is still this run's. A run asks once it can be found, with
    /// its journal durably there, and before its first side effect: whoever breaks the lock before that leaves nothing
    /// to others by which they could keep this run from going on.
    ///
    /// # Errors
    /// [`StoreError::Lost`]: it is not, or cannot be told for longer than it lives.
    async fn confirm(&self) -> Result<(), StoreError>;

    /// Cancelled when the lock is lost: taken by somebody else, or not renewed for too long.
    fn lost(&self) -> CancellationToken;

    /// Gives the lock back. Giving it back again does nothing.
    ///
    /// # Errors
    /// Others may have to wait until its lease is over.
    async fn release(&self) -> Result<(), StoreError>;
}
