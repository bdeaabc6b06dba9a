//! A deployment as it is kept: what was asked for, how far it is, and what became of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::appspec::AppSpec;
use super::shapes::{
    AutoRollbackConfiguration, BlueGreenDeploymentConfiguration, ComputePlatform, DeploymentStyle,
    EcsService, LoadBalancerInfo, RevisionLocation, Routing, TargetGroupPairInfo,
};
use crate::controllers::codedeploy::Phase;

/// A deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) application: String,
    pub(crate) group: String,
    pub(crate) config_name: String,
    pub(crate) platform: ComputePlatform,
    /// How traffic moves.
    pub(crate) routing: Routing,
    pub(crate) revision: RevisionLocation,
    /// What the group ran before.
    pub(crate) previous_revision: Option<RevisionLocation>,
    /// The revision, read. Only on ECS.
    pub(crate) app_spec: Option<AppSpec>,
    pub(crate) description: Option<String>,
    /// `user` or `codeDeployRollback`.
    pub(crate) creator: String,
    pub(crate) auto_rollback: AutoRollbackConfiguration,
    pub(crate) style: DeploymentStyle,
    pub(crate) blue_green: Option<BlueGreenDeploymentConfiguration>,
    pub(crate) load_balancer: Option<LoadBalancerInfo>,
    pub(crate) ecs_service: Option<EcsService>,
    /// What was given with the call and only comes back: flags of the Server platform, alarms.
    pub(crate) given: Value,
    pub(crate) status: DeploymentStatus,
    pub(crate) error: Option<ErrorInformation>,
    pub(crate) rollback: Option<RollbackInfo>,
    pub(crate) created: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) completed: Option<Timestamp>,
    /// When its target last changed.
    pub(crate) updated: Timestamp,
    /// Where it is in its life.
    pub(crate) phase: Phase,
    /// When the phase, or its last step, began.
    pub(crate) phase_began: Timestamp,
    /// In order; those of the test listener only if there is one.
    pub(crate) events: Vec<EventRecord>,
    /// What callers asked of it since.
    pub(crate) requests: Requests,
    /// The task set that had the traffic when it began.
    pub(crate) original: Option<TaskSetSnapshot>,
    /// The task set that it made.
    pub(crate) replacement: Option<TaskSetSnapshot>,
}

/// What callers asked of a deployment that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Requests {
    /// Stop; and whether to roll back.
    pub(crate) stop: Option<bool>,
    /// Shift the traffic now.
    pub(crate) shift: bool,
    /// End the original tasks now.
    pub(crate) terminate: bool,
    /// Verdicts of hooks.
    pub(crate) hooks: BTreeMap<LifecycleEvent, HookResult>,
}

/// The verdict of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HookResult {
    Succeeded,
    Failed,
}

/// A task set as it was seen last; it is shown even after the set is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskSetSnapshot {
    /// `ecs-svc/…`
    pub(crate) id: String,
    /// Name of its target group.
    pub(crate) target_group: String,
    /// `PRIMARY`, `ACTIVE` or `DRAINING`.
    pub(crate) status: String,
    pub(crate) desired: u32,
    pub(crate) pending: u32,
    pub(crate) running: u32,
    /// Its share of production traffic, percent.
    pub(crate) weight: f64,
}

/// Status of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeploymentStatus {
    Created,
    Queued,
    InProgress,
    Ready,
    Succeeded,
    Failed,
    Stopped,
}

impl DeploymentStatus {
    /// Whether nothing more will happen.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }
}

/// Why a deployment did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorInformation {
    /// One of API_ErrorInformation's codes.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
}

impl ErrorInformation {
    /// An error of this code.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Ties a deployment to the one that undoes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RollbackInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollback_deployment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollback_triggering_deployment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollback_message: Option<String>,
}

/// An event in the life of a deployment, in order.
///
/// Source: docs.aws.amazon.com/codedeploy/latest/userguide/deployment-steps-ecs.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum LifecycleEvent {
    BeforeInstall,
    Install,
    AfterInstall,
    AllowTestTraffic,
    AfterAllowTestTraffic,
    BeforeAllowTraffic,
    AllowTraffic,
    AfterAllowTraffic,
}

impl LifecycleEvent {
    /// All, in order.
    pub(crate) const ALL: [Self; 8] = [
        Self::BeforeInstall,
        Self::Install,
        Self::AfterInstall,
        Self::AllowTestTraffic,
        Self::AfterAllowTestTraffic,
        Self::BeforeAllowTraffic,
        Self::AllowTraffic,
        Self::AfterAllowTraffic,
    ];

    /// Whether an AppSpec can name a hook for it.
    pub(crate) fn is_scriptable(self) -> bool {
        !matches!(self, Self::Install | Self::AllowTestTraffic | Self::AllowTraffic)
    }

    /// Whether it is there only with a test listener.
    pub(crate) fn is_of_test_traffic(self) -> bool {
        matches!(self, Self::AllowTestTraffic | Self::AfterAllowTestTraffic)
    }

    /// The name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BeforeInstall => "BeforeInstall",
            Self::Install => "Install",
            Self::AfterInstall => "AfterInstall",
            Self::AllowTestTraffic => "AllowTestTraffic",
            Self::AfterAllowTestTraffic => "AfterAllowTestTraffic",
            Self::BeforeAllowTraffic => "BeforeAllowTraffic",
            Self::AllowTraffic => "AllowTraffic",
            Self::AfterAllowTraffic => "AfterAllowTraffic",
        }
    }
}

/// How an event went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    pub(crate) event: LifecycleEvent,
    pub(crate) status: EventStatus,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
}

/// Status of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EventStatus {
    Pending,
    InProgress,
    Succeeded,
    Failed,
    Skipped,
}

impl Deployment {
    /// Whether it undoes another one.
    pub(crate) fn is_rollback(&self) -> bool {
        self.rollback.as_ref().is_some_and(|info| info.rollback_triggering_deployment_id.is_some())
    }

    /// The target groups and listeners.
    pub(crate) fn pair(&self) -> Option<&TargetGroupPairInfo> {
        self.load_balancer.as_ref()?.target_group_pair_info_list.first()
    }

    /// The events that it will go through.
    pub(crate) fn fresh_events(test_listener: bool) -> Vec<EventRecord> {
        LifecycleEvent::ALL
            .into_iter()
            .filter(|event| test_listener || !event.is_of_test_traffic())
            .map(|event| EventRecord { event, status: EventStatus::Pending, started: None, ended: None })
            .collect()
    }

    /// The id by which a hook reports its verdict. AWS hands it to the Lambda function; here it is
    /// shown in the diagnostics of the event.
    pub(crate) fn hook_execution_id(&self, event: LifecycleEvent) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", self.id, event.name()))
    }
}

/// A new id: `d-` and nine letters or digits.
pub(crate) fn new_deployment_id() -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut random = rand::rng();
    let tail: String = (0..9).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect();
    format!("d-{tail}")
}
