//! The targets of a deployment: on ECS one, the service.
//!
//! Source: docs.aws.amazon.com/codedeploy/latest/APIReference/API_ECSTarget.html

use serde::Deserialize;
use serde_json::{Value, json};

use super::checks;
use super::record::{Deployment, EventRecord, EventStatus, LifecycleEvent, TaskSetSnapshot};
use super::shapes::ComputePlatform;
use crate::services::Call;
use crate::services::ecs::ServiceName;
use crate::wire::{ApiError, EpochSeconds, Output};
use crate::world::{Arn, Partition};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Input {
    deployment_id: Option<String>,
    target_id: Option<String>,
    target_ids: Vec<String>,
    target_filters: Option<Value>,
}

pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let id = checks::deployment_id(input.deployment_id.as_deref())?;
    let deployment = call.region().codedeploy.deployment(id)?;
    let filters = input.target_filters.as_ref().and_then(Value::as_object);
    let mut shown = true;
    for (name, values) in filters.into_iter().flatten() {
        let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match name.as_str() {
            "TargetStatus" => shown &= values.contains(&deployment.target_status()),
            // Instances of a blue/green deployment on the Server platform.
            "ServerInstanceLabel" => shown = false,
            _ => {
                return Err(ApiError::sender(
                    "InvalidTargetFilterNameException",
                    format!(
                        "The target filter name {name} is invalid: it is TargetStatus or ServerInstanceLabel"
                    ),
                ));
            }
        }
    }
    let ids: Vec<String> = target_id(deployment).into_iter().filter(|_| shown).collect();
    Output::of(&json!({ "targetIds": ids }))
}

pub(super) fn get(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let id = checks::deployment_id(input.deployment_id.as_deref())?;
    let place = call.place.clone();
    let deployment = call.region().codedeploy.deployment(id)?;
    let target = checked(deployment, input.target_id.as_deref())?;
    Output::of(&json!({ "deploymentTarget": shown(deployment, target, &place) }))
}

pub(super) fn batch_get(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let id = checks::deployment_id(input.deployment_id.as_deref())?;
    let place = call.place.clone();
    let deployment = call.region().codedeploy.deployment(id)?;
    if input.target_ids.is_empty() {
        checked(deployment, None)?;
    }
    if input.target_ids.len() > 25 {
        return Err(ApiError::sender(
            "DeploymentTargetListSizeExceededException",
            "The maximum number of targets (25) was exceeded.",
        ));
    }
    let mut targets = Vec::new();
    for target in &input.target_ids {
        targets.push(shown(deployment, checked(deployment, Some(target))?, &place));
    }
    Output::of(&json!({ "deploymentTargets": targets }))
}

/// The operations on instances, which ECS deployments do not have.
pub(super) fn instances(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    let id = checks::deployment_id(input.deployment_id.as_deref())?;
    let deployment = call.region().codedeploy.deployment(id)?;
    if deployment.platform != ComputePlatform::Server {
        return Err(ApiError::sender(
            "InvalidComputePlatformException",
            format!("{operation} is for the Server compute platform only; use ListDeploymentTargets"),
        ));
    }
    match operation {
        "ListDeploymentInstances" => Output::of(&json!({ "instancesList": [] })),
        "BatchGetDeploymentInstances" => Output::of(&json!({ "instancesSummary": [] })),
        _ => Err(ApiError::sender("InstanceDoesNotExistException", "The deployment has no instances")),
    }
}

/// `cluster:service`
fn target_id(deployment: &Deployment) -> Option<String> {
    let service = deployment.ecs_service.as_ref()?;
    Some(format!("{}:{}", service.cluster(), service.service()))
}

fn checked<'a>(deployment: &Deployment, target: Option<&'a str>) -> Result<&'a str, ApiError> {
    let Some(target) = target.filter(|target| !target.is_empty()) else {
        return Err(ApiError::sender(
            "DeploymentTargetIdRequiredException",
            "A deployment target ID was not provided.",
        ));
    };
    if target_id(deployment).as_deref() != Some(target) {
        return Err(ApiError::sender(
            "DeploymentTargetDoesNotExistException",
            format!("The provided target ID {target} does not belong to the attempted deployment."),
        ));
    }
    Ok(target)
}

fn shown(deployment: &Deployment, target: &str, place: &Partition) -> Value {
    let arn = deployment.ecs_service.as_ref().map(|service| {
        let name = ServiceName::new(Some(service.cluster()), service.service());
        let resource = format!("service/{}/{}", name.cluster, name.service);
        Arn { service: "ecs", region: &place.region, account: &place.account, resource: &resource }
            .to_string()
    });
    let sets = [(deployment.original.as_ref(), "Blue"), (deployment.replacement.as_ref(), "Green")];
    let sets: Vec<_> =
        sets.into_iter().filter_map(|(set, label)| set.map(|set| task_set(set, label))).collect();
    let events: Vec<_> = deployment.events.iter().map(|event| lifecycle_event(deployment, event)).collect();
    json!({
        "deploymentTargetType": "ECSTarget",
        "ecsTarget": {
            "deploymentId": deployment.id,
            "targetId": target,
            "targetArn": arn,
            "lastUpdatedAt": EpochSeconds(deployment.updated),
            "lifecycleEvents": events,
            "status": deployment.target_status(),
            "taskSetsInfo": sets,
        },
    })
}

fn task_set(set: &TaskSetSnapshot, label: &str) -> Value {
    json!({
        // AWS's own spelling.
        "identifer": set.id,
        "desiredCount": set.desired,
        "pendingCount": set.pending,
        "runningCount": set.running,
        "status": set.status,
        "trafficWeight": set.weight,
        "targetGroup": { "name": set.target_group },
        "taskSetLabel": label,
    })
}

fn lifecycle_event(deployment: &Deployment, record: &EventRecord) -> Value {
    json!({
        "lifecycleEventName": record.event.name(),
        "status": record.status,
        "startTime": record.started.map(EpochSeconds),
        "endTime": record.ended.map(EpochSeconds),
        "diagnostics": diagnostics(deployment, record),
    })
}

/// What a hook waits for, or why an event failed.
fn diagnostics(deployment: &Deployment, record: &EventRecord) -> Option<Value> {
    let hook = hook(deployment, record.event);
    match (record.status, &deployment.error) {
        (EventStatus::Failed, Some(error)) => Some(json!({
            "errorCode": if hook.is_some() { "ScriptFailed" } else { "UnknownError" },
            "scriptName": hook,
            "message": error.message,
            "logTail": "",
        })),
        (EventStatus::InProgress, _) if hook.is_some() => Some(json!({
            "errorCode": "Success",
            "scriptName": hook,
            "message": format!(
                "waits for PutLifecycleEventHookExecutionStatus with lifecycleEventHookExecutionId {}",
                deployment.hook_execution_id(record.event)
            ),
            "logTail": "",
        })),
        _ => None,
    }
}

fn hook(deployment: &Deployment, event: LifecycleEvent) -> Option<&String> {
    deployment.app_spec.as_ref()?.hooks.get(&event)
}
