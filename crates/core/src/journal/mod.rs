//! The journal: a durable, ordered record of what one run is about to do and what came of it.
//!
//! A side effect begins only once its intent is durable ([`Journal::append`]), so whatever happens to
//! the process, [`recover`] tells from the journal what may have been done to the world.
//!
//! It is text with one record a line, for people to read. Each line begins with a checksum over itself
//! and the checksum of the line before: [`read`] finds a line that was changed, lost or put in.

mod encoding;
mod error;
mod file;
mod flusher;
#[cfg(test)]
mod legal;
mod local;
mod memory;
mod object;
mod of_run;
mod rate;
mod reading;
mod recovery;
mod redaction;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pipeline_sdk::{Done, PipelineId, RunCommand, RunId, RunOutcome, StageName, StageOutcome, Value};

pub use error::JournalError;
pub use file::JournalFile;
pub use local::LocalJournal;
pub use memory::MemoryJournal;
pub use object::ObjectJournal;
pub use of_run::RunJournal;
pub use rate::{Rate, measure_rate};
pub use reading::{Reading, Torn, read};
pub use recovery::{Ending, Prospect, Recovered, RecoveredStage, recover};
pub use writer::Journal;

use crate::plan::Plan;
use crate::state::{StageRecord, State};
use crate::store::Holder;

/// One record of a journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Gapless within the journal, from 0.
    pub seq: u64,
    /// When it was recorded, by the clock of the process that did.
    pub at: Timestamp,
    /// What is recorded.
    pub entry: Entry,
}

/// What a journal records.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The process that holds the lock from here on writes this first, before it changes anything.
    /// In a journal that goes on after it, the process before is gone: how far it came with what it
    /// had begun is unknown.
    Fence {
        /// Grows with every new holder of the lock.
        epoch: u64,
        /// Who it is.
        holder: Holder,
    },
    /// The run began.
    Began(Began),
    /// The run will do this and nothing else.
    Planned(Arc<Plan>),
    /// A stage began to apply its plan.
    StageStarted {
        /// The stage.
        stage: StageName,
    },
    /// A side effect is about to happen.
    Intent {
        /// The stage that will do it.
        stage: StageName,
        /// Names the intent within its stage.
        id: u64,
        /// What will be done, and what is needed to undo it. Its `after` is not recorded here.
        done: Done,
    },
    /// A side effect happened.
    Result {
        /// The stage that did it.
        stage: StageName,
        /// The intent.
        id: u64,
        /// What is there now.
        after: Value,
    },
    /// A stage ended. What undoing made of it is [`Entry::Undone`] or [`Entry::UndoFailed`].
    StageFinished {
        /// The stage.
        stage: StageName,
        /// How: applied, unchanged, failed or skipped.
        outcome: StageOutcome,
        /// What the state knows of it from now on; of a failed stage, what is known so far. Nothing if that
        /// is what it knew before, or nothing.
        record: Option<StageRecord>,
    },
    /// The run was asked to stop.
    CancelRequested {
        /// By what, such as `SIGINT`.
        cause: String,
    },
    /// The run is being undone.
    RollbackStarted {
        /// Why.
        cause: String,
    },
    /// What a stage did is being undone.
    UndoStarted {
        /// The stage.
        stage: StageName,
    },
    /// What a stage did was undone.
    Undone {
        /// The stage.
        stage: StageName,
    },
    /// What a stage did could not be undone.
    UndoFailed {
        /// The stage.
        stage: StageName,
        /// Why.
        error: String,
    },
    /// The run ended: nothing follows.
    Ended {
        /// How.
        outcome: RunOutcome,
        /// What could not be undone, or was kept on purpose, one line for each resource.
        left_over: Vec<String>,
        /// Why it did not succeed, if it did not.
        error: Option<String>,
    },
}

/// What a run set out to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Began {
    /// Which app and environment.
    pub pipeline: PipelineId,
    /// What was asked.
    pub command: RunCommand,
    /// Where it works, such as `eu-central-1 (embedded cloud)`.
    pub target: String,
    /// The process.
    pub holder: Holder,
    /// The state that undoing it leads back to: the one it began with, or with `inherits` the one that the
    /// other run goes back to.
    pub before: State,
    /// What it takes over.
    pub inherits: Option<Inherited>,
    /// The earlier run whose deployment it brings back.
    pub redeploys: Option<RunId>,
}

/// What a run takes over from another one: it goes on with what that one had begun, or undoes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Inherited {
    /// The other run.
    pub run: RunId,
    /// What each of its stages did, first to last.
    pub done: BTreeMap<StageName, Vec<Done>>,
}
