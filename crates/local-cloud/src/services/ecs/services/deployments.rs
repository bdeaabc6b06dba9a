//! Rolling deployments of services under the ECS controller.

use jiff::Timestamp;

use super::{ControllerType, Deployment, DeploymentEntry, EpochSeconds, RolloutState, ServiceEntry, names};
use crate::services::ecs::{Placement, task_sets};

/// Begins a deployment of what the service is now to be. The one so far becomes ACTIVE and is replaced
/// task by task.
pub(crate) fn begin_deployment(entry: &mut ServiceEntry, now: Timestamp) {
    for known in &mut entry.deployments {
        if known.deployment.status == "PRIMARY" {
            known.deployment.status = "ACTIVE".into();
            known.deployment.updated_at = EpochSeconds(now);
        }
    }
    let id = names::deployment_id();
    let service = &entry.service;
    let deployment = Deployment {
        status: "PRIMARY".into(),
        task_definition: service.task_definition.clone().unwrap_or_default(),
        desired_count: service.desired_count,
        pending_count: service.desired_count,
        running_count: 0,
        failed_tasks: 0,
        created_at: EpochSeconds(now),
        updated_at: EpochSeconds(now),
        launch: service.launch.clone(),
        rollout_state: RolloutState::InProgress,
        rollout_state_reason: format!("ECS deployment {id} in progress."),
        id,
    };
    entry.said_steady = false;
    entry.deployments.insert(0, DeploymentEntry { deployment, placement: Placement::default() });
}

/// Changes how many tasks a service is to run; its deployment or task sets follow.
pub(crate) fn set_desired_count(entry: &mut ServiceEntry, desired: u32, now: Timestamp) {
    if entry.service.desired_count == desired {
        return;
    }
    entry.service.desired_count = desired;
    entry.said_steady = false;
    if entry.service.deployment_controller.kind == ControllerType::Ecs {
        if let Some(primary) = entry.deployments.first_mut() {
            let deployment = &mut primary.deployment;
            deployment.desired_count = desired;
            deployment.pending_count = desired.saturating_sub(deployment.running_count);
            deployment.updated_at = EpochSeconds(now);
        }
    } else {
        for set in &mut entry.task_sets {
            task_sets::desire(&mut set.task_set, desired, now);
        }
    }
    entry.service.pending_count = desired.saturating_sub(entry.service.running_count);
}
