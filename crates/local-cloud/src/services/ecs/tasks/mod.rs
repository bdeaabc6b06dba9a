//! Tasks: what runs, or ran a while ago.

mod creation;
mod running;
mod stopping;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::pages::Page;
use super::services::LAUNCH_TYPES;
use super::{
    Call, HealthStatus, Tag, Task, TaskEntry, TaskStatus, clusters, errors, names, resource_name, tags,
};
use crate::wire::{ApiError, EpochSeconds, Input, Output};

pub(crate) use creation::{Origin, new_task};
pub(super) use running::{run, start};
pub(super) use stopping::stop;
pub(crate) use stopping::stop_task;

/// A task as it is shown.
#[derive(Serialize)]
struct TaskView<'a> {
    #[serde(flatten)]
    task: &'a Task,
    tags: Option<&'a [Tag]>,
}

fn view(entry: &TaskEntry, tags: bool) -> TaskView<'_> {
    TaskView { task: &entry.task, tags: tags.then_some(entry.tags.as_slice()) }
}

/// DescribeTasks.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    struct Which {
        #[serde(default)]
        cluster: Option<String>,
        #[serde(default)]
        tasks: Vec<String>,
        #[serde(default)]
        include: Vec<String>,
    }
    let which: Which = input.parse()?;
    if which.tasks.is_empty() {
        return Err(errors::invalid_parameter("Tasks cannot be empty."));
    }
    if which.tasks.len() > 100 {
        return Err(errors::invalid_parameter("Tasks cannot have more than 100 elements."));
    }
    let place = call.place.clone();
    let tags = tags::included(&which.include)?;
    let cluster_name = names::cluster_name(which.cluster.as_deref());
    let asked = which.tasks.iter().map(|name| names::resource_in(&cluster_name, name));
    let asked: Vec<&str> = asked.collect::<Result<_, _>>()?;
    let cluster = clusters::active(&call.region().ecs.clusters, Some(&cluster_name))?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in asked {
        match cluster.tasks.get(name) {
            Some(entry) => found.push(view(entry, tags)),
            None => {
                let name = format!("{cluster_name}/{name}");
                failures.push(super::failure(&place, &name, "task"));
            }
        }
    }
    Output::of(&json!({ "tasks": found, "failures": failures }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListInput {
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    container_instance: Option<String>,
    #[serde(default)]
    family: Option<String>,
    #[serde(default)]
    service_name: Option<String>,
    #[serde(default)]
    started_by: Option<String>,
    #[serde(default)]
    desired_status: Option<String>,
    #[serde(default)]
    launch_type: Option<String>,
}

/// ListTasks: those that are to run, unless told otherwise.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let page: Page = input.parse()?;
    let input: ListInput = input.parse()?;
    let wanted = match input.desired_status.as_deref() {
        None | Some("RUNNING") => TaskStatus::Running,
        Some("STOPPED") => TaskStatus::Stopped,
        // ECS never sets the desired status to PENDING (API_ListTasks).
        Some("PENDING") => TaskStatus::Pending,
        Some(other) => {
            return Err(errors::invalid_parameter(format!("{other} is not a valid desired status.")));
        }
    };
    errors::one_of("launchType", input.launch_type.as_deref(), &LAUNCH_TYPES)?;
    let cluster_name = names::cluster_name(input.cluster.as_deref());
    let service = input.service_name.as_deref();
    let service = service.map(|name| names::resource_in(&cluster_name, name)).transpose()?;
    let cluster = clusters::active(&call.region().ecs.clusters, Some(&cluster_name))?;
    if service.is_some_and(|service| !cluster.services.contains_key(service)) {
        return Err(errors::service_not_found());
    }
    let matches = |entry: &&TaskEntry| {
        let task = &entry.task;
        task.desired_status == wanted
            && input.container_instance.is_none()
            && service.is_none_or(|service| entry.service.as_deref() == Some(service))
            && input.family.as_deref().is_none_or(|family| is_of(task, family))
            && input.started_by.as_ref().is_none_or(|by| task.started_by.as_ref() == Some(by))
            && input.launch_type.as_ref().is_none_or(|kind| task.launch_type.as_ref() == Some(kind))
    };
    let arns = cluster.tasks.values().filter(matches).map(|entry| entry.task.task_arn.clone()).collect();
    let (arns, next) = page.of(arns, 100, 100)?;
    Output::of(&json!({ "taskArns": arns, "nextToken": next }))
}

fn is_of(task: &Task, family: &str) -> bool {
    resource_name(&task.task_definition_arn).split(':').next() == Some(family)
}

#[cfg(test)]
mod tests;
