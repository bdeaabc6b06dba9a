//! The engine: reads a pipeline, plans it, applies it and undoes it.
//!
//! It knows no cloud and no command line and prints nothing: what happens is told as events.
//!
//! [`Pipeline`] reads and checks `pipeline.toml`. An [`Engine`] begins a [`Run`], which holds the lock
//! of the environment; the run makes a [`Plan`] and applies it, and ends in a [`RunReport`].

#![warn(missing_docs)]

mod backoff;
mod cancel;
mod config;
mod events;
mod expression;
mod failure;
mod git;
mod graph;
mod journal;
mod lifecycle;
mod node;
mod notify;
mod plan;
mod recorder;
mod run;
mod state;
mod store;

pub use cancel::Cancellation;
pub use config::suggestion::help as suggestion;
pub use config::{ConfigError, ConfigErrors, GivenVar, LoadOptions, OnFailure, Pipeline};
pub use events::EventSink;
pub use failure::StageFailure;
pub use journal::{
    Began, Ending, Entry, Inherited, Journal, JournalError, JournalFile, LocalJournal, MemoryJournal,
    ObjectJournal, Prospect, Rate, Reading, Record, Recovered, RecoveredStage, RunJournal, Torn,
    measure_rate, read as read_journal, recover,
};
pub use lifecycle::{RunState, StageState, Stop};
pub use notify::NotifyLimits;
pub use plan::{Plan, PlanError, PlannedStage};
pub use recorder::Unrecordable;
pub use run::{Defect, Engine, EngineError, Newest, Run, RunReport, StageReport, Target, Undoing};
pub use state::{StageRecord, State, StateError};
pub use store::{
    Holder, LocalStore, LockStatus, MemoryStore, ObjectStateStore, StateLock, StateStore, StoreError, Wait,
};
