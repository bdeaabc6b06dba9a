//! Why a store did not do what it was asked.

use super::Holder;
use super::refusal::reason;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another run holds the lock.
    #[error(
        "another run works on `{environment}`{}; wait until it ends, or let `--lock-timeout 10m` wait. If its process \
         is gone, `pipeline lock status` says how long it is waited for", said(.holder)
    )]
    Locked {
        /// The environment.
        environment: String,
        /// Who holds it, if that could be read.
        holder: Option<Holder>,
    },
    /// The run held the lock and holds it no longer, or cannot be certain that it does.
    #[error(
        "the lock of `{environment}` was lost{}; nothing more is changed by this run. Check the connection \
         to the state store and run `pipeline` again: it looks after what this run has begun", taken(.by)
    )]
    Lost {
        /// The environment.
        environment: String,
        /// Who has it now, if that is known.
        by: Option<Holder>,
    },
    /// A lock that only the end of its process frees.
    #[error(
        "the lock of `{environment}` belongs to a process that is alive{}; a lock on local files cannot be \
         taken from it. End that process, and the lock is free", said(.holder)
    )]
    InUse {
        /// The environment.
        environment: String,
        /// Who holds it, if that could be read.
        holder: Option<Holder>,
    },
    /// Somebody else has written what this run would have overwritten.
    #[error(
        "{place} was changed by somebody else since this run read it; nothing was overwritten. Run `pipeline` \
         again, and look who works on the environment without its lock"
    )]
    Conflict {
        /// Which object.
        place: String,
    },
    /// Something in the store is not what this program writes.
    #[error("{place} is damaged: {reason}; look at it, and remove it if nobody works on the environment")]
    Damaged {
        /// Which file or object.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The disk refused.
    #[error("cannot {action} {place}: {source}; check that the disk has room and the permissions are right")]
    Io {
        /// What was tried, as a verb: `write`.
        action: &'static str,
        /// Which file.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// The service behind the store refused, or did not answer.
    #[error(
        "cannot {action} {place}: {}; check that the bucket is there, the credentials, its policy and the network",
        reason(.source)
    )]
    Service {
        /// What was tried, as a verb: `write`.
        action: &'static str,
        /// Which object.
        place: String,
        /// Why.
        source: object_store::Error,
    },
}

fn said(holder: &Option<Holder>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(" ({holder})"))
}

fn taken(holder: &Option<Holder>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(" to another run ({holder})"))
}
