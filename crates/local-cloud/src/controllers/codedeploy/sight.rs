//! What a deployment sees of the world: its service, its listeners, its task sets and their targets.

use std::time::Duration;

use jiff::Timestamp;

use super::machine::{Alarm, Health, Observation, Phase};
use crate::clock::Clock;
use crate::services::Settings;
use crate::services::codedeploy::{Deployment, ErrorInformation, LifecycleEvent, TaskSetSnapshot};
use crate::services::ecs::{ServiceEntry, ServiceName, ServiceStatus, TaskEntry, TaskSet, TaskSetStatus};
use crate::services::elbv2::{self, LoadBalancerType};
use crate::world::Region;

/// How ECS says why it stopped a task whose target is unhealthy
/// (docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html).
const FAILED_HEALTH_CHECKS: &str = "failed ELB health checks";

/// What `deployment` sees now.
pub(super) fn observe(
    region: &Region,
    deployment: &Deployment,
    settings: &Settings,
    now: Timestamp,
) -> Observation {
    let requests = &deployment.requests;
    let verdict = match deployment.phase {
        Phase::Hook(event) => requests.hooks.get(&event).copied(),
        _ => None,
    };
    Observation {
        elapsed: nominal(&settings.clock, deployment.phase_began, now),
        trouble: trouble(region, deployment),
        replacement: health(region, deployment, settings, now),
        emptied: is_emptied(region, deployment),
        verdict,
        stop: requests.stop,
        alarm: alarm(region, deployment),
        shift: requests.shift,
        terminate: requests.terminate,
    }
}

/// The first alarm of the deployment that fires. One that does not exist never does.
/// <https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html>
fn alarm(region: &Region, deployment: &Deployment) -> Option<Alarm> {
    let watched = region.codedeploy.alarms_of(deployment);
    let name = watched.into_iter().find(|name| region.cloudwatch.fires(name))?;
    let undo = deployment.auto_rollback.covers("DEPLOYMENT_STOP_ON_ALARM");
    Some(Alarm { name, undo })
}

/// The nominal time between two instants.
fn nominal(clock: &Clock, from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default().mul_f64(clock.speed())
}

/// Name of the deployment's service.
pub(super) fn service_name(deployment: &Deployment) -> Option<ServiceName> {
    let service = deployment.ecs_service.as_ref()?;
    Some(ServiceName::new(Some(service.cluster()), service.service()))
}

pub(super) fn service<'a>(region: &'a Region, deployment: &Deployment) -> Option<&'a ServiceEntry> {
    let entry = region.ecs.service(&service_name(deployment)?)?;
    (entry.service.status == ServiceStatus::Active).then_some(entry)
}

fn task_set<'a>(
    region: &'a Region,
    deployment: &Deployment,
    set: Option<&TaskSetSnapshot>,
) -> Option<&'a TaskSet> {
    region.ecs.task_set(&service_name(deployment)?, &set?.id)
}

/// What makes it impossible to go on.
fn trouble(region: &Region, deployment: &Deployment) -> Option<ErrorInformation> {
    let invalid_service = |message: &str| Some(ErrorInformation::new("INVALID_ECS_SERVICE", message));
    if !deployment.is_rollback()
        && let Some(missing) = region.codedeploy.missing(&deployment.application, &deployment.group)
    {
        return Some(missing);
    }
    let Some(service) = service(region, deployment) else {
        return invalid_service(
            "The deployment failed because its ECS service does not exist, or is not active.",
        );
    };
    match deployment.phase {
        Phase::Created | Phase::Hook(LifecycleEvent::BeforeInstall) if !deployment.is_rollback() => {
            begins_wrong(region, deployment, service)
        }
        // The shift is over: the listener and the original matter no more.
        Phase::TerminationWait | Phase::Termination | Phase::Removal | Phase::Ended(_) => None,
        _ => {
            let gone = |set: Option<&TaskSetSnapshot>| {
                set.is_some()
                    && task_set(region, deployment, set)
                        .is_none_or(|set| set.status == TaskSetStatus::Draining)
            };
            if gone(deployment.original.as_ref()) {
                return invalid_service("The original task set was deleted while the deployment ran.");
            }
            if gone(deployment.replacement.as_ref()) && !deployment.is_rollback() {
                return invalid_service("The replacement task set was deleted while the deployment ran.");
            }
            missing_listener(region, deployment)
        }
    }
}

fn load_balancing(message: String) -> Option<ErrorInformation> {
    Some(ErrorInformation::new("ELASTIC_LOAD_BALANCING_INVALID", message))
}

fn missing_listener(region: &Region, deployment: &Deployment) -> Option<ErrorInformation> {
    let gone = |arn: &&str| elbv2::load_balancer_of_listener(region, arn).is_none();
    let arn = listeners(deployment).into_iter().find(gone)?;
    load_balancing(format!(
        "The ELB could not be updated due to the following error: Listener {arn} not found"
    ))
}

/// The production listener, then the test listener.
pub(super) fn listeners(deployment: &Deployment) -> Vec<&str> {
    let Some(pair) = deployment.pair() else { return Vec::new() };
    pair.production_listener().into_iter().chain(pair.test_listener()).collect()
}

