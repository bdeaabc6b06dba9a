//! Data types that are read, kept and answered alike: those of the API reference.
//!
//! Source: docs.aws.amazon.com/codedeploy/latest/APIReference/API_Types.html

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an application is deployed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ComputePlatform {
    Server,
    Lambda,
    #[serde(rename = "ECS")]
    Ecs,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
}

/// In place or blue/green, with or without a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentStyle {
    #[serde(default = "in_place")]
    pub(crate) deployment_type: String,
    #[serde(default = "without_traffic_control")]
    pub(crate) deployment_option: String,
}

fn in_place() -> String {
    "IN_PLACE".into()
}

fn without_traffic_control() -> String {
    "WITHOUT_TRAFFIC_CONTROL".into()
}

/// What happens around the shift of a blue/green deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BlueGreenDeploymentConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terminate_blue_instances_on_deployment_success: Option<BlueInstanceTerminationOption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployment_ready_option: Option<DeploymentReadyOption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) green_fleet_provisioning_option: Option<Value>,
}

/// What becomes of the original tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BlueInstanceTerminationOption {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) termination_wait_time_in_minutes: Option<i64>,
}

/// Whether traffic shifts at once or waits for a word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeploymentReadyOption {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action_on_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait_time_in_minutes: Option<i64>,
}

/// When a deployment is rolled back on its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AutoRollbackConfiguration {
    pub(crate) enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<String>,
}

impl AutoRollbackConfiguration {
    /// Whether `event`, such as `DEPLOYMENT_FAILURE`, rolls back.
    pub(crate) fn covers(&self, event: &str) -> bool {
        self.enabled && self.events.iter().any(|covered| covered == event)
    }
}

/// Alarms that stop a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AlarmConfiguration {
    pub(crate) enabled: bool,
    pub(crate) ignore_poll_alarm_failure: bool,
    pub(crate) alarms: Vec<Alarm>,
}

/// A CloudWatch alarm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Alarm {
    pub(crate) name: String,
}

/// A topic that would hear of a deployment. Kept as data: there is no SNS here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TriggerConfig {
    pub(crate) trigger_name: String,
    pub(crate) trigger_target_arn: String,
    pub(crate) trigger_events: Vec<String>,
}

/// Where traffic is steered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LoadBalancerInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) elb_info_list: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) target_group_info_list: Vec<TargetGroupInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) target_group_pair_info_list: Vec<TargetGroupPairInfo>,
}

/// A target group by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TargetGroupInfo {
    pub(crate) name: String,
}

/// The two groups that take turns, and the listeners before them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TargetGroupPairInfo {
    pub(crate) target_groups: Vec<TargetGroupInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prod_traffic_route: Option<TrafficRoute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) test_traffic_route: Option<TrafficRoute>,
}

impl TargetGroupPairInfo {
    /// The listener of production traffic.
    pub(crate) fn production_listener(&self) -> Option<&str> {
        self.prod_traffic_route.as_ref()?.listener_arns.first().map(String::as_str)
    }

    /// The listener of test traffic, if there is one.
    pub(crate) fn test_listener(&self) -> Option<&str> {
        self.test_traffic_route.as_ref()?.listener_arns.first().map(String::as_str)
    }
}

/// Listeners of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TrafficRoute {
    pub(crate) listener_arns: Vec<String>,
}

/// The ECS service of a group: names or ARNs, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EcsService {
    pub(crate) service_name: String,
    pub(crate) cluster_name: String,
}

impl EcsService {
    /// The service's name, whether a name or an ARN was given.
    pub(crate) fn service(&self) -> &str {
        self.service_name.rsplit('/').next().unwrap_or(&self.service_name)
    }

    /// The cluster's name; `default` when none was given.
    pub(crate) fn cluster(&self) -> &str {
        match self.cluster_name.rsplit('/').next() {
            Some("") | None => "default",
            Some(name) => name,
        }
    }
}

/// Where a revision is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RevisionLocation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) s3_location: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) git_hub_location: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) string: Option<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app_spec_content: Option<Content>,
}

/// A revision in the call itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
}

/// How traffic moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrafficRoutingConfig {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_based_canary: Option<TimeBasedCanary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_based_linear: Option<TimeBasedLinear>,
}

/// Some, then the rest. Percent and minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TimeBasedCanary {
    pub(crate) canary_percentage: i64,
    pub(crate) canary_interval: i64,
}

/// Equal steps. Percent and minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TimeBasedLinear {
    pub(crate) linear_percentage: i64,
    pub(crate) linear_interval: i64,
}

/// How traffic moves, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Routing {
    /// Everything in one step.
    AllAtOnce,
    /// `percent`, and after `interval` the rest.
    Canary { percent: u32, interval: Duration },
    /// `percent` more every `interval`.
    Linear { percent: u32, interval: Duration },
}

impl TrafficRoutingConfig {
    /// Everything in one step.
    pub(crate) fn all_at_once() -> Self {
        Self { kind: "AllAtOnce".into(), time_based_canary: None, time_based_linear: None }
    }

    /// The checked form; nothing if the values make no sense.
    pub(crate) fn routing(&self) -> Option<Routing> {
        let minutes = |value: i64| u64::try_from(value).ok().map(|value| Duration::from_secs(value * 60));
        let percent = |value: i64| u32::try_from(value).ok().filter(|value| (1..100).contains(value));
        match (self.kind.as_str(), self.time_based_canary, self.time_based_linear) {
            ("AllAtOnce", None, None) => Some(Routing::AllAtOnce),
            ("TimeBasedCanary", Some(canary), None) => Some(Routing::Canary {
                percent: percent(canary.canary_percentage)?,
                interval: minutes(canary.canary_interval)?,
            }),
            ("TimeBasedLinear", None, Some(linear)) => Some(Routing::Linear {
                percent: percent(linear.linear_percentage)?,
                interval: minutes(linear.linear_interval)?,
            }),
            _ => None,
        }
    }
}
