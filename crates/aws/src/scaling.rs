//! Scalable targets of Application Auto Scaling: one stage owns them, another lets them rest.

use pipeline_sdk::{StageError, Value, json};
use serde::{Deserialize, Serialize};

use crate::Aws;

/// A service of ECS as a scalable target.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScalableTarget {
    /// The fewest tasks.
    pub min_capacity: i64,
    /// The most tasks.
    pub max_capacity: i64,
    /// What of it rests.
    #[serde(default)]
    pub suspended_state: SuspendedState,
}

/// Which activities of a scalable target are suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SuspendedState {
    dynamic_scaling_in_suspended: bool,
    dynamic_scaling_out_suspended: bool,
    scheduled_scaling_suspended: bool,
}

impl SuspendedState {
    /// All of them, or none.
    pub fn of_all(suspended: bool) -> Self {
        Self {
            dynamic_scaling_in_suspended: suspended,
            dynamic_scaling_out_suspended: suspended,
            scheduled_scaling_suspended: suspended,
        }
    }

    /// Whether all of them are suspended, as they are while something is deployed.
    pub fn all(self) -> bool {
        self == Self::of_all(true)
    }

    /// Whether any of them is suspended.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// The name of the policy that a pipeline gives a service.
pub const POLICY: &str = "cpu";

/// A policy that tracks a target.
#[derive(Debug, Deserialize)]
pub struct Policy {
    /// What it tracks.
    #[serde(rename = "TargetTrackingScalingPolicyConfiguration")]
    pub tracking: Option<Tracking>,
}

/// What a policy tracks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tracking {
    /// The value that is held.
    pub target_value: f64,
}

/// The policy of the name [`POLICY`] that a service has.
///
/// # Errors
/// Those of the call.
pub async fn policy(aws: &Aws, resource: &str) -> Result<Option<Policy>, StageError> {
    #[derive(Debug, Deserialize)]
    struct Answer {
        #[serde(default, rename = "ScalingPolicies")]
        policies: Vec<Policy>,
    }
    let wanted = dimension(resource, json!({ "PolicyNames": [POLICY] }));
    let operation = "application-autoscaling:DescribeScalingPolicies";
    let answer: Answer = aws.autoscaling().call(operation, wanted).await?;
    Ok(answer.policies.into_iter().next())
}

/// What Application Auto Scaling calls a service.
pub fn resource_id(cluster: &str, service: &str) -> String {
    format!("service/{cluster}/{service}")
}

/// What every call about a service names, and the fields of `more`.
pub fn dimension(resource: &str, more: Value) -> Value {
    let mut input = json!({
        "ServiceNamespace": "ecs",
        "ScalableDimension": "ecs:service:DesiredCount",
        "ResourceId": resource,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    input
}

/// The scalable target of a service, if it has one.
///
/// # Errors
/// Those of the call.
pub async fn scalable_target(aws: &Aws, resource: &str) -> Result<Option<ScalableTarget>, StageError> {
    #[derive(Debug, Deserialize)]
    struct Answer {
        #[serde(default, rename = "ScalableTargets")]
        targets: Vec<ScalableTarget>,
    }
    let wanted = json!({ "ServiceNamespace": "ecs", "ResourceIds": [resource] });
    let operation = "application-autoscaling:DescribeScalableTargets";
    let answer: Answer = aws.autoscaling().call(operation, wanted).await?;
    Ok(answer.targets.into_iter().next())
}
