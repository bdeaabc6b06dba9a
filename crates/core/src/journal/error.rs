//! Why a journal cannot be read or written.

use pipeline_sdk::RunId;

use super::encoding::VERSION;

/// What to do with a journal that cannot be believed.
const WAY_OUT: &str = "Move the journal out of the way, but keep it; then see with `pipeline plan` what is in the world: \
                       `pipeline run` goes on from there";

/// Why a journal cannot be read or written.
///
/// Clones, since one failed write is the answer to every append that shared it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JournalError {
    /// A line is not what was written.
    #[error(
        "line {line} of the journal is damaged: {reason}. What the run did after it cannot be told from \
         the journal. {WAY_OUT}"
    )]
    Damaged {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of it is not there.
    #[error("the journal is damaged: {reason}. {WAY_OUT}")]
    Incomplete {
        /// What is missing.
        reason: String,
    },
    /// A record cannot follow those before it.
    #[error("record {seq} of the journal cannot follow what is before it: {reason}. {WAY_OUT}")]
    Illegal {
        /// The record.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// It was written by a newer program.
    #[error(
        "the journal has version {found}, and this program reads up to {VERSION}; use a newer `pipeline`"
    )]
    TooNew {
        /// The version in the file.
        found: u64,
    },
    /// It belongs to another run.
    #[error(
        "the journal is of run {found}, not of run {wanted}; the file was moved or renamed: move it back"
    )]
    OtherRun {
        /// The run in the file.
        found: RunId,
        /// The run that was asked for.
        wanted: RunId,
    },
    /// Another process looks after the run by now.
    #[error(
        "another `pipeline` has taken over: {place} goes on without this process, which must not change \
         anything any more. See what it does with `pipeline plan`"
    )]
    Fenced {
        /// The journal.
        place: String,
    },
    /// The journal could not be written or read.
    #[error(
        "cannot {action} the journal {place}: {reason}. Check that there is room and that the permissions \
         are right, and run `pipeline` again: it looks after what this run has begun"
    )]
    Io {
        /// What was tried, as a verb: `write`.
        action: &'static str,
        /// The journal.
        place: String,
        /// Why.
        reason: String,
    },
    /// An earlier write failed. What is in the journal since is unknown, so nothing more is written.
    #[error(
        "nothing more is written to the journal, since an earlier write failed: {reason}. Run `pipeline` \
         again: it looks after what this run has begun"
    )]
    Poisoned {
        /// How it failed.
        reason: String,
    },
    /// A record cannot be represented as JSON.
    #[error("a record cannot be written as JSON: {reason}; this is a defect of the stage that made it")]
    Unwritable {
        /// Why.
        reason: String,
    },
}
