//! A fleet: the tasks of one deployment or of one task set, which are all alike.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::plan::Look;
use super::service::is_healthy;
use crate::clock::Clock;
use crate::services::ecs::{
    Deployment, Launch, Origin, Placement, ServiceEntry, ServiceName, Tag, TaskEntry, TaskSet, TaskStatus,
    new_task, say, stop_task, tags_of_definition, task_definition,
};
use crate::wire::EpochSeconds;
use crate::world::{Partition, Region};

/// A task that ends sooner than this after it started did not really run.
const SHORT_LIFE: Duration = Duration::from_secs(30);

/// The wait after the second failure in a row; doubled by each further one.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// After so many failures in a row the service says so.
const CONSISTENT: u32 = 3;

/// What the tasks of a fleet are.
pub(super) struct Fleet {
    /// Deployment or task set: the tasks' `startedBy`.
    pub(super) id: String,
    /// How many there are to be.
    pub(super) desired: usize,
    pub(super) task_definition: String,
    pub(super) launch: Launch,
}

pub(super) fn of_task_set(set: &TaskSet) -> Fleet {
    Fleet {
        id: set.id.clone(),
        desired: set.computed_desired_count as usize,
        task_definition: set.task_definition.clone(),
        launch: set.launch.clone(),
    }
}

pub(super) fn of_deployment(deployment: &Deployment) -> Fleet {
    Fleet {
        id: deployment.id.clone(),
        desired: deployment.desired_count as usize,
        task_definition: deployment.task_definition.clone(),
        launch: deployment.launch.clone(),
    }
}

fn tasks<'a>(
    region: &'a Region,
    name: &'a ServiceName,
    fleet: &'a str,
) -> impl Iterator<Item = &'a TaskEntry> {
    let cluster = region.ecs.clusters.get(&name.cluster);
    cluster.into_iter().flat_map(|cluster| cluster.tasks.values()).filter(move |task| {
        task.service.as_deref() == Some(name.service.as_str())
            && task.task.started_by.as_deref() == Some(fleet)
            && !task.is_stopped()
    })
}

/// Ids of a fleet's tasks that are to run.
pub(super) fn wanted(region: &Region, name: &ServiceName, fleet: &str) -> Vec<String> {
    tasks(region, name, fleet).filter(|task| task.is_wanted()).map(|task| task.id.clone()).collect()
}

/// What there is of a fleet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) running: u32,
    pub(super) pending: u32,
    /// Running, to go on running, and healthy.
    pub(super) healthy: u32,
    /// To run.
    pub(super) wanted: u32,
    /// Not stopped.
    pub(super) left: u32,
}

impl Counts {
    pub(super) fn of(region: &Region, name: &ServiceName, fleet: &str) -> Self {
        let mut counts = Self::default();
        for task in tasks(region, name, fleet) {
            let status = task.task.last_status;
            counts.left += 1;
            counts.running += u32::from(status == TaskStatus::Running);
            counts.pending += u32::from(task.is_wanted() && status < TaskStatus::Running);
            counts.wanted += u32::from(task.is_wanted());
            counts.healthy += u32::from(task.is_wanted() && is_healthy(region, task));
        }
        counts
    }

    /// Whether exactly `desired` tasks run and all are healthy.
    pub(super) fn is_steady(&self, desired: u32) -> bool {
        self.wanted == desired && self.running == desired && self.healthy == desired && self.pending == 0
    }
}

/// Makes `count` new tasks, unless the fleet waits after failures.
pub(super) fn launch(
    look: &mut Look<'_>,
    place: &Partition,
    region: &mut Region,
    name: &ServiceName,
    fleet: &Fleet,
    placement: &Placement,
    count: usize,
) {
    if count == 0 || !may_launch(look, region, name, fleet, placement) {
        return;
    }
    let Some(definition) = task_definition(&region.ecs, &fleet.task_definition).cloned() else { return };
    let Some(entry) = region.ecs.service(name) else { return };
    let mut tags = match entry.service.propagate_tags.as_str() {
        "SERVICE" => entry.tags.clone(),
        "TASK_DEFINITION" => tags_of_definition(&region.ecs, &definition),
        _ => Vec::new(),
    };
    if entry.service.enable_ecs_managed_tags {
        for (key, value) in [("aws:ecs:clusterName", &name.cluster), ("aws:ecs:serviceName", &name.service)] {
            tags.push(Tag { key: key.into(), value: value.clone() });
        }
    }
    let execute = entry.service.enable_execute_command;
    let mut placed: BTreeMap<String, u32> = BTreeMap::new();
    for provider in tasks(region, name, &fleet.id).filter_map(|it| it.task.capacity_provider_name.clone()) {
        *placed.entry(provider).or_insert(0) += 1;
    }
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        let origin = Origin {
            cluster: name.cluster.clone(),
            group: format!("service:{}", name.service),
            started_by: Some(fleet.id.clone()),
            service: Some(name.service.clone()),
            tags: tags.clone(),
            enable_execute_command: execute,
            placed: placed.clone(),
            ..Origin::default()
        };
        let entry = new_task(place, look.now, &definition, &fleet.launch, origin);
        if let Some(provider) = &entry.task.capacity_provider_name {
            *placed.entry(provider.clone()).or_insert(0) += 1;
        }
        made.push(entry);
    }
    let ids: Vec<_> = made.iter().map(|entry| format!("(task {})", entry.id)).collect();
    if let Some(cluster) = region.ecs.clusters.get_mut(&name.cluster) {
        cluster.tasks.extend(made.into_iter().map(|entry| (entry.id.clone(), entry)));
    }
    if let Some(service) = region.ecs.service_mut(name) {
        let prefix = prefix(service, &fleet.id);
        say(service, look.now, &format!("{prefix}has started {count} tasks: {}.", ids.join(" ")));
    }
    look.step.changed = true;
}

