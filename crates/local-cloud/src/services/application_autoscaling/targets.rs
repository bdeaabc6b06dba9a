//! Scalable targets: the limits within which something may be scaled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::page::Page;
use super::{Call, Dimension, invalid, one_of};
use crate::services::ecs::{ServiceName, ServiceStatus};
use crate::wire::{ApiError, EpochSeconds, Input, Output};
use crate::world::Region;

/// A scalable target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Target {
    #[serde(flatten)]
    pub(super) dimension: Dimension,
    pub(super) min_capacity: u32,
    pub(super) max_capacity: u32,
    #[serde(rename = "RoleARN")]
    role_arn: String,
    creation_time: EpochSeconds,
    pub(super) suspended_state: SuspendedState,
    #[serde(rename = "ScalableTargetARN")]
    pub(super) scalable_target_arn: String,
    /// Its limits were set and nobody has looked yet whether they hold. Not shown.
    #[serde(default, rename = "limitsChanged")]
    pub(super) limits_changed: bool,
}

/// Which kinds of scaling rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SuspendedState {
    pub(super) dynamic_scaling_in_suspended: bool,
    pub(super) dynamic_scaling_out_suspended: bool,
    pub(super) scheduled_scaling_suspended: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegisterInput {
    #[serde(flatten)]
    dimension: Dimension,
    #[serde(default)]
    min_capacity: Option<u32>,
    #[serde(default)]
    max_capacity: Option<u32>,
    #[serde(default, rename = "RoleARN")]
    role_arn: Option<String>,
    #[serde(default)]
    suspended_state: Option<SuspendedInput>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// What is not given stays as it was.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SuspendedInput {
    dynamic_scaling_in_suspended: Option<bool>,
    dynamic_scaling_out_suspended: Option<bool>,
    scheduled_scaling_suspended: Option<bool>,
}

/// What can be scaled; each begins with its namespace.
///
/// Source: docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
const DIMENSIONS: [&str; 24] = [
    "ecs:service:DesiredCount",
    "elasticmapreduce:instancegroup:InstanceCount",
    "ec2:spot-fleet-request:TargetCapacity",
    "appstream:fleet:DesiredCapacity",
    "dynamodb:table:ReadCapacityUnits",
    "dynamodb:table:WriteCapacityUnits",
    "dynamodb:index:ReadCapacityUnits",
    "dynamodb:index:WriteCapacityUnits",
    "rds:cluster:ReadReplicaCount",
    "sagemaker:variant:DesiredInstanceCount",
    "sagemaker:variant:DesiredProvisionedConcurrency",
    "sagemaker:inference-component:DesiredCopyCount",
    "custom-resource:ResourceType:Property",
    "comprehend:document-classifier-endpoint:DesiredInferenceUnits",
    "comprehend:entity-recognizer-endpoint:DesiredInferenceUnits",
    "lambda:function:ProvisionedConcurrency",
    "cassandra:table:ReadCapacityUnits",
    "cassandra:table:WriteCapacityUnits",
    "kafka:broker-storage:VolumeSize",
    "elasticache:cache-cluster:Nodes",
    "elasticache:replication-group:NodeGroups",
    "elasticache:replication-group:Replicas",
    "neptune:cluster:ReadReplicaCount",
    "workspaces:workspacespool:DesiredUserSessions",
];

/// Namespaces of the API. Of most this cloud has nothing: targets in them are kept, not acted upon.
const NAMESPACES: [&str; 15] = [
    "ecs",
    "elasticmapreduce",
    "ec2",
    "appstream",
    "dynamodb",
    "rds",
    "sagemaker",
    "custom-resource",
    "comprehend",
    "lambda",
    "cassandra",
    "kafka",
    "elasticache",
    "neptune",
    "workspaces",
];

