//! Tasks.

use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Launch, Tag};
use crate::wire::EpochSeconds;

/// A task as DescribeTasks shows it; tags are added there.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    pub(crate) task_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) task_definition_arn: String,
    pub(crate) last_status: TaskStatus,
    /// `RUNNING` or `STOPPED`.
    pub(crate) desired_status: TaskStatus,
    pub(crate) containers: Vec<Container>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) attributes: Vec<Value>,
    pub(crate) overrides: Value,
    /// `service:NAME` or `family:NAME`.
    pub(crate) group: String,
    /// The deployment or task set it belongs to, or what RunTask's caller says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launch_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capacity_provider_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ephemeral_storage: Option<Value>,
    pub(crate) enable_execute_command: bool,
    pub(crate) health_status: HealthStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connectivity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connectivity_at: Option<EpochSeconds>,
    pub(crate) created_at: EpochSeconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_started_at: Option<EpochSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_stopped_at: Option<EpochSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<EpochSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopping_at: Option<EpochSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_stopped_at: Option<EpochSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_at: Option<EpochSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_code: Option<String>,
    /// Raised by every change.
    pub(crate) version: u64,
}

/// The life of a task, in its order.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TaskStatus {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

/// What container health checks say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum HealthStatus {
    Healthy,
    Unhealthy,
    #[default]
    Unknown,
}

/// A container of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) container_arn: String,
    pub(crate) task_arn: String,
    pub(crate) name: String,
    pub(crate) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime_id: Option<String>,
    /// `PENDING`, `RUNNING` or `STOPPED`.
    pub(crate) last_status: TaskStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) network_bindings: Vec<Value>,
    pub(crate) network_interfaces: Vec<NetworkInterface>,
    pub(crate) health_status: HealthStatus,
    /// CPU units as text.
    pub(crate) cpu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_reservation: Option<String>,
}

/// A container's view of its task's network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkInterface {
    pub(crate) attachment_id: String,
    pub(crate) private_ipv4_address: Ipv4Addr,
}

/// What a task has attached: its elastic network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) details: Vec<AttachmentDetail>,
}

/// A name and a value of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachmentDetail {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// A task and what is not shown, or only on request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TaskEntry {
    /// The record.
    pub(crate) task: Task,
    /// 32 hexadecimal digits; unique in the cloud, and the runtime's name for it.
    pub(crate) id: String,
    /// Shown on request.
    pub(crate) tags: Vec<Tag>,
    /// Address in its subnet.
    pub(crate) address: Option<Ipv4Addr>,
    /// Name of the service it belongs to.
    pub(crate) service: Option<String>,
    /// RunTask's token.
    pub(crate) client_token: Option<String>,
    /// Digest of what RunTask was asked for with this token.
    #[serde(default)]
    pub(crate) request: Option<String>,
    /// Names of the containers that the task ends with.
    pub(crate) essential: Vec<String>,
    /// How it was launched: its subnets and target groups.
    pub(crate) launch: Launch,
    /// Id of its network interface.
    pub(crate) interface: Option<String>,
    /// Whether it was registered in its target groups.
    pub(crate) registered: bool,
    /// Whether it has been healthy, or needs no check, since it runs.
    pub(crate) proven: bool,
    /// Whether its end was counted as a failure to start.
    pub(crate) seen_failed: bool,
}

/// How long a program may take, in real time, until it answers at all.
///
/// A fast clock shortens the load balancer's health checks but starts no program sooner: without this
/// a rehearsal would find every task unhealthy before it listens.
pub(crate) const START_UP: Duration = Duration::from_secs(5);

impl TaskEntry {
    /// Whether its silence may mean that it only just starts.
    pub(crate) fn may_be_starting(&self, now: Timestamp) -> bool {
        let started = self.task.started_at.map_or(now, |at| at.0);
        !self.proven && Duration::try_from(now.duration_since(started)).is_ok_and(|since| since < START_UP)
    }

    /// Whether it is neither stopped nor asked to stop.
    pub(crate) fn is_wanted(&self) -> bool {
        self.task.desired_status == TaskStatus::Running
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_stopped(&self) -> bool {
        self.task.last_status == TaskStatus::Stopped
    }
}
