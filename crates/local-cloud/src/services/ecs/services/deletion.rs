//! DeleteService.

use serde::Deserialize;
use serde_json::json;

use super::{Call, ServiceName, ServiceStatus, clusters, errors, set_desired_count, view};
use crate::services::ecs::{Scale, TaskSetStatus};
use crate::wire::{ApiError, Input, Output};

/// DeleteService: the service is DRAINING while its tasks are stopped, then INACTIVE.
pub(in crate::services::ecs) fn delete(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    struct Which {
        #[serde(default)]
        cluster: Option<String>,
        service: String,
        #[serde(default)]
        force: bool,
    }
    let which: Which = input.parse()?;
    let name = ServiceName::of_call(which.cluster.as_deref(), &which.service)?;
    let now = call.now;
    let region = call.region();
    clusters::active(&region.ecs.clusters, Some(&name.cluster))?;
    let cluster = region.ecs.clusters.get_mut(&name.cluster).ok_or_else(errors::cluster_not_found)?;
    let entry = cluster.services.get_mut(&name.service).ok_or_else(errors::service_not_found)?;
    match entry.service.status {
        ServiceStatus::Active => {}
        // Deleting twice is fine while the first is under way.
        ServiceStatus::Draining => return Output::of(&json!({ "service": view(entry, true) })),
        ServiceStatus::Inactive => return Err(errors::service_not_found()),
    }
    if entry.service.desired_count > 0 && !which.force && entry.service.scheduling_strategy != "DAEMON" {
        return Err(errors::invalid_parameter("The service cannot be stopped while it is scaled above 0."));
    }
    set_desired_count(entry, 0, now);
    for set in &mut entry.task_sets {
        set.task_set.status = TaskSetStatus::Draining;
        set.task_set.scale = Scale::percent(0.0);
    }
    entry.service.status = ServiceStatus::Draining;
    entry.service.pending_count = 0;
    let answer = Output::of(&json!({ "service": view(entry, true) }));
    let is_left = |task: &super::super::TaskEntry| {
        task.service.as_deref() == Some(name.service.as_str()) && !task.is_stopped()
    };
    if !cluster.tasks.values().any(is_left) {
        entry.service.status = ServiceStatus::Inactive;
        entry.deployments.clear();
        entry.task_sets.clear();
    }
    answer
}
