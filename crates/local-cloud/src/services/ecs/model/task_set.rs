//! Task sets: the versions of a service under the CODE_DEPLOY or EXTERNAL controller.

use serde::{Deserialize, Serialize};

use super::{Launch, Tag};
use crate::wire::EpochSeconds;

/// A task set as DescribeTaskSets shows it.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskSet {
    /// `ecs-svc/1234567890123456789`
    pub(crate) id: String,
    pub(crate) task_set_arn: String,
    pub(crate) service_arn: String,
    pub(crate) cluster_arn: String,
    /// Who made it: `CODE_DEPLOY`, or what CreateTaskSet's caller says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_by: Option<String>,
    /// The CodeDeploy deployment it belongs to, or what the caller says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    pub(crate) status: TaskSetStatus,
    /// ARN of the revision.
    pub(crate) task_definition: String,
    /// The service's desired count times the scale, rounded up.
    pub(crate) computed_desired_count: u32,
    pub(crate) pending_count: u32,
    pub(crate) running_count: u32,
    pub(crate) created_at: EpochSeconds,
    pub(crate) updated_at: EpochSeconds,
    /// Where and how its tasks run.
    #[serde(flatten)]
    pub(crate) launch: Launch,
    pub(crate) scale: Scale,
    pub(crate) stability_status: StabilityStatus,
    /// When the stability status was last looked at and changed.
    pub(crate) stability_status_at: EpochSeconds,
}

impl TaskSet {
    /// The first target group it is registered in.
    pub(crate) fn target_group(&self) -> Option<&str> {
        self.launch.load_balancers.first()?.target_group_arn.as_deref()
    }

    /// Whether it runs what it should, and all of it is healthy.
    pub(crate) fn is_steady(&self) -> bool {
        self.stability_status == StabilityStatus::SteadyState
    }
}

/// Where a task set is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TaskSetStatus {
    /// Serves production traffic.
    Primary,
    /// Does not serve production traffic.
    Active,
    /// Its tasks are being stopped.
    Draining,
}

/// Whether a task set has reached what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum StabilityStatus {
    SteadyState,
    Stabilizing,
}

/// Share of the service's desired count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Scale {
    /// 0 to 100.
    pub(crate) value: f64,
    /// Always `PERCENT`.
    pub(crate) unit: String,
}

impl Scale {
    /// This many percent.
    pub(crate) fn percent(value: f64) -> Self {
        Self { value, unit: "PERCENT".into() }
    }

    /// How many tasks of `desired` that makes: ECS rounds up.
    pub(crate) fn of(&self, desired: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most desired")]
        let count = (f64::from(desired) * self.value.clamp(0.0, 100.0) / 100.0).ceil() as u32;
        count
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self::percent(100.0)
    }
}

/// A task set and what is not shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskSetEntry {
    /// The record.
    pub(crate) task_set: TaskSet,
    /// Shown on request.
    pub(crate) tags: Vec<Tag>,
    /// CreateTaskSet with the same token answers with this task set.
    pub(crate) client_token: Option<String>,
    /// Placement and its back-off.
    #[serde(default)]
    pub(crate) placement: super::service::Placement,
}
