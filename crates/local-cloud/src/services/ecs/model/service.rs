//! Services and their rolling deployments.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Launch, Tag, TaskSetEntry};
use crate::wire::EpochSeconds;

/// A service as DescribeServices shows it; task sets, deployments and tags are added there.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service {
    pub(crate) service_arn: String,
    pub(crate) service_name: String,
    pub(crate) cluster_arn: String,
    pub(crate) status: ServiceStatus,
    pub(crate) desired_count: u32,
    pub(crate) running_count: u32,
    pub(crate) pending_count: u32,
    /// ARN of the revision; under CODE_DEPLOY that of the primary task set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_definition: Option<String>,
    /// As given at creation or by the last update.
    #[serde(flatten)]
    pub(crate) launch: Launch,
    pub(crate) deployment_controller: DeploymentController,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployment_configuration: Option<DeploymentConfiguration>,
    /// `REPLICA` or `DAEMON`.
    pub(crate) scheduling_strategy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_grace_period_seconds: Option<u32>,
    pub(crate) created_at: EpochSeconds,
    pub(crate) created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role_arn: Option<String>,
    #[serde(rename = "enableECSManagedTags")]
    pub(crate) enable_ecs_managed_tags: bool,
    /// `NONE`, `SERVICE` or `TASK_DEFINITION`.
    pub(crate) propagate_tags: String,
    pub(crate) enable_execute_command: bool,
    /// `ENABLED` or `DISABLED`.
    pub(crate) availability_zone_rebalancing: String,
    pub(crate) placement_constraints: Vec<Value>,
    pub(crate) placement_strategy: Vec<Value>,
}

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ServiceStatus {
    Active,
    /// Deleted; its tasks are being stopped.
    Draining,
    /// Deleted, and nothing runs any more.
    Inactive,
}

impl ServiceStatus {
    /// Neither deleted nor being deleted.
    pub(crate) fn is_active(self) -> bool {
        self == Self::Active
    }

    /// Deleted, but something still runs.
    pub(crate) fn is_draining(self) -> bool {
        self == Self::Draining
    }
}

/// Who replaces the tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeploymentController {
    #[serde(rename = "type", default)]
    pub(crate) kind: ControllerType,
}

/// See [`DeploymentController`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ControllerType {
    #[default]
    Ecs,
    CodeDeploy,
    External,
}

/// Bounds of a rolling deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeploymentConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployment_circuit_breaker: Option<CircuitBreaker>,
    pub(crate) maximum_percent: u32,
    pub(crate) minimum_healthy_percent: u32,
    /// Kept, not acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alarms: Option<Value>,
    /// `ROLLING` or `BLUE_GREEN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strategy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bake_time_in_minutes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle_hooks: Option<Vec<Value>>,
}

impl Default for DeploymentConfiguration {
    fn default() -> Self {
        Self {
            deployment_circuit_breaker: None,
            maximum_percent: 200,
            minimum_healthy_percent: 100,
            alarms: None,
            strategy: None,
            bake_time_in_minutes: None,
            lifecycle_hooks: None,
        }
    }
}

/// A change of bounds: what is not given stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeploymentConfigurationChange {
    deployment_circuit_breaker: Option<CircuitBreaker>,
    maximum_percent: Option<u32>,
    minimum_healthy_percent: Option<u32>,
    alarms: Option<Value>,
    strategy: Option<String>,
    bake_time_in_minutes: Option<u32>,
    lifecycle_hooks: Option<Vec<Value>>,
}

impl DeploymentConfigurationChange {
    /// What `known` becomes.
    pub(crate) fn over(self, known: DeploymentConfiguration) -> DeploymentConfiguration {
        DeploymentConfiguration {
            deployment_circuit_breaker: self.deployment_circuit_breaker.or(known.deployment_circuit_breaker),
            maximum_percent: self.maximum_percent.unwrap_or(known.maximum_percent),
            minimum_healthy_percent: self.minimum_healthy_percent.unwrap_or(known.minimum_healthy_percent),
            alarms: self.alarms.or(known.alarms),
            strategy: self.strategy.or(known.strategy),
            bake_time_in_minutes: self.bake_time_in_minutes.or(known.bake_time_in_minutes),
            lifecycle_hooks: self.lifecycle_hooks.or(known.lifecycle_hooks),
        }
    }
}

/// Ends a rolling deployment whose tasks do not start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CircuitBreaker {
    pub(crate) enable: bool,
    pub(crate) rollback: bool,
}

/// A rolling deployment of a service under the ECS controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deployment {
    /// `ecs-svc/1234567890123456789`
    pub(crate) id: String,
    /// `PRIMARY` for the newest, `ACTIVE` for those that it replaces.
    pub(crate) status: String,
    pub(crate) task_definition: String,
    pub(crate) desired_count: u32,
    pub(crate) pending_count: u32,
    pub(crate) running_count: u32,
    pub(crate) failed_tasks: u32,
    pub(crate) created_at: EpochSeconds,
    pub(crate) updated_at: EpochSeconds,
    #[serde(flatten)]
    pub(crate) launch: Launch,
    pub(crate) rollout_state: RolloutState,
    pub(crate) rollout_state_reason: String,
}

/// How far a rolling deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RolloutState {
    InProgress,
    Completed,
    Failed,
}

/// Something that happened to a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) created_at: EpochSeconds,
    pub(crate) message: String,
}

/// How the starting of tasks goes: after failures the next attempt waits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Placement {
    /// Tasks in a row that ended without having been healthy.
    pub(crate) failures: u32,
    /// No task is started before.
    pub(crate) not_before: Option<EpochSeconds>,
}

/// A rolling deployment and what is not shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeploymentEntry {
    /// The record.
    pub(crate) deployment: Deployment,
    /// Placement and its back-off.
    #[serde(default)]
    pub(crate) placement: Placement,
}

/// A service and what is not shown, or only on request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServiceEntry {
    /// The record.
    pub(crate) service: Service,
    /// Shown on request.
    pub(crate) tags: Vec<Tag>,
    /// CreateService with the same token answers with this service.
    pub(crate) client_token: Option<String>,
    /// Under CODE_DEPLOY and EXTERNAL.
    pub(crate) task_sets: Vec<TaskSetEntry>,
    /// Under ECS; the newest first.
    pub(crate) deployments: Vec<DeploymentEntry>,
    /// The newest first, at most 100.
    pub(crate) events: Vec<Event>,
    /// What was said last, so that it is not said again: steady, or not.
    #[serde(default)]
    pub(crate) said_steady: bool,
}
