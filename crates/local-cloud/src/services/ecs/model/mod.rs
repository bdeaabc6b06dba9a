//! What ECS holds. The records are the data types of the API reference, field by field, so that a
//! description is the record itself; what only the cloud knows is beside them in `…Entry` types.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Types.html

mod cluster;
mod launch;
mod service;
mod task;
mod task_definition;
mod task_set;

pub(crate) use cluster::{Cluster, ClusterEntry, StrategyItem};
pub(crate) use launch::{AwsVpc, Launch, LoadBalancer, NetworkConfiguration};
pub(crate) use service::{
    ControllerType, Deployment, DeploymentConfiguration, DeploymentConfigurationChange, DeploymentController,
    DeploymentEntry, Event, Placement, RolloutState, Service, ServiceEntry, ServiceStatus,
};
pub(crate) use task::{
    Attachment, AttachmentDetail, Container, HealthStatus, NetworkInterface, START_UP, Task, TaskEntry,
    TaskStatus,
};
pub(crate) use task_definition::{Family, TaskDefinition, TaskDefinitionEntry, TaskDefinitionStatus};
pub(crate) use task_set::{Scale, StabilityStatus, TaskSet, TaskSetEntry, TaskSetStatus};

use serde::{Deserialize, Serialize};

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    /// Up to 128 characters.
    #[serde(default)]
    pub(crate) key: String,
    /// Up to 256 characters.
    #[serde(default)]
    pub(crate) value: String,
}
