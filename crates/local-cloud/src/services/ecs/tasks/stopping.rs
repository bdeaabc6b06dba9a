//! StopTask.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{Call, EpochSeconds, TaskEntry, TaskStatus, clusters, errors, names, view};
use crate::wire::{ApiError, Input, Output};

/// Asks a task to stop; the first reason stays. The controller deregisters, drains and ends it.
pub(crate) fn stop_task(entry: &mut TaskEntry, now: Timestamp, code: &str, reason: &str) {
    if !entry.is_wanted() {
        return;
    }
    let task = &mut entry.task;
    task.desired_status = TaskStatus::Stopped;
    task.stop_code = Some(code.to_owned());
    task.stopped_reason = Some(reason.to_owned());
    task.stopping_at = Some(EpochSeconds(now));
    task.version += 1;
    if task.last_status == TaskStatus::Provisioning {
        // Nothing of it exists yet.
        task.last_status = TaskStatus::Stopped;
        task.stopped_at = Some(EpochSeconds(now));
        for container in &mut task.containers {
            container.last_status = TaskStatus::Stopped;
        }
    }
}

/// StopTask: a task of a service is replaced.
pub(in crate::services::ecs) fn stop(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    struct Which {
        #[serde(default)]
        cluster: Option<String>,
        task: String,
        #[serde(default)]
        reason: Option<String>,
    }
    let which: Which = input.parse()?;
    let now = call.now;
    let cluster_name = names::cluster_name(which.cluster.as_deref());
    let id = names::resource_in(&cluster_name, &which.task)?;
    let clusters = &mut call.region().ecs.clusters;
    clusters::active(clusters, Some(&cluster_name))?;
    let cluster = clusters.get_mut(&cluster_name).ok_or_else(errors::cluster_not_found)?;
    let entry = cluster
        .tasks
        .get_mut(id)
        .ok_or_else(|| errors::invalid_parameter("The referenced task was not found."))?;
    stop_task(entry, now, "UserInitiated", which.reason.as_deref().unwrap_or("Task stopped by user"));
    Output::of(&json!({ "task": view(entry, true) }))
}
