//! What was observed outside goes into the world.

use std::collections::HashSet;

use jiff::Timestamp;

use super::TaskName;
use crate::services::ecs::{HealthStatus, TaskEntry, TaskStatus, stop_task};
use crate::wire::EpochSeconds;
use crate::world::{State, World};
use pipeline_data_plane::runtime::{RuntimeError, Started, TaskEvent, TaskExit, TaskSpec};

/// A task of this id, wherever it is: ids are unique in the cloud.
fn find<'a>(state: &'a mut State, id: &str) -> Option<&'a mut TaskEntry> {
    let regions = state.accounts.values_mut().flat_map(|account| account.regions.values_mut());
    let mut clusters = regions.flat_map(|region| region.ecs.clusters.values_mut());
    clusters.find_map(|cluster| cluster.tasks.get_mut(id))
}

fn change(world: &World, id: &str, change: impl FnOnce(&mut TaskEntry)) {
    // A task that is gone was reset away: it is stopped as an orphan.
    world.write(|state| {
        if let Some(entry) = find(state, id) {
            change(entry);
            entry.task.version += 1;
        }
    });
}

/// The runtime started a task.
pub(super) fn started(world: &World, now: Timestamp, name: &TaskName, started: &Started) {
    change(world, &name.id, |entry| {
        let task = &mut entry.task;
        for begun in &started.containers {
            let Some(container) = task.containers.iter_mut().find(|it| it.name == begun.name) else {
                continue;
            };
            container.runtime_id = Some(begun.runtime_id.clone());
            container.image_digest = begun.image_digest.as_ref().map(ToString::to_string);
            // It may have exited before this was told.
            if container.last_status == TaskStatus::Pending {
                container.last_status = TaskStatus::Running;
            }
        }
        task.pull_stopped_at = Some(EpochSeconds(now));
        task.started_at = Some(EpochSeconds(now));
        task.connectivity = Some("CONNECTED".into());
        task.connectivity_at = Some(EpochSeconds(now));
        task.last_status = TaskStatus::Activating;
    });
}

/// The runtime did not start a task, and will not.
pub(super) fn not_started(world: &World, now: Timestamp, name: &TaskName, error: &RuntimeError) {
    change(world, &name.id, |entry| {
        let reason = error.to_string();
        let at_fault = error.container();
        for container in &mut entry.task.containers {
            if Some(container.name.as_str()) == at_fault {
                container.reason = Some(reason.clone());
            }
        }
        entry.task.pull_stopped_at = Some(EpochSeconds(now));
        stop_task(entry, now, "TaskFailedToStart", &reason);
        entry.task.last_status = TaskStatus::Deprovisioning;
    });
}

/// Nothing of a task is left in the runtime.
pub(super) fn stopped(world: &World, now: Timestamp, id: &str) {
    change(world, id, |entry| {
        entry.task.execution_stopped_at.get_or_insert(EpochSeconds(now));
        if !entry.is_wanted() && !entry.is_stopped() {
            entry.task.last_status = TaskStatus::Deprovisioning;
        }
    });
}

/// Something happened to a task.
pub(super) fn event(world: &World, now: Timestamp, event: &TaskEvent) {
    match event {
        TaskEvent::Exited(exit) => change(world, &exit.task, |entry| exited(entry, now, exit)),
        TaskEvent::Health { task, container, healthy } => {
            change(world, task, |entry| health(entry, now, container, *healthy));
        }
    }
}

fn exited(entry: &mut TaskEntry, now: Timestamp, exit: &TaskExit) {
    let Some(container) = entry.task.containers.iter_mut().find(|it| it.name == exit.container) else {
        return;
    };
    container.last_status = TaskStatus::Stopped;
    container.exit_code = exit.exit_code;
    container.reason.clone_from(&exit.reason);
    container.health_status = HealthStatus::Unknown;
    let essential = entry.essential.contains(&exit.container);
    if essential {
        entry.task.execution_stopped_at.get_or_insert(EpochSeconds(now));
        stop_task(entry, now, "EssentialContainerExited", "Essential container in task exited");
    }
}

fn health(entry: &mut TaskEntry, now: Timestamp, container: &str, healthy: bool) {
    let verdict = if healthy { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
    if let Some(container) = entry.task.containers.iter_mut().find(|it| it.name == container) {
        container.health_status = verdict;
    }
    // A task is as healthy as its essential containers with a check
    // (docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html).
    let containers = entry.task.containers.iter().filter(|it| entry.essential.contains(&it.name));
    let statuses: Vec<_> = containers.map(|it| it.health_status).collect();
    entry.task.health_status = if statuses.contains(&HealthStatus::Unhealthy) {
        HealthStatus::Unhealthy
    } else if statuses.contains(&HealthStatus::Healthy) {
        HealthStatus::Healthy
    } else {
        HealthStatus::Unknown
    };
    let unhealthy = entry.task.health_status == HealthStatus::Unhealthy;
    if unhealthy && entry.service.is_some() {
        let reason = format!("Task failed container health checks (container {container})");
        stop_task(entry, now, "ServiceSchedulerInitiated", &reason);
    }
}

/// Tasks that did not outlive the last cloud end, and are replaced.
pub(super) fn lost(world: &World, now: Timestamp, known: &[TaskSpec], found: &HashSet<String>) {
    for spec in known.iter().filter(|spec| !found.contains(&spec.id)) {
        change(world, &spec.id, |entry| {
            for container in &mut entry.task.containers {
                container.last_status = TaskStatus::Stopped;
            }
            entry.task.execution_stopped_at.get_or_insert(EpochSeconds(now));
            stop_task(
                entry,
                now,
                "EssentialContainerExited",
                "The task was lost while the embedded cloud was not running",
            );
        });
    }
}
