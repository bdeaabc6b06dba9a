//! Clusters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ServiceEntry, Tag, TaskEntry};

/// A cluster as DescribeClusters shows it; statistics and tags are added there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Cluster {
    pub(crate) cluster_arn: String,
    pub(crate) cluster_name: String,
    /// `ACTIVE` or `INACTIVE`.
    pub(crate) status: String,
    pub(crate) registered_container_instances_count: u32,
    pub(crate) running_tasks_count: u32,
    pub(crate) pending_tasks_count: u32,
    pub(crate) active_services_count: u32,
    pub(crate) capacity_providers: Vec<String>,
    pub(crate) default_capacity_provider_strategy: Vec<StrategyItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_connect_defaults: Option<Value>,
}

/// An item of a capacity provider strategy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StrategyItem {
    pub(crate) capacity_provider: String,
    pub(crate) weight: u32,
    pub(crate) base: u32,
}

/// A cluster and what lives in it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterEntry {
    /// The record; its counts are set when it is shown.
    pub(crate) cluster: Cluster,
    /// Shown on request.
    pub(crate) tags: Vec<Tag>,
    /// `containerInsights` and its value; shown on request.
    pub(crate) settings: Vec<Value>,
    /// Shown on request.
    pub(crate) configuration: Option<Value>,
    /// By name. INACTIVE ones stay until their name is used again.
    pub(crate) services: BTreeMap<String, ServiceEntry>,
    /// By id. Stopped ones stay for a while.
    pub(crate) tasks: BTreeMap<String, TaskEntry>,
}
