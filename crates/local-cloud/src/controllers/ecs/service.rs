//! What a service wants: which tasks are started and stopped, and how it is doing.

use jiff::Timestamp;

use super::plan::Look;
use super::targets::{self, Standing};
use super::{fleet, rolling, specification};
use crate::services::ecs::{
    ControllerType, HealthStatus, START_UP, ServiceEntry, ServiceName, ServiceStatus, StabilityStatus,
    TaskEntry, TaskSetStatus, TaskStatus, say, stop_task, task_definition,
};
use crate::wire::EpochSeconds;
use crate::world::{Partition, Region};

/// Starts and stops what a service wants now.
pub(super) fn desire(look: &mut Look<'_>, place: &Partition, region: &mut Region, name: &ServiceName) {
    prove(look, region, name);
    replace_unhealthy(look, region, name);
    count_failures(look, region, name);
    let Some(entry) = region.ecs.service(name) else { return };
    match entry.service.deployment_controller.kind {
        ControllerType::Ecs => rolling::desire(look, place, region, name),
        ControllerType::CodeDeploy | ControllerType::External => {
            let sets: Vec<_> = entry
                .task_sets
                .iter()
                .map(|set| (fleet::of_task_set(&set.task_set), set.placement.clone()))
                .collect();
            for (fleet, placement) in sets {
                let wanted = fleet::wanted(region, name, &fleet.id);
                let missing = fleet.desired.saturating_sub(wanted.len());
                fleet::launch(look, place, region, name, &fleet, &placement, missing);
                fleet::stop_surplus(look, region, name, &fleet, wanted.len().saturating_sub(fleet.desired));
            }
        }
    }
}

/// The tasks of a service that are not stopped.
fn tasks_of<'a>(region: &'a Region, name: &'a ServiceName) -> impl Iterator<Item = &'a TaskEntry> {
    let cluster = region.ecs.clusters.get(&name.cluster);
    let tasks = cluster.into_iter().flat_map(|cluster| cluster.tasks.values());
    tasks.filter(|task| task.service.as_deref() == Some(name.service.as_str()))
}

/// Whether a task runs, and neither its checks nor those of the load balancer say otherwise.
pub(super) fn is_healthy(region: &Region, task: &TaskEntry) -> bool {
    task.task.last_status == TaskStatus::Running
        && targets::standing(region, task) == Standing::Healthy
        && match task.task.health_status {
            HealthStatus::Healthy => true,
            HealthStatus::Unhealthy => false,
            HealthStatus::Unknown => !task_definition(&region.ecs, &task.task.task_definition_arn)
                .is_some_and(specification::has_health_check),
        }
}

/// Remembers which tasks have been healthy.
fn prove(look: &mut Look<'_>, region: &mut Region, name: &ServiceName) {
    let proven: Vec<String> = tasks_of(region, name)
        .filter(|task| !task.proven && is_healthy(region, task))
        .map(|task| task.id.clone())
        .collect();
    let Some(cluster) = region.ecs.clusters.get_mut(&name.cluster) else { return };
    for id in proven {
        if let Some(task) = cluster.tasks.get_mut(&id) {
            task.proven = true;
            look.step.changed = true;
        }
    }
}

/// Stops tasks that the load balancer finds unhealthy, after the grace period.
fn replace_unhealthy(look: &mut Look<'_>, region: &mut Region, name: &ServiceName) {
    let Some(entry) = region.ecs.service(name) else { return };
    let grace = entry.service.health_check_grace_period_seconds.unwrap_or(0);
    let grace = std::time::Duration::from_secs(u64::from(grace));
    let unhealthy: Vec<(String, Timestamp, bool, String, u16)> = tasks_of(region, name)
        .filter(|task| task.is_wanted() && task.task.last_status == TaskStatus::Running)
        .filter(|task| targets::standing(region, task) == Standing::Unhealthy)
        .filter_map(|task| {
            let balancer = task.launch.load_balancers.first()?;
            let group = balancer.target_group_arn.clone().unwrap_or_default();
            let port = balancer.container_port.unwrap_or_default();
            let silent = !task.proven && !targets::answers_wrongly(region, task);
            Some((task.id.clone(), task.task.started_at?.0, silent, group, port))
        })
        .collect();
    for (id, started, silent, group, port) in unhealthy {
        if !look.has_passed(started, grace) || (silent && !look.has_really_passed(started, START_UP)) {
            continue;
        }
        let Some(cluster) = region.ecs.clusters.get_mut(&name.cluster) else { return };
        if let Some(task) = cluster.tasks.get_mut(&id) {
            let reason = format!("Task failed ELB health checks in (target-group {group})");
            stop_task(task, look.now, "ServiceSchedulerInitiated", &reason);
        }
        if let Some(service) = cluster.services.get_mut(&name.service) {
            let what = format!(
                "(port {port}) is unhealthy in (target-group {group}) due to (reason Health checks failed)."
            );
            say(service, look.now, &what);
        }
        look.step.changed = true;
    }
}

