//! Task sets: what CodeDeploy (or an EXTERNAL controller) makes, scales, promotes and deletes.
//!
//! The functions here check what is true for both; who may call is checked by the API handlers.

mod api;

use jiff::Timestamp;
use uuid::Uuid;

use super::names::{self, ServiceName};
use super::{
    Event, Launch, Scale, ServiceEntry, ServiceStatus, StabilityStatus, Tag, TaskSet, TaskSetEntry,
    TaskSetStatus, errors, launching,
};
use crate::wire::{ApiError, EpochSeconds};
use crate::world::{Partition, Region};

pub(super) use api::{TaskSetView, create, delete, describe, update, update_primary, view};

/// What a new task set is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskSetSpec {
    /// `family`, `family:revision` or an ARN.
    pub(crate) task_definition: String,
    /// Where and how its tasks run. Without launch type and strategy the service's are taken.
    pub(crate) launch: Launch,
    /// Share of the service's desired count.
    pub(crate) scale: Scale,
    /// CodeDeploy's deployment id, or what the caller says.
    pub(crate) external_id: Option<String>,
    /// `CODE_DEPLOY`, or what the caller says.
    pub(crate) started_by: Option<String>,
    /// Shown on request.
    pub(crate) tags: Vec<Tag>,
    /// Makes a repetition of the call answer with the same task set.
    pub(crate) client_token: Option<String>,
}

/// How many events a service keeps (API_Service: "Only the 100 most recent events are displayed").
const EVENTS_KEPT: usize = 100;

/// Makes a task set with status ACTIVE; its tasks are started by the controller. Returns its id. An inert
/// cloud takes networks that do not exist.
///
/// # Errors
/// `ServiceNotFoundException`, `ServiceNotActiveException`, `ClientException` for a task definition
/// that does not exist, `InvalidParameterException` for load balancers or networks that do not fit,
/// `PlatformUnknownException`.
pub(crate) fn create_task_set(
    region: &mut Region,
    place: &Partition,
    now: Timestamp,
    name: &ServiceName,
    spec: TaskSetSpec,
    inert: bool,
) -> Result<String, ApiError> {
    let definition = super::active_task_definition(&region.ecs, &spec.task_definition)?.clone();
    let service = active_service(&region.ecs.clusters, name)?;
    if let Some(known) = same_token(service, spec.client_token.as_deref()) {
        return Ok(known.id.clone());
    }
    let launch = launch_for(service, spec.launch)?;
    launching::check(region, &definition, &launch, inert)?;
    let service = region.ecs.service_mut(name).ok_or_else(errors::service_not_found)?;
    let spec = TaskSetSpec { task_definition: definition.task_definition_arn, launch, ..spec };
    Ok(add(service, place, now, name, spec))
}

/// Adds a task set to a service: what it is to be was checked.
pub(super) fn add(
    service: &mut ServiceEntry,
    place: &Partition,
    now: Timestamp,
    name: &ServiceName,
    spec: TaskSetSpec,
) -> String {
    let id = names::deployment_id();
    let computed = spec.scale.of(service.service.desired_count);
    let task_set = TaskSet {
        task_set_arn: names::arn(place, &format!("task-set/{}/{}/{id}", name.cluster, name.service)),
        service_arn: service.service.service_arn.clone(),
        cluster_arn: service.service.cluster_arn.clone(),
        started_by: spec.started_by,
        external_id: spec.external_id,
        status: TaskSetStatus::Active,
        task_definition: spec.task_definition,
        computed_desired_count: computed,
        // The controller counts from here on; until it looks, every task is still to come.
        pending_count: computed,
        running_count: 0,
        created_at: EpochSeconds(now),
        updated_at: EpochSeconds(now),
        launch: spec.launch,
        scale: spec.scale,
        stability_status: StabilityStatus::Stabilizing,
        stability_status_at: EpochSeconds(now),
        id: id.clone(),
    };
    let entry = TaskSetEntry {
        task_set,
        tags: spec.tags,
        client_token: spec.client_token,
        placement: super::Placement::default(),
    };
    service.task_sets.push(entry);
    id
}

/// Makes a task set PRIMARY and the one that was so far ACTIVE; the service shows its task definition.
///
/// # Errors
/// `ServiceNotFoundException`, `ServiceNotActiveException`, `TaskSetNotFoundException`.
pub(crate) fn set_primary_task_set(
    region: &mut Region,
    now: Timestamp,
    name: &ServiceName,
    id: &str,
) -> Result<(), ApiError> {
    let service = active_service_mut(region, name)?;
    let chosen = find_mut(service, id)?.task_set.id.clone();
    for TaskSetEntry { task_set, .. } in &mut service.task_sets {
        let status = match task_set.status {
            _ if task_set.id == chosen => TaskSetStatus::Primary,
            TaskSetStatus::Primary => TaskSetStatus::Active,
            other => other,
        };
        if status != task_set.status {
            task_set.status = status;
            task_set.updated_at = EpochSeconds(now);
        }
        if task_set.id == chosen {
            service.service.task_definition = Some(task_set.task_definition.clone());
            service.service.launch = task_set.launch.clone();
        }
    }
    Ok(())
}

/// Changes a task set's share of the desired count.
///
/// # Errors
/// `ServiceNotFoundException`, `ServiceNotActiveException`, `TaskSetNotFoundException`,
/// `InvalidParameterException` for a share outside of 0 to 100.
pub(crate) fn set_task_set_scale(
    region: &mut Region,
    now: Timestamp,
    name: &ServiceName,
    id: &str,
    scale: Scale,
) -> Result<(), ApiError> {
    check_scale(&scale)?;
    let service = active_service_mut(region, name)?;
    let desired = service.service.desired_count;
    let task_set = &mut find_mut(service, id)?.task_set;
    task_set.scale = scale;
    task_set.updated_at = EpochSeconds(now);
    desire(task_set, desired, now);
    Ok(())
}

