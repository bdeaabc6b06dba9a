//! What callers may ask of a deployment that runs: stop, go on, and the verdicts of hooks.

use base64::Engine;
use serde::Deserialize;
use serde_json::json;

use super::checks;
use super::record::{Deployment, DeploymentStatus, ErrorInformation, HookResult, LifecycleEvent};
use super::shapes::ComputePlatform;
use crate::controllers::codedeploy::{Outcome, Phase};
use crate::services::Call;
use crate::wire::{ApiError, Output};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StopInput {
    deployment_id: Option<String>,
    auto_rollback_enabled: Option<bool>,
}

/// A deployment that has begun stops at its next step; one that has not is stopped here and now.
pub(super) fn stop(call: &mut Call<'_>, input: &StopInput) -> Result<Output, ApiError> {
    let id = checks::deployment_id(input.deployment_id.as_deref())?;
    let now = call.now;
    let deployment = call.region().codedeploy.deployment_mut(id)?;
    check_running(deployment)?;
    if deployment.phase == Phase::Created {
        let message = "The deployment was stopped before it began.";
        let error = ErrorInformation::new("MANUAL_STOP", message);
        deployment.status = DeploymentStatus::Stopped;
        deployment.phase = Phase::Ended(Outcome::Stopped(error.clone()));
        deployment.error = Some(error);
        deployment.completed = Some(now);
        return Output::of(
            &json!({ "status": "Succeeded", "statusMessage": "No more commands will be scheduled for execution in the deployment" }),
        );
    }
    let undo = input
        .auto_rollback_enabled
        .unwrap_or_else(|| deployment.auto_rollback.covers("DEPLOYMENT_STOP_ON_REQUEST"));
    deployment.requests.stop = Some(undo);
    Output::of(&json!({ "status": "Pending", "statusMessage": "The deployment is being stopped" }))
}

/// Not over, and not past the point of no return.
fn check_running(deployment: &Deployment) -> Result<(), ApiError> {
    let what = match deployment.phase {
        _ if deployment.status.is_final() => "is already complete",
        Phase::Termination => "has already shifted its traffic and is ending the original task set",
        _ => return Ok(()),
    };
    Err(ApiError::sender(
        "DeploymentAlreadyCompletedException",
        format!("The deployment {} {what}", deployment.id),
    ))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContinueInput {
    deployment_id: Option<String>,
    deployment_wait_type: Option<String>,
}

pub(super) fn proceed(call: &mut Call<'_>, input: &ContinueInput) -> Result<Output, ApiError> {
    let id = checks::deployment_id(input.deployment_id.as_deref())?;
    let deployment = call.region().codedeploy.deployment_mut(id)?;
    check_running(deployment)?;
    if deployment.platform != ComputePlatform::Ecs {
        return Err(unsupported());
    }
    match input.deployment_wait_type.as_deref().unwrap_or("READY_WAIT") {
        "READY_WAIT" if deployment.phase == Phase::ReadyWait => deployment.requests.shift = true,
        "READY_WAIT" => {
            return Err(ApiError::sender(
                "DeploymentIsNotInReadyStateException",
                "The deployment does not have a status of Ready and can't continue yet.",
            ));
        }
        "TERMINATION_WAIT" if deployment.phase == Phase::TerminationWait => {
            deployment.requests.terminate = true
        }
        "TERMINATION_WAIT" => {
            return Err(ApiError::sender(
                "InvalidDeploymentStatusException",
                "The deployment is not waiting to terminate its original task set.",
            ));
        }
        other => {
            return Err(ApiError::sender(
                "InvalidDeploymentWaitTypeException",
                format!("The wait type {other} is invalid: it is READY_WAIT or TERMINATION_WAIT"),
            ));
        }
    }
    Ok(Output::empty())
}

/// The older form of ContinueDeployment with TERMINATION_WAIT.
pub(super) fn skip_wait(call: &mut Call<'_>, input: &ContinueInput) -> Result<Output, ApiError> {
    let again = ContinueInput {
        deployment_id: input.deployment_id.clone(),
        deployment_wait_type: Some("TERMINATION_WAIT".into()),
    };
    proceed(call, &again)
}

fn unsupported() -> ApiError {
    ApiError::sender(
        "UnsupportedActionForDeploymentTypeException",
        "A call was submitted that is not supported for the specified deployment type.",
    )
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HookInput {
    deployment_id: Option<String>,
    lifecycle_event_hook_execution_id: Option<String>,
    status: Option<String>,
}

/// There is no Lambda here: whoever stands in for the function calls this with the id that the event
/// shows in its diagnostics (the event's name is taken as well).
pub(super) fn put_hook_status(call: &mut Call<'_>, input: &HookInput) -> Result<Output, ApiError> {
    let id = checks::deployment_id(input.deployment_id.as_deref())?;
    let deployment = call.region().codedeploy.deployment_mut(id)?;
    if deployment.platform == ComputePlatform::Server {
        return Err(unsupported());
    }
    let execution = input.lifecycle_event_hook_execution_id.as_deref().unwrap_or_default();
    let event = event_of(deployment, execution).ok_or_else(|| {
        ApiError::sender(
            "InvalidLifecycleEventHookExecutionIdException",
            "A lifecycle event hook is invalid. Review the hooks section in your AppSpec file to ensure the \
             lifecycle events and hooks functions are valid.",
        )
    })?;
    let result = match input.status.as_deref() {
        Some("Succeeded") => HookResult::Succeeded,
        Some("Failed") => HookResult::Failed,
        _ => {
            return Err(ApiError::sender(
                "InvalidLifecycleEventHookExecutionStatusException",
                "The result of a Lambda validation function that verifies a lifecycle event is invalid. It should \
                 return Succeeded or Failed.",
            ));
        }
    };
    if deployment.phase != Phase::Hook(event) || deployment.requests.hooks.contains_key(&event) {
        return Err(ApiError::sender(
            "LifecycleEventAlreadyCompletedException",
            format!("The event {} is not waiting for the result of a hook", event.name()),
        ));
    }
    deployment.requests.hooks.insert(event, result);
    Output::of(&json!({ "lifecycleEventHookExecutionId": execution }))
}

/// The hooked event that an execution id, or an event's name, means.
fn event_of(deployment: &Deployment, execution: &str) -> Option<LifecycleEvent> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(execution).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let name = match &decoded {
        Some(text) => text.strip_prefix(&format!("{}:", deployment.id)).unwrap_or(execution),
        None => execution,
    };
    let hooks = &deployment.app_spec.as_ref()?.hooks;
    hooks.keys().copied().find(|event| event.name() == name)
}