/// Both listeners have to forward to the group of the primary task set, which is one of the pair.
fn begins_wrong(
    region: &Region,
    deployment: &Deployment,
    service: &ServiceEntry,
) -> Option<ErrorInformation> {
    let Some(primary) = service.primary_task_set() else {
        return Some(ErrorInformation::new(
            "INVALID_ECS_SERVICE",
            "The ECS service has no primary task set.",
        ));
    };
    let group = primary.target_group().unwrap_or_default();
    let pair = deployment.pair()?;
    let name = elbv2::target_group(region, group).map(|group| group.name.as_str());
    if !pair.target_groups.iter().any(|known| Some(known.name.as_str()) == name) {
        return load_balancing(format!(
            "The target group of the primary task set, {}, is none of the deployment group's pair",
            name.unwrap_or("which does not exist")
        ));
    }
    if let Some(missing) = pair.target_groups.iter().find(|known| group_arn(region, &known.name).is_none()) {
        return load_balancing(format!("The target group {} does not exist", missing.name));
    }
    if let Some(missing) = missing_listener(region, deployment) {
        return Some(missing);
    }
    let forwarding = elbv2::listeners_forwarding_to(region, group);
    let wrong = listeners(deployment).into_iter().find(|arn| !forwarding.iter().any(|known| known == arn))?;
    load_balancing(format!(
        "The ELB could not be updated due to the following error: Primary taskset target group must be behind \
         listener {wrong}"
    ))
}

/// ARN of the target group of this name.
pub(super) fn group_arn(region: &Region, name: &str) -> Option<String> {
    let mut groups = region.elbv2.target_groups.values();
    groups.find(|group| group.name == name).map(|group| group.arn.clone())
}

/// Whether the deployment's load balancer is a network load balancer: one group at a time, and the
/// embedded cloud does not check its targets.
pub(super) fn is_network(region: &Region, deployment: &Deployment) -> bool {
    let listener = deployment.pair().and_then(|pair| pair.production_listener()).unwrap_or_default();
    let balancer = elbv2::load_balancer_of_listener(region, listener);
    balancer.is_some_and(|balancer| balancer.kind != LoadBalancerType::Application)
}

/// How the replacement is, once it was made.
fn health(region: &Region, deployment: &Deployment, settings: &Settings, now: Timestamp) -> Option<Health> {
    let set = task_set(region, deployment, deployment.replacement.as_ref())?;
    let name = service_name(deployment)?;
    let service = region.ecs.service(&name)?;
    let entry = service.task_sets.iter().find(|entry| entry.task_set.id == set.id)?;
    let mut health = Health {
        desired: set.computed_desired_count,
        steady: set.is_steady(),
        healthy: 0,
        unhealthy: 0,
        failures: entry.placement.failures,
    };
    if set.target_group().is_none() || is_network(region, deployment) {
        health.healthy = if health.steady { set.running_count } else { 0 };
        return Some(health);
    }
    let grace =
        Duration::from_secs(u64::from(service.service.health_check_grace_period_seconds.unwrap_or(0)));
    let tasks = region.ecs.clusters.get(&name.cluster)?.tasks.values();
    for task in tasks.filter(|task| task.task.started_by.as_deref() == Some(set.id.as_str())) {
        match verdict(region, task, settings.inert, now) {
            Some("healthy") => health.healthy += 1,
            Some("unhealthy") => {
                let started = task.task.started_at.map_or(now, |at| at.0);
                health.unhealthy += u32::from(nominal(&settings.clock, started, now) >= grace);
            }
            _ => {}
        }
    }
    Some(health)
}

/// `healthy` if all targets of a task are, `unhealthy` if one is or was so for too long.
fn verdict(region: &Region, task: &TaskEntry, inert: bool, now: Timestamp) -> Option<&'static str> {
    if !task.is_wanted() {
        let reason = task.task.stopped_reason.as_deref().unwrap_or_default();
        return reason.contains(FAILED_HEALTH_CHECKS).then_some("unhealthy");
    }
    let address = task.address?;
    let mut targets = Vec::new();
    for balancer in &task.launch.load_balancers {
        let (group, port) = (balancer.target_group_arn.as_deref()?, balancer.container_port?);
        targets.push(elbv2::target_health(region, group, address, port, inert)?);
    }
    let fails = |health: &elbv2::Health| {
        health.state == "unhealthy" && (health.answers_wrongly() || !task.may_be_starting(now))
    };
    if targets.iter().any(fails) {
        return Some("unhealthy");
    }
    (!targets.is_empty() && targets.iter().all(|health| health.state == "healthy")).then_some("healthy")
}

/// Whether nothing runs any more in the task set that is being ended.
fn is_emptied(region: &Region, deployment: &Deployment) -> bool {
    let ending = if deployment.is_rollback() { &deployment.replacement } else { &deployment.original };
    match task_set(region, deployment, ending.as_ref()) {
        Some(set) => set.computed_desired_count == 0 && set.running_count == 0 && set.pending_count == 0,
        None => true,
    }
}

/// A task set as it is now; its counts are zero once it is gone.
pub(super) fn refreshed(
    region: &Region,
    deployment: &Deployment,
    known: &TaskSetSnapshot,
) -> TaskSetSnapshot {
    match task_set(region, deployment, Some(known)) {
        Some(set) => TaskSetSnapshot {
            target_group: known.target_group.clone(),
            ..snapshot(region, set, known.weight)
        },
        None => {
            let status = "DRAINING".to_owned();
            TaskSetSnapshot { status, desired: 0, pending: 0, running: 0, ..known.clone() }
        }
    }
}

/// A task set with this share of the traffic.
pub(super) fn snapshot(region: &Region, set: &TaskSet, weight: f64) -> TaskSetSnapshot {
    let group = set.target_group().and_then(|arn| elbv2::target_group(region, arn));
    let status = match set.status {
        TaskSetStatus::Primary => "PRIMARY",
        TaskSetStatus::Active => "ACTIVE",
        TaskSetStatus::Draining => "DRAINING",
    };
    TaskSetSnapshot {
        id: set.id.clone(),
        target_group: group.map(|group| group.name.clone()).unwrap_or_default(),
        status: status.to_owned(),
        desired: set.computed_desired_count,
        pending: set.pending_count,
        running: set.running_count,
        weight,
    }
}
