//! Application Auto Scaling: scalable targets, policies and scheduled actions.
//!
//! Limits are enforced (a desired count outside of a target's new limits is brought inside by
//! `controllers::scaling`). Policies and scheduled actions are kept and shown but do not act: the cloud
//! has no metrics of its tasks.
//!
//! Source: docs.aws.amazon.com/autoscaling/application/APIReference

mod activities;
mod limits;
mod page;
mod policies;
mod schedules;
mod tags;
mod targets;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};

pub(crate) use limits::apply_limits;

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ScalingState {
    targets: Vec<targets::Target>,
    policies: Vec<policies::Policy>,
    schedules: Vec<schedules::Schedule>,
    /// The newest first.
    activities: Vec<activities::Activity>,
    /// By ARN of a scalable target.
    tags: BTreeMap<String, BTreeMap<String, String>>,
}

impl ScalingState {
    /// How many scalable targets there are.
    pub(crate) fn target_count(&self) -> usize {
        self.targets.len()
    }
}

/// What a target, a policy and a schedule belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    /// `ecs`
    service_namespace: String,
    /// `service/CLUSTER/SERVICE`
    resource_id: String,
    /// `ecs:service:DesiredCount`
    scalable_dimension: String,
}

impl Dimension {
    fn not_found(&self, what: &str, more: &str) -> ApiError {
        ApiError::sender(
            "ObjectNotFoundException",
            format!(
                "No {what} found for service namespace: {}, resource ID: {}, scalable dimension: {}{more}",
                self.service_namespace, self.resource_id, self.scalable_dimension
            ),
        )
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::sender("ValidationException", message)
}

/// A value that does not fit its field's constraint, as the service's validation words it.
fn constraint(value: &str, field: &str, constraint: &str) -> ApiError {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
    ))
}

/// Refuses a value that an enumeration does not have.
fn one_of(field: &str, value: &str, known: &[&str]) -> Result<(), ApiError> {
    match known.contains(&value) {
        true => Ok(()),
        false => {
            let text = format!("Member must satisfy enum value set: [{}]", known.join(", "));
            Err(constraint(value, field, &text))
        }
    }
}

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "RegisterScalableTarget" => targets::register(call, input),
        "DescribeScalableTargets" => targets::describe(call, input),
        "DeregisterScalableTarget" => targets::deregister(call, input),
        "PutScalingPolicy" => policies::put(call, input),
        "DescribeScalingPolicies" => policies::describe(call, input),
        "DeleteScalingPolicy" => policies::delete(call, input),
        "PutScheduledAction" => schedules::put(call, input),
        "DescribeScheduledActions" => schedules::describe(call, input),
        "DeleteScheduledAction" => schedules::delete(call, input),
        "DescribeScalingActivities" => activities::describe(call, input),
        "TagResource" => tags::tag(call, input),
        "UntagResource" => tags::untag(call, input),
        "ListTagsForResource" => tags::list(call, input),
        _ => Err(missing(Service::ApplicationAutoScaling, operation)),
    }
}

#[cfg(test)]
mod tests;
