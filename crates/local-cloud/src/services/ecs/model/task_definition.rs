//! Task definitions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Tag;
use crate::wire::EpochSeconds;

/// A revision as DescribeTaskDefinition shows it. What the cloud does not interpret is kept as it was
/// registered, with AWS's defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskDefinition {
    pub(crate) task_definition_arn: String,
    /// At least one, each with a `name` and an `image`.
    pub(crate) container_definitions: Vec<Map<String, Value>>,
    pub(crate) family: String,
    pub(crate) revision: u32,
    pub(crate) status: TaskDefinitionStatus,
    /// `awsvpc`, `bridge`, `host` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_mode: Option<String>,
    /// What the tasks could run on, of `EC2`, `FARGATE`, `EXTERNAL`.
    pub(crate) compatibilities: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requires_compatibilities: Option<Vec<String>>,
    /// CPU units as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<String>,
    /// MiB as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    pub(crate) registered_at: EpochSeconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deregistered_at: Option<EpochSeconds>,
    pub(crate) registered_by: String,
    /// Everything else: roles, volumes, placement constraints, runtime platform, …
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// The life of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TaskDefinitionStatus {
    Active,
    Inactive,
    DeleteInProgress,
}

/// A revision and its tags.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TaskDefinitionEntry {
    /// The record.
    pub(crate) definition: TaskDefinition,
    /// Shown on request.
    pub(crate) tags: Vec<Tag>,
}

/// All revisions of one name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Family {
    /// The highest number given so far: numbers are never used again.
    pub(crate) last_revision: u32,
    /// By number.
    pub(crate) revisions: BTreeMap<u32, TaskDefinitionEntry>,
}

impl TaskDefinition {
    /// The container of this name.
    pub(crate) fn container(&self, name: &str) -> Option<&Map<String, Value>> {
        self.container_definitions
            .iter()
            .find(|container| container.get("name").and_then(Value::as_str) == Some(name))
    }

    /// `family:revision`
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.family, self.revision)
    }
}
