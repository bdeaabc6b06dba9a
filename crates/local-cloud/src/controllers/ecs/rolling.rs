//! Rolling deployments: new tasks replace old ones within the bounds of the service's deployment
//! configuration.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html and
//! docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html

use jiff::Timestamp;

use super::fleet::{self, Counts};
use super::plan::Look;
use super::service::is_healthy;
use crate::services::ecs::{
    ControllerType, RolloutState, ServiceEntry, ServiceName, ServiceStatus, begin_deployment, say,
};
use crate::wire::EpochSeconds;
use crate::world::{Partition, Region};

/// Least and most failed tasks that open the circuit breaker.
const BREAKER: (u32, u32) = (3, 200);

/// How many tasks a service may have at least healthy, and at most.
fn bounds(entry: &ServiceEntry) -> (usize, usize) {
    let configuration = entry.service.deployment_configuration.clone().unwrap_or_default();
    let desired = entry.service.desired_count as usize;
    let least = (desired * configuration.minimum_healthy_percent as usize).div_ceil(100);
    let most = desired * configuration.maximum_percent as usize / 100;
    (least, most.max(usize::from(desired > 0)))
}

/// Starts and stops tasks of a service's deployments.
pub(super) fn desire(look: &mut Look<'_>, place: &Partition, region: &mut Region, name: &ServiceName) {
    break_circuit(look, region, name);
    let Some(entry) = region.ecs.service(name) else { return };
    let (least, most) = bounds(entry);
    let Some(primary) = entry.deployments.first() else { return };
    let failed = primary.deployment.rollout_state == RolloutState::Failed;
    let mut newest = fleet::of_deployment(&primary.deployment);
    newest.desired = entry.service.desired_count as usize;
    let placement = primary.placement.clone();
    let older: Vec<_> =
        entry.deployments.iter().skip(1).map(|entry| fleet::of_deployment(&entry.deployment)).collect();

    let new = fleet::wanted(region, name, &newest.id);
    let old: Vec<String> = older.iter().flat_map(|fleet| fleet::wanted(region, name, &fleet.id)).collect();
    let missing = newest.desired.saturating_sub(new.len());
    let room = if old.is_empty() { missing } else { most.saturating_sub(new.len() + old.len()) };
    if !failed {
        fleet::launch(look, place, region, name, &newest, &placement, missing.min(room));
    }
    fleet::stop_surplus(look, region, name, &newest, new.len().saturating_sub(newest.desired));
    if !(failed && newest.desired > 0) {
        retire(look, region, name, &old, &new, (least, newest.desired), missing > 0 && room == 0);
    }
}

/// Stops old tasks as far as enough healthy ones stay: one for each new one that is healthy, and more
/// when there is no room for new ones.
fn retire(
    look: &mut Look<'_>,
    region: &mut Region,
    name: &ServiceName,
    old: &[String],
    new: &[String],
    (least, desired): (usize, usize),
    no_room: bool,
) {
    let Some(cluster) = region.ecs.clusters.get(&name.cluster) else { return };
    let healthy = |id: &&String| cluster.tasks.get(*id).is_some_and(|task| is_healthy(region, task));
    let new_healthy = new.iter().filter(healthy).count();
    let (serving, idle): (Vec<&String>, Vec<&String>) = old.iter().partition(healthy);
    // Old tasks that serve nobody make room without harm.
    let mut ending: Vec<String> =
        if no_room || new_healthy >= desired { idle.into_iter().cloned().collect() } else { Vec::new() };
    let mut kept = serving.len();
    for id in serving {
        let replaced = kept + new_healthy > desired || (no_room && ending.is_empty());
        if !(replaced && kept + new_healthy > least) {
            break;
        }
        ending.push(id.clone());
        kept -= 1;
    }
    let Some(primary) = region.ecs.service(name).and_then(|entry| entry.deployments.first()) else { return };
    let reason = format!("Scaling activity initiated by (deployment {})", primary.deployment.id);
    if !ending.is_empty() {
        fleet::stop(look, region, name, &ending, &reason);
    }
}

