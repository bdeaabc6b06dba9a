//! How a run ended.

use indexmap::IndexMap;
use pipeline_sdk::{RunId, RunOutcome, StageName, StageOutcome, Value};

use crate::failure::StageFailure;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The stages in the order of the plan.
    pub stages: Vec<StageReport>,
    /// The outputs of every stage that exists now. They may hold secrets: show them through the
    /// pipeline's redactor.
    pub outputs: IndexMap<StageName, IndexMap<String, Value>>,
    /// How many changes were made, or made and undone.
    pub changes: usize,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// What to do about it, if that is known.
    pub help: Option<String>,
    /// What could not be undone, or was kept on purpose, one line for each resource.
    pub left_over: Vec<String>,
    /// If the state or the journal could not be written: all that the run knows, as JSON without secrets,
    /// to be kept in another place.
    pub emergency: Option<String>,
}

/// How a stage ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StageReport {
    /// The stage.
    pub name: StageName,
    /// How it ended.
    pub outcome: StageOutcome,
    /// How long it was being applied, in milliseconds.
    pub elapsed_ms: u64,
    /// Why, if it failed.
    pub failure: Option<StageFailure>,
}
