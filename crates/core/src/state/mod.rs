//! What an environment remembers between runs: each stage's inputs, outputs and resources.

mod encoding;

use std::collections::BTreeMap;

use pipeline_sdk::{Inputs, Outputs, PipelineId, RunId, StageName};

pub use encoding::StateError;
pub(crate) use encoding::{StageV1, StateV1, decode, encode};

/// The state of one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Which app and environment.
    pub pipeline: PipelineId,
    /// Grows by one with each save.
    pub serial: u64,
    /// Where all of it is, as [`Target::identity`](crate::Target::identity) tells; nothing in a state of before this
    /// was kept.
    pub target: Option<String>,
    /// The run that last changed something.
    pub run: Option<RunId>,
    /// The newest run whose journal was missing when a later one began: what is older was looked after by it, and is
    /// neither gone on with nor undone any more.
    pub missing: Option<RunId>,
    /// The stages that exist in the world.
    pub stages: BTreeMap<StageName, StageRecord>,
}

/// What is remembered of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageRecord {
    /// The kind that made it.
    pub kind: String,
    /// What it was last applied with; secrets and environment variables as references.
    pub inputs: Inputs,
    /// The stages it waited for.
    pub needs: Vec<StageName>,
    /// What it gave, and the resources it owns.
    pub outputs: Outputs,
}

impl State {
    /// The state of an environment in which nothing exists.
    pub fn empty(pipeline: PipelineId) -> Self {
        Self { pipeline, serial: 0, target: None, run: None, missing: None, stages: BTreeMap::new() }
    }

    /// Puts what is known of a stage in the place of what was known of it.
    pub(crate) fn put(&mut self, name: &StageName, record: Option<StageRecord>) {
        match record {
            Some(record) => self.stages.insert(name.clone(), record),
            None => self.stages.remove(name),
        };
    }

    /// Reads what a store has kept.
    ///
    /// # Errors
    /// The text is no state, or one of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        decode(bytes)
    }
}