/// How events name a task set.
fn prefix(service: &ServiceEntry, fleet: &str) -> String {
    let is_set = service.task_sets.iter().any(|set| set.task_set.id == fleet);
    if is_set { format!("(taskSet {fleet}) ") } else { String::new() }
}

fn may_launch(
    look: &mut Look<'_>,
    region: &mut Region,
    name: &ServiceName,
    fleet: &Fleet,
    placement: &Placement,
) -> bool {
    if let Some(EpochSeconds(until)) = placement.not_before
        && until > look.now
    {
        look.step.wake.at(until);
        return false;
    }
    if fleet.launch.is_fargate() {
        return true;
    }
    // There are no container instances; it is said once.
    const NO_INSTANCE: &str = "was unable to place a task because no container instance met all of its \
        requirements. Reason: No Container Instances were found in your cluster. For more information, see the \
        Troubleshooting section of the Amazon ECS Developer Guide.";
    if let Some(service) = region.ecs.service_mut(name)
        && !service.events.iter().any(|event| event.message.ends_with(NO_INSTANCE))
    {
        say(service, look.now, NO_INSTANCE);
        look.step.changed = true;
    }
    false
}

/// Stops `count` tasks of a fleet: first those that serve nobody, then the newest.
pub(super) fn stop_surplus(
    look: &mut Look<'_>,
    region: &mut Region,
    name: &ServiceName,
    fleet: &Fleet,
    count: usize,
) {
    if count == 0 {
        return;
    }
    let mut candidates: Vec<(bool, std::cmp::Reverse<EpochSeconds>, String)> = tasks(region, name, &fleet.id)
        .filter(|task| task.is_wanted())
        .map(|task| (is_healthy(region, task), std::cmp::Reverse(task.task.created_at), task.id.clone()))
        .collect();
    candidates.sort();
    let ids: Vec<String> = candidates.into_iter().take(count).map(|(_, _, id)| id).collect();
    let reason = format!("Scaling activity initiated by (deployment {})", fleet.id);
    stop(look, region, name, &ids, &reason);
}

/// Stops these tasks of a service.
pub(super) fn stop(
    look: &mut Look<'_>,
    region: &mut Region,
    name: &ServiceName,
    ids: &[String],
    reason: &str,
) {
    let Some(cluster) = region.ecs.clusters.get_mut(&name.cluster) else { return };
    let mut running = Vec::new();
    for id in ids {
        let Some(task) = cluster.tasks.get_mut(id) else { continue };
        if task.task.last_status == TaskStatus::Running {
            running.push(format!("(task {id})"));
        }
        stop_task(task, look.now, "ServiceSchedulerInitiated", reason);
        look.step.changed = true;
    }
    if let (Some(service), false) = (cluster.services.get_mut(&name.service), running.is_empty()) {
        let what = format!("has stopped {} running tasks: {}.", running.len(), running.join(" "));
        say(service, look.now, &what);
    }
}

/// Whether a task's end tells that its like cannot run: it ended by itself, never healthy or at once.
pub(super) fn has_failed(clock: Clock, task: &TaskEntry, lived: Option<SignedDuration>) -> bool {
    let by_itself = match task.task.stop_code.as_deref() {
        Some("EssentialContainerExited" | "TaskFailedToStart") => true,
        Some("ServiceSchedulerInitiated") => {
            task.task.stopped_reason.as_deref().is_some_and(|reason| reason.starts_with("Task failed"))
        }
        _ => false,
    };
    let short = SignedDuration::try_from(clock.scale(SHORT_LIFE)).unwrap_or_default();
    by_itself && (!task.proven || lived.is_none_or(|lived| lived < short))
}

/// Counts the end of a task of a fleet.
pub(super) fn count(look: &Look<'_>, service: &mut ServiceEntry, fleet: &str, failed: bool) {
    let sets = service.task_sets.iter_mut().filter(|it| it.task_set.id == fleet).map(|it| &mut it.placement);
    let mut found = None;
    for placement in sets {
        found = Some(note(look, placement, failed));
    }
    for it in service.deployments.iter_mut().filter(|it| it.deployment.id == fleet) {
        it.deployment.failed_tasks += u32::from(failed);
        found = Some(note(look, &mut it.placement, failed));
    }
    if failed && found == Some(CONSISTENT) {
        say(
            service,
            look.now,
            "is unable to consistently start tasks successfully. For more information, see the Troubleshooting \
             section of the Amazon ECS Developer Guide.",
        );
    }
}

/// Returns the failures in a row.
fn note(look: &Look<'_>, placement: &mut Placement, failed: bool) -> u32 {
    if !failed {
        placement.failures = 0;
        placement.not_before = None;
        return 0;
    }
    placement.failures += 1;
    if placement.failures > 1 {
        let doubled = FIRST_WAIT.saturating_mul(1 << (placement.failures - 2).min(10));
        let until = look.clock.after(look.now, doubled.min(LONGEST_WAIT));
        placement.not_before = Some(EpochSeconds(until));
    }
    placement.failures
}