/// RegisterScalableTarget: also updates; what is not given stays.
pub(super) fn register(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: RegisterInput = input.parse()?;
    check(&input.dimension)?;
    let now = call.now;
    let arn = call.arn("application-autoscaling", &format!("scalable-target/{}", target_id()));
    let role = call.global_arn(
        "iam",
        "role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService",
    );
    let region = call.region();
    check_resource(region, &input.dimension)?;
    let state = &mut region.application_autoscaling;
    let known = state.targets.iter().position(|target| target.dimension == input.dimension);
    let limits = |min: Option<u32>, max: Option<u32>| match (min, max) {
        (Some(min), Some(max)) if min <= max => Ok((min, max)),
        (Some(_), Some(_)) => Err(invalid("Maximum capacity cannot be less than minimum capacity")),
        _ => Err(invalid("Capacity ranges must be specified when registering a new scalable target")),
    };
    let index = match known {
        Some(index) => {
            let target = &mut state.targets[index];
            let (min, max) = limits(
                input.min_capacity.or(Some(target.min_capacity)),
                input.max_capacity.or(Some(target.max_capacity)),
            )?;
            (target.min_capacity, target.max_capacity) = (min, max);
            if let Some(role) = input.role_arn {
                target.role_arn = role;
            }
            index
        }
        None => {
            let (min_capacity, max_capacity) = limits(input.min_capacity, input.max_capacity)?;
            state.targets.push(Target {
                dimension: input.dimension,
                min_capacity,
                max_capacity,
                role_arn: input.role_arn.unwrap_or(role),
                creation_time: EpochSeconds(now),
                suspended_state: SuspendedState::default(),
                scalable_target_arn: arn,
                limits_changed: true,
            });
            state.targets.len() - 1
        }
    };
    let target = &mut state.targets[index];
    target.limits_changed = true;
    if let Some(given) = input.suspended_state {
        let suspended = &mut target.suspended_state;
        let set = |field: &mut bool, given: Option<bool>| *field = given.unwrap_or(*field);
        set(&mut suspended.dynamic_scaling_in_suspended, given.dynamic_scaling_in_suspended);
        set(&mut suspended.dynamic_scaling_out_suspended, given.dynamic_scaling_out_suspended);
        set(&mut suspended.scheduled_scaling_suspended, given.scheduled_scaling_suspended);
    }
    let arn = target.scalable_target_arn.clone();
    if !input.tags.is_empty() {
        state.tags.entry(arn.clone()).or_default().extend(input.tags);
    }
    Output::of(&json!({ "ScalableTargetARN": arn }))
}

fn target_id() -> String {
    // AWS's ids are `0ec5` and 28 letters and digits.
    format!("0ec5{}", &Uuid::new_v4().simple().to_string()[..28])
}

/// Checks namespace and dimension.
pub(super) fn check(dimension: &Dimension) -> Result<(), ApiError> {
    let namespace = dimension.service_namespace.as_str();
    check_namespace(namespace)?;
    one_of("scalableDimension", &dimension.scalable_dimension, &DIMENSIONS)?;
    if dimension.scalable_dimension.split(':').next() != Some(namespace) {
        return Err(invalid(format!(
            "Unsupported service namespace, resource type or scalable dimension: {namespace}, {}",
            dimension.scalable_dimension
        )));
    }
    Ok(())
}

/// Checks a namespace.
pub(super) fn check_namespace(namespace: &str) -> Result<(), ApiError> {
    one_of("serviceNamespace", namespace, &NAMESPACES)
}

/// The ECS service of `service/CLUSTER/SERVICE`.
pub(super) fn ecs_service(dimension: &Dimension) -> Option<ServiceName> {
    if dimension.service_namespace != "ecs" {
        return None;
    }
    let (cluster, service) = dimension.resource_id.strip_prefix("service/")?.split_once('/')?;
    Some(ServiceName { cluster: cluster.to_owned(), service: service.to_owned() })
}

fn check_resource(region: &Region, dimension: &Dimension) -> Result<(), ApiError> {
    if dimension.service_namespace != "ecs" {
        return Ok(());
    }
    let Some(name) = ecs_service(dimension) else {
        return Err(invalid(format!("Unsupported resource ID: {}", dimension.resource_id)));
    };
    let service = region.ecs.service(&name).map(|entry| entry.service.status);
    match service {
        Some(ServiceStatus::Active) => Ok(()),
        _ => Err(invalid(format!("ECS service doesn't exist: {}", dimension.resource_id))),
    }
}

/// DescribeScalableTargets.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Which {
        service_namespace: String,
        #[serde(default)]
        resource_ids: Vec<String>,
        #[serde(default)]
        scalable_dimension: Option<String>,
    }
    let page: Page = input.parse()?;
    let which: Which = input.parse()?;
    check_namespace(&which.service_namespace)?;
    let wanted = |target: &&Target| {
        let dimension = &target.dimension;
        dimension.service_namespace == which.service_namespace
            && (which.resource_ids.is_empty() || which.resource_ids.contains(&dimension.resource_id))
            && which.scalable_dimension.as_ref().is_none_or(|it| *it == dimension.scalable_dimension)
    };
    let targets = call.region().application_autoscaling.targets.iter().filter(wanted);
    let shown: Vec<_> = targets
        .map(|target| {
            let mut shown = json!(target);
            if let Some(fields) = shown.as_object_mut() {
                fields.remove("limitsChanged");
            }
            shown
        })
        .collect();
    let (targets, next) = page.of(shown)?;
    Output::of(&json!({ "ScalableTargets": targets, "NextToken": next }))
}

/// DeregisterScalableTarget: its policies and schedules go with it.
pub(super) fn deregister(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let dimension: Dimension = input.parse()?;
    let state = &mut call.region().application_autoscaling;
    let Some(index) = state.targets.iter().position(|target| target.dimension == dimension) else {
        return Err(dimension.not_found("scalable target", ""));
    };
    let target = state.targets.remove(index);
    state.tags.remove(&target.scalable_target_arn);
    state.policies.retain(|policy| policy.dimension != dimension);
    state.schedules.retain(|schedule| schedule.dimension != dimension);
    Ok(Output::empty())
}