/// Fails a deployment whose tasks do not come up, and goes back if that is wanted.
fn break_circuit(look: &mut Look<'_>, region: &mut Region, name: &ServiceName) {
    let now = look.now;
    let Some(entry) = region.ecs.service_mut(name) else { return };
    let configuration = entry.service.deployment_configuration.clone().unwrap_or_default();
    let Some(breaker) = configuration.deployment_circuit_breaker.filter(|breaker| breaker.enable) else {
        return;
    };
    let threshold = entry.service.desired_count.div_ceil(2).clamp(BREAKER.0, BREAKER.1);
    let Some(primary) = entry.deployments.first_mut().map(|entry| &mut entry.deployment) else { return };
    if primary.rollout_state != RolloutState::InProgress || primary.failed_tasks < threshold {
        return;
    }
    primary.rollout_state = RolloutState::Failed;
    primary.rollout_state_reason = "ECS deployment circuit breaker: tasks failed to start.".into();
    primary.updated_at = EpochSeconds(now);
    let id = primary.id.clone();
    look.step.changed = true;
    say(entry, now, &format!("(deployment {id}) deployment failed: tasks failed to start."));
    let last_good =
        entry.deployments.iter().find(|it| it.deployment.rollout_state == RolloutState::Completed);
    if let (true, Some(good)) = (breaker.rollback, last_good.map(|it| it.deployment.clone())) {
        entry.service.task_definition = Some(good.task_definition);
        entry.service.launch = good.launch;
        begin_deployment(entry, now);
        let back = entry.deployments.first_mut().map(|entry| &mut entry.deployment);
        if let Some(back) = back {
            back.rollout_state_reason =
                format!("ECS deployment circuit breaker: rolling back to deploymentId {}.", good.id);
        }
        say(entry, now, &format!("rolling back to deployment {}.", good.id));
    }
}

/// Takes over what runs of a deployment.
pub(super) fn observe(entry: &mut ServiceEntry, now: Timestamp, id: &str, counts: &Counts) {
    let is_primary = entry.deployments.first().is_some_and(|first| first.deployment.id == id);
    let desired = entry.service.desired_count;
    let Some(found) = entry.deployments.iter_mut().find(|it| it.deployment.id == id) else { return };
    let deployment = &mut found.deployment;
    // An old deployment is to run what has not been replaced yet.
    let desired = if is_primary { desired } else { counts.wanted };
    let now_is = (counts.running, counts.pending, desired);
    if (deployment.running_count, deployment.pending_count, deployment.desired_count) != now_is {
        (deployment.running_count, deployment.pending_count, deployment.desired_count) = now_is;
        deployment.updated_at = EpochSeconds(now);
    }
}

/// Ends the deployment when nothing old is left, and forgets what it replaced.
pub(super) fn complete(entry: &mut ServiceEntry, now: Timestamp, counts: &[(String, Counts)]) {
    if entry.service.deployment_controller.kind != ControllerType::Ecs {
        return;
    }
    let of = |id: &str| counts.iter().find(|(known, _)| known == id).map(|(_, counts)| *counts);
    let Some(primary) = entry.deployments.first().map(|entry| entry.deployment.clone()) else { return };
    let steady = of(&primary.id).is_some_and(|counts| counts.is_steady(entry.service.desired_count));
    let replaced = entry
        .deployments
        .iter()
        .skip(1)
        .all(|entry| of(&entry.deployment.id).is_none_or(|counts| counts.wanted == 0));
    if steady && replaced && primary.rollout_state == RolloutState::InProgress {
        if let Some(first) = entry.deployments.first_mut() {
            first.deployment.rollout_state = RolloutState::Completed;
            first.deployment.rollout_state_reason = format!("ECS deployment {} completed.", primary.id);
            first.deployment.updated_at = EpochSeconds(now);
        }
        if entry.service.status == ServiceStatus::Active {
            say(entry, now, &format!("(deployment {}) deployment completed.", primary.id));
        }
    }
    let is_first = |id: &str| id == primary.id;
    let done = entry
        .deployments
        .first()
        .is_some_and(|first| first.deployment.rollout_state == RolloutState::Completed);
    entry.deployments.retain(|entry| {
        let id = &entry.deployment.id;
        let left = of(id).map_or(1, |counts| counts.left);
        is_first(id) || left > 0 || !done
    });
}

/// Whether the service is what its only deployment wants.
pub(super) fn is_steady(entry: &ServiceEntry) -> bool {
    match entry.deployments.as_slice() {
        [only] => {
            let deployment = &only.deployment;
            deployment.rollout_state == RolloutState::Completed
                && deployment.running_count == entry.service.desired_count
                && deployment.pending_count == 0
        }
        _ => false,
    }
}
