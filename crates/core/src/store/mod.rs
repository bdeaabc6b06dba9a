//! Where states are kept, and the lock that keeps two runs on one environment apart.
//!
//! A state can only be read and written for a run through the lock, so no run can forget to take it.

mod local;
mod memory;

use async_trait::async_trait;
use jiff::Timestamp;
use pipeline_sdk::RunId;
use serde::{Deserialize, Serialize};

pub use local::LocalStore;
pub use memory::MemoryStore;

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

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another run holds the lock.
    #[error("another run works on `{environment}`{}; wait until it ends", said(.holder))]
    Locked {
        /// The environment.
        environment: String,
        /// Who holds it, if that could be read.
        holder: Option<Holder>,
    },
    /// The disk, or the service behind the store, refused.
    #[error("cannot {action} {place}: {source}; check that the disk has room and the permissions are right")]
    Io {
        /// What was tried, as a verb: `write`.
        action: &'static str,
        /// Which file or object.
        place: String,
        /// Why.
        source: std::io::Error,
    },
}

fn said(holder: &Option<Holder>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| {
        let Holder { run, pid, host, since } = holder;
        format!(" (run {run}, process {pid} on {host}, since {since})")
    })
}

/// Keeps the states of environments.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Takes the lock of `environment`, or fails at once.
    ///
    /// # Errors
    /// [`StoreError::Locked`] names the holder.
    async fn lock(&self, environment: &str, holder: &Holder) -> Result<Box<dyn StateLock>, StoreError>;

    /// The state of `environment` without its lock: for looking only. `None` before the first save.
    ///
    /// # Errors
    /// It exists and cannot be read.
    async fn peek(&self, environment: &str) -> Result<Option<Vec<u8>>, StoreError>;
}

/// The lock of one environment; given back when it is dropped, or the process ends.
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
    /// The one before is still there.
    async fn save(&self, state: Vec<u8>) -> Result<(), StoreError>;
}
