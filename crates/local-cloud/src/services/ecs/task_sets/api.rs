//! The task set operations of the API: for services under the EXTERNAL controller.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    TaskSetSpec, check_scale, create_task_set, delete_task_set, set_primary_task_set, set_task_set_scale,
};
use crate::services::ecs::{
    Call, ControllerType, Launch, Scale, ServiceEntry, ServiceName, Tag, TaskSet, TaskSetEntry, clusters,
    errors, launching, names, tags,
};
use crate::wire::{ApiError, Input, Output};

/// A task set as it is shown.
#[derive(Serialize)]
pub(in crate::services::ecs) struct TaskSetView<'a> {
    #[serde(flatten)]
    task_set: &'a TaskSet,
    tags: Option<&'a [Tag]>,
}

/// The task set as it is shown, with tags if they are asked for.
pub(in crate::services::ecs) fn view(entry: &TaskSetEntry, tags: bool) -> TaskSetView<'_> {
    TaskSetView { task_set: &entry.task_set, tags: tags.then_some(entry.tags.as_slice()) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateInput {
    #[serde(default)]
    task_definition: String,
    #[serde(flatten)]
    launch: Launch,
    #[serde(default)]
    scale: Option<Scale>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    client_token: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// CreateTaskSet.
pub(in crate::services::ecs) fn create(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let name = external_service(call, input)?;
    let input: CreateInput = input.parse()?;
    let scale = input.scale.unwrap_or_default();
    check_scale(&scale)?;
    tags::check(&input.tags)?;
    let (place, now, inert) = (call.place.clone(), call.now, call.settings.inert);
    let region = call.region();
    let cluster = clusters::active(&region.ecs.clusters, Some(&name.cluster))?;
    let given = input.launch.launch_type.is_some() || input.launch.capacity_provider_strategy.is_some();
    let launch = if given { launching::complete(input.launch, &cluster.cluster)? } else { input.launch };
    let spec = TaskSetSpec {
        task_definition: input.task_definition,
        launch,
        scale,
        external_id: input.external_id,
        started_by: None,
        tags: input.tags,
        client_token: input.client_token,
    };
    let id = create_task_set(region, &place, now, &name, spec, inert)?;
    show(call, &name, &id)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneInput {
    #[serde(default, alias = "primaryTaskSet")]
    task_set: String,
    #[serde(default)]
    scale: Option<Scale>,
    #[serde(default)]
    force: bool,
}

/// UpdateTaskSet.
pub(in crate::services::ecs) fn update(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let name = external_service(call, input)?;
    let input: OneInput = input.parse()?;
    let scale = input.scale.ok_or_else(|| errors::invalid_parameter("scale is required."))?;
    let (id, now) = (local_id(&input.task_set).to_owned(), call.now);
    set_task_set_scale(call.region(), now, &name, &id, scale)?;
    show(call, &name, &id)
}

/// UpdateServicePrimaryTaskSet.
pub(in crate::services::ecs) fn update_primary(
    call: &mut Call<'_>,
    input: &Input,
) -> Result<Output, ApiError> {
    let name = external_service(call, input)?;
    let input: OneInput = input.parse()?;
    let (id, now) = (local_id(&input.task_set).to_owned(), call.now);
    set_primary_task_set(call.region(), now, &name, &id)?;
    show(call, &name, &id)
}

/// DeleteTaskSet.
pub(in crate::services::ecs) fn delete(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let name = external_service(call, input)?;
    let input: OneInput = input.parse()?;
    let (id, now) = (local_id(&input.task_set).to_owned(), call.now);
    delete_task_set(call.region(), now, &name, &id, input.force)?;
    let answer = show(call, &name, &id);
    super::drop_if_empty(call.region(), &name, &id);
    answer
}

/// DescribeTaskSets.
pub(in crate::services::ecs) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Which {
        #[serde(default)]
        task_sets: Vec<String>,
        #[serde(default)]
        include: Vec<String>,
    }
    let name = service_name(input)?;
    let which: Which = input.parse()?;
    let tags = tags::included(&which.include)?;
    let place = call.place.clone();
    let service = find(call, &name)?;
    if which.task_sets.is_empty() {
        let all: Vec<_> = service.task_sets.iter().map(|entry| view(entry, tags)).collect();
        return Output::of(&json!({ "taskSets": all, "failures": [] }));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for asked in &which.task_sets {
        let id = local_id(asked);
        match service.task_sets.iter().find(|entry| entry.task_set.id == id) {
            Some(entry) => found.push(view(entry, tags)),
            None => {
                let resource = format!("task-set/{}/{}/{id}", name.cluster, name.service);
                failures.push(json!({ "arn": names::arn(&place, &resource), "reason": "MISSING" }));
            }
        }
    }
    Output::of(&json!({ "taskSets": found, "failures": failures }))
}

/// `ecs-svc/123` out of that or out of an ARN.
fn local_id(id_or_arn: &str) -> &str {
    match id_or_arn.find("ecs-svc/") {
        Some(start) => &id_or_arn[start..],
        None => id_or_arn,
    }
}

fn service_name(input: &Input) -> Result<ServiceName, ApiError> {
    #[derive(Deserialize)]
    struct Which {
        #[serde(default)]
        cluster: Option<String>,
        #[serde(default)]
        service: String,
    }
    let which: Which = input.parse()?;
    ServiceName::of_call(which.cluster.as_deref(), &which.service)
}

fn find<'a>(call: &'a mut Call<'_>, name: &ServiceName) -> Result<&'a ServiceEntry, ApiError> {
    let cluster = clusters::active(&call.region().ecs.clusters, Some(&name.cluster))?;
    cluster.services.get(&name.service).ok_or_else(errors::service_not_found)
}

fn external_service(call: &mut Call<'_>, input: &Input) -> Result<ServiceName, ApiError> {
    let name = service_name(input)?;
    let service = &find(call, &name)?.service;
    if service.deployment_controller.kind != ControllerType::External {
        return Err(errors::invalid_parameter(
            "Task sets can only be changed for services with an EXTERNAL deployment controller.",
        ));
    }
    if !service.status.is_active() {
        return Err(errors::service_not_active());
    }
    Ok(name)
}

fn show(call: &mut Call<'_>, name: &ServiceName, id: &str) -> Result<Output, ApiError> {
    let service = find(call, name)?;
    let found = service.task_sets.iter().find(|entry| entry.task_set.id == id);
    let entry = found.ok_or_else(errors::task_set_not_found)?;
    Output::of(&json!({ "taskSet": view(entry, true) }))
}