/// Counts tasks that ended without having served: the next are started later and later.
fn count_failures(look: &mut Look<'_>, region: &mut Region, name: &ServiceName) {
    let Some(cluster) = region.ecs.clusters.get_mut(&name.cluster) else { return };
    let Some(service) = cluster.services.get_mut(&name.service) else { return };
    let mine = |task: &&mut TaskEntry| task.service.as_deref() == Some(name.service.as_str());
    for task in cluster.tasks.values_mut().filter(mine) {
        if task.is_wanted() || task.seen_failed {
            continue;
        }
        task.seen_failed = true;
        look.step.changed = true;
        let Some(fleet) = task.task.started_by.clone() else { continue };
        let lived = task.task.started_at.map(|at| look.now.duration_since(at.0));
        let failed = fleet::has_failed(look.clock, task, lived);
        fleet::count(look, service, &fleet, failed);
    }
}

/// Counts what runs, and says how the service is doing.
pub(super) fn observe(look: &mut Look<'_>, _place: &Partition, region: &mut Region, name: &ServiceName) {
    let Some(entry) = region.ecs.service(name) else { return };
    let fleets: Vec<String> = match entry.service.deployment_controller.kind {
        ControllerType::Ecs => entry.deployments.iter().map(|it| it.deployment.id.clone()).collect(),
        _ => entry.task_sets.iter().map(|it| it.task_set.id.clone()).collect(),
    };
    let counts: Vec<(String, fleet::Counts)> = fleets
        .into_iter()
        .map(|id| {
            let counts = fleet::Counts::of(region, name, &id);
            (id, counts)
        })
        .collect();
    let left = tasks_of(region, name).filter(|task| !task.is_stopped()).count();
    let now = look.now;
    let Some(entry) = region.ecs.service_mut(name) else { return };
    let before =
        (entry.service.clone(), entry.task_sets.clone(), entry.deployments.clone(), entry.events.len());
    let mut running = 0;
    let mut pending = 0;
    for (id, counts) in &counts {
        running += counts.running;
        pending += counts.pending;
        for set in entry.task_sets.iter_mut().filter(|set| set.task_set.id == *id) {
            observe_task_set(&mut set.task_set, now, counts);
        }
        rolling::observe(entry, now, id, counts);
    }
    entry.service.running_count = running;
    entry.service.pending_count = pending;
    let empty = |id: &str| counts.iter().any(|(known, counts)| known == id && counts.left == 0);
    entry.task_sets.retain(|set| set.task_set.status != TaskSetStatus::Draining || !empty(&set.task_set.id));
    rolling::complete(entry, now, &counts);
    say_steady(entry, now);
    if entry.service.status == ServiceStatus::Draining && left == 0 {
        entry.service.status = ServiceStatus::Inactive;
        entry.task_sets.clear();
        entry.deployments.clear();
    }
    let after = (&entry.service, &entry.task_sets, &entry.deployments, entry.events.len());
    if (&before.0, &before.1, &before.2, before.3) != after {
        look.step.changed = true;
    }
}

fn observe_task_set(set: &mut crate::services::ecs::TaskSet, now: Timestamp, counts: &fleet::Counts) {
    set.running_count = counts.running;
    set.pending_count = counts.pending;
    let steady = counts.is_steady(set.computed_desired_count);
    let status = if steady { StabilityStatus::SteadyState } else { StabilityStatus::Stabilizing };
    if status != set.stability_status {
        set.stability_status = status;
        set.stability_status_at = EpochSeconds(now);
    }
}

/// Says once that a service is steady, each time after it was not.
fn say_steady(entry: &mut ServiceEntry, now: Timestamp) {
    if entry.service.status != ServiceStatus::Active {
        return;
    }
    let steady = match entry.service.deployment_controller.kind {
        ControllerType::Ecs => rolling::is_steady(entry),
        _ => !entry.task_sets.is_empty() && entry.task_sets.iter().all(|set| set.task_set.is_steady()),
    };
    if steady && !entry.said_steady {
        say(entry, now, "has reached a steady state.");
    }
    entry.said_steady = steady;
}