/// Deletes a task set: it becomes DRAINING, its tasks are deregistered, drained and stopped, then it
/// is gone. `force` is needed unless it is scaled to zero.
///
/// # Errors
/// `ServiceNotFoundException`, `TaskSetNotFoundException`, `InvalidParameterException` for the
/// PRIMARY task set and, without `force`, for one that is not scaled to zero.
pub(crate) fn delete_task_set(
    region: &mut Region,
    now: Timestamp,
    name: &ServiceName,
    id: &str,
    force: bool,
) -> Result<(), ApiError> {
    let service = region.ecs.service_mut(name).ok_or_else(errors::service_not_found)?;
    let task_set = &mut find_mut(service, id)?.task_set;
    if task_set.status == TaskSetStatus::Primary && !force {
        return Err(errors::invalid_parameter(
            "The task set that is the primary task set cannot be deleted.",
        ));
    }
    if task_set.computed_desired_count > 0 && !force {
        return Err(errors::invalid_parameter(
            "The task set cannot be deleted while it is scaled above 0. Scale it down or use force.",
        ));
    }
    task_set.status = TaskSetStatus::Draining;
    task_set.scale = Scale::percent(0.0);
    task_set.updated_at = EpochSeconds(now);
    desire(task_set, 0, now);
    Ok(())
}

/// Forgets a task set that is DRAINING and has no tasks.
pub(crate) fn drop_if_empty(region: &mut Region, name: &ServiceName, id: &str) {
    let Some(cluster) = region.ecs.clusters.get_mut(&name.cluster) else { return };
    let is_left = |task: &super::TaskEntry| {
        task.service.as_deref() == Some(name.service.as_str())
            && task.task.started_by.as_deref() == Some(id)
            && !task.is_stopped()
    };
    if cluster.tasks.values().any(is_left) {
        return;
    }
    if let Some(service) = cluster.services.get_mut(&name.service) {
        service
            .task_sets
            .retain(|entry| entry.task_set.id != id || entry.task_set.status != TaskSetStatus::Draining);
    }
}

/// Sets what a task set is to run out of `desired` tasks of its service.
pub(super) fn desire(task_set: &mut TaskSet, desired: u32, now: Timestamp) {
    let computed = task_set.scale.of(desired);
    if computed == task_set.computed_desired_count {
        return;
    }
    task_set.computed_desired_count = computed;
    task_set.pending_count = computed.saturating_sub(task_set.running_count);
    task_set.stability_status = StabilityStatus::Stabilizing;
    task_set.stability_status_at = EpochSeconds(now);
    task_set.updated_at = EpochSeconds(now);
}

/// Checks a share of the desired count.
pub(super) fn check_scale(scale: &Scale) -> Result<(), ApiError> {
    if scale.unit != "PERCENT" || !(0.0..=100.0).contains(&scale.value) {
        return Err(errors::invalid_parameter("Scale must be a percentage between 0 and 100."));
    }
    Ok(())
}

/// Adds an event to a service, in AWS's wording, which starts with the service.
pub(crate) fn say(service: &mut ServiceEntry, now: Timestamp, what: &str) {
    let event = Event {
        id: Uuid::new_v4().to_string(),
        created_at: EpochSeconds(now),
        message: format!("(service {}) {what}", service.service.service_name),
    };
    service.events.insert(0, event);
    service.events.truncate(EVENTS_KEPT);
}

fn launch_for(service: &ServiceEntry, given: Launch) -> Result<Launch, ApiError> {
    let of_service = &service.service.launch;
    let mut launch = given;
    if launch.launch_type.is_none() && launch.capacity_provider_strategy.is_none() {
        launch.launch_type = of_service.launch_type.clone();
        launch.capacity_provider_strategy = of_service.capacity_provider_strategy.clone();
    }
    if launch.is_fargate() {
        launch.platform_version.get_or_insert_with(|| "LATEST".into());
        launch.platform_family.get_or_insert_with(|| "Linux".into());
    }
    launching::check_values(&launch)?;
    Ok(launch)
}

fn same_token<'a>(service: &'a ServiceEntry, token: Option<&str>) -> Option<&'a TaskSet> {
    let token = token?;
    let known = service.task_sets.iter().find(|entry| entry.client_token.as_deref() == Some(token))?;
    Some(&known.task_set)
}

fn active_service<'a>(
    clusters: &'a std::collections::BTreeMap<String, super::ClusterEntry>,
    name: &ServiceName,
) -> Result<&'a ServiceEntry, ApiError> {
    let cluster = clusters.get(&name.cluster).ok_or_else(errors::cluster_not_found)?;
    let service = cluster.services.get(&name.service).ok_or_else(errors::service_not_found)?;
    match service.service.status {
        ServiceStatus::Active => Ok(service),
        _ => Err(errors::service_not_active()),
    }
}

fn active_service_mut<'a>(
    region: &'a mut Region,
    name: &ServiceName,
) -> Result<&'a mut ServiceEntry, ApiError> {
    active_service(&region.ecs.clusters, name)?;
    region.ecs.service_mut(name).ok_or_else(errors::service_not_found)
}

fn find_mut<'a>(service: &'a mut ServiceEntry, id: &str) -> Result<&'a mut TaskSetEntry, ApiError> {
    let mut sets = service.task_sets.iter_mut();
    sets.find(|entry| entry.task_set.id == id || entry.task_set.task_set_arn == id)
        .ok_or_else(errors::task_set_not_found)
}
