//! One deployment, one step after the other.

use std::time::Duration;

use jiff::Timestamp;

use super::machine::{self, Action, Phase, Plan, Step};
use super::{effects, journal, sight};
use crate::services::Settings;
use crate::services::codedeploy::Deployment;
use crate::world::{Partition, Region};

/// More steps than a deployment takes without waiting.
const MOST_STEPS: usize = 32;

/// Takes a deployment as far as it goes without waiting. Tells whether anything was changed.
pub(super) fn advance(
    region: &mut Region,
    place: &Partition,
    settings: &Settings,
    now: Timestamp,
    id: &str,
) -> bool {
    let mut changed = false;
    for _ in 0..MOST_STEPS {
        let Some(mut deployment) = region.codedeploy.deployments.get(id).cloned() else { break };
        if deployment.status.is_final() {
            break;
        }
        let plan = plan(&deployment);
        let seen = sight::observe(region, &deployment, settings, now);
        let step = machine::next(&plan, &deployment.phase, &seen);
        if step.phase == deployment.phase && step.actions.is_empty() {
            break;
        }
        changed = true;
        take(region, place, now, &plan, &mut deployment, step);
        keep(region, deployment);
    }
    changed | refresh(region, now, id)
}

/// Does what a step says, and turns to failure if that is refused.
fn take(
    region: &mut Region,
    place: &Partition,
    now: Timestamp,
    plan: &Plan,
    deployment: &mut Deployment,
    step: Step,
) {
    let mut step = step;
    for action in step.actions.clone() {
        if let Err(error) = effects::carry_out(region, place, now, deployment, &action) {
            tracing::info!(
                deployment = deployment.id,
                ?action,
                code = error.code,
                message = error.message,
                "refused"
            );
            step = machine::failed(plan, &deployment.phase, error);
            break;
        }
    }
    let undo = step.actions.contains(&Action::RollBack);
    if step.phase != deployment.phase {
        tracing::debug!(deployment = deployment.id, from = ?deployment.phase, to = ?step.phase);
        journal::enter(deployment, step.phase, now);
    }
    if undo {
        let rollback = journal::rollback_of(deployment, now);
        region.codedeploy.deployments.insert(rollback.id.clone(), rollback);
    }
}

fn keep(region: &mut Region, deployment: Deployment) {
    if deployment.phase == Phase::Ended(machine::Outcome::Succeeded) {
        region.codedeploy.deployed(&deployment.application, &deployment.group, &deployment.revision);
    }
    region.codedeploy.deployments.insert(deployment.id.clone(), deployment);
}

/// Notes how the task sets are.
fn refresh(region: &mut Region, now: Timestamp, id: &str) -> bool {
    let Some(deployment) = region.codedeploy.deployments.get(id) else { return false };
    let original = deployment.original.as_ref().map(|set| sight::refreshed(region, deployment, set));
    let replacement = deployment.replacement.as_ref().map(|set| sight::refreshed(region, deployment, set));
    if original == deployment.original && replacement == deployment.replacement {
        return false;
    }
    if let Some(deployment) = region.codedeploy.deployments.get_mut(id) {
        deployment.original = original;
        deployment.replacement = replacement;
        deployment.updated = now;
    }
    true
}

/// What is settled for a deployment.
fn plan(deployment: &Deployment) -> Plan {
    let minutes = |minutes: Option<i64>| {
        let minutes = u64::try_from(minutes.unwrap_or(0)).unwrap_or(0);
        Duration::from_secs(minutes * 60)
    };
    let blue_green = deployment.blue_green.clone().unwrap_or_default();
    let ready = blue_green.deployment_ready_option.unwrap_or_default();
    let ending = blue_green.terminate_blue_instances_on_deployment_success.unwrap_or_default();
    let waits = ready.action_on_timeout.as_deref() == Some("STOP_DEPLOYMENT");
    let keeps = ending.action.as_deref() == Some("KEEP_ALIVE");
    Plan {
        routing: deployment.routing,
        hooks: deployment.app_spec.iter().flat_map(|spec| spec.hooks.keys().copied()).collect(),
        test_listener: deployment.pair().is_some_and(|pair| pair.test_listener().is_some()),
        ready_wait: waits.then(|| minutes(ready.wait_time_in_minutes)),
        termination_wait: (!keeps).then(|| minutes(ending.termination_wait_time_in_minutes)),
        undo_failure: deployment.auto_rollback.covers("DEPLOYMENT_FAILURE"),
        is_rollback: deployment.is_rollback(),
    }
}
