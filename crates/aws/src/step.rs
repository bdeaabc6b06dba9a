//! What a plan keeps for its apply, and what an intent keeps for its undo.

use pipeline_sdk::{Action, Inputs, ResourceId, StageError, Value};
use serde::{Deserialize, Serialize};

use crate::Attributes;

/// What [`apply`](crate::apply) needs beside the changes that are shown: `StagePlan::detail`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Detail {
    /// The inputs the plan was made from.
    pub(crate) inputs: Inputs,
    /// What the stage looked up.
    pub(crate) facts: Value,
    /// What to do, in the order of the stage's list.
    pub(crate) steps: Vec<Step>,
    /// What exists, as it was read.
    pub(crate) existing: Vec<(ResourceId, Attributes)>,
}

/// What to do with one resource.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) id: ResourceId,
    pub(crate) action: Action,
    /// What it was like when the plan was made.
    pub(crate) observed: Option<Attributes>,
    /// The attributes that change, by path: apply may change these and no others.
    pub(crate) paths: Vec<String>,
}

/// `Done::before`: what a resource was like and what it should become.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Before {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observed: Option<Attributes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) desired: Option<Attributes>,
}

/// Reads what an earlier version of this program or a crashed run wrote.
pub(crate) fn read<T: serde::de::DeserializeOwned>(value: &Value, what: &str) -> Result<T, StageError> {
    serde_json::from_value(value.clone())
        .map_err(|error| StageError::failed(format!("{what} cannot be read: {error}")))
}

/// Writes it.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<Value, StageError> {
    serde_json::to_value(value)
        .map_err(|error| StageError::failed(format!("a plan or intent cannot be written: {error}")))
}
