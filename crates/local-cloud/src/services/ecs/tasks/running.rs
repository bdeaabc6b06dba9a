//! RunTask and StartTask.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, Origin, Tag, clusters, errors, new_task, view};
use crate::services::ecs::{Launch, active_task_definition, launching, names, tags};
use crate::wire::{ApiError, Input, Output};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunInput {
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    task_definition: String,
    #[serde(default)]
    count: Option<u32>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    started_by: Option<String>,
    #[serde(default)]
    client_token: Option<String>,
    #[serde(default)]
    enable_execute_command: bool,
    #[serde(default)]
    overrides: Map<String, Value>,
    #[serde(default)]
    propagate_tags: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(flatten)]
    launch: Launch,
}

/// RunTask.
pub(in crate::services::ecs) fn run(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: RunInput = input.parse()?;
    let count = input.count.unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(errors::invalid_parameter("count must be between 1 and 10."));
    }
    tags::check(&input.tags)?;
    let (place, now, inert) = (call.place.clone(), call.now, call.settings.inert);
    let region = call.region();
    let name = names::cluster_name(input.cluster.as_deref());
    let cluster = clusters::active(&region.ecs.clusters, Some(&name))?;
    if let Some(token) = &input.client_token {
        let mine = cluster.tasks.values().filter(|entry| entry.client_token.as_ref() == Some(token));
        let known: Vec<_> = mine.map(|entry| view(entry, true)).collect();
        if !known.is_empty() {
            return Output::of(&json!({ "tasks": known, "failures": [] }));
        }
    }
    let launch = launching::complete(input.launch, &cluster.cluster)?;
    let definition = active_task_definition(&region.ecs, &input.task_definition)?.clone();
    launching::check(region, &definition, &launch, inert)?;
    launching::check_overrides(&definition, &input.overrides)?;
    if !launch.is_fargate() {
        return Err(errors::invalid_parameter("No Container Instances were found in your cluster."));
    }
    let mut tags = input.tags;
    if input.propagate_tags.as_deref() == Some("TASK_DEFINITION") {
        // The call's own tags go before those of the definition.
        let inherited = launching::tags_of_definition(&region.ecs, &definition);
        let fresh = inherited.into_iter().filter(|tag| !tags.iter().any(|known| known.key == tag.key));
        tags.extend(fresh.collect::<Vec<_>>());
    }
    let mut placed = BTreeMap::new();
    let mut entries = Vec::new();
    for _ in 0..count {
        let origin = Origin {
            cluster: name.clone(),
            group: input.group.clone().unwrap_or_else(|| format!("family:{}", definition.family)),
            started_by: input.started_by.clone(),
            service: None,
            tags: tags.clone(),
            overrides: input.overrides.clone(),
            client_token: input.client_token.clone(),
            enable_execute_command: input.enable_execute_command,
            placed: placed.clone(),
        };
        let entry = new_task(&place, now, &definition, &launch, origin);
        if let Some(provider) = &entry.task.capacity_provider_name {
            *placed.entry(provider.clone()).or_insert(0) += 1;
        }
        entries.push(entry);
    }
    let shown: Vec<_> = entries.iter().map(|entry| view(entry, true)).collect();
    let answer = Output::of(&json!({ "tasks": shown, "failures": [] }));
    if let Some(cluster) = region.ecs.clusters.get_mut(&name) {
        cluster.tasks.extend(entries.into_iter().map(|entry| (entry.id.clone(), entry)));
    }
    answer
}

/// StartTask: it names container instances, and the cloud has none.
pub(in crate::services::ecs) fn start(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Which {
        #[serde(default)]
        cluster: Option<String>,
        #[serde(default)]
        task_definition: String,
        #[serde(default)]
        container_instances: Vec<String>,
    }
    let which: Which = input.parse()?;
    let place = call.place.clone();
    let region = call.region();
    let name = names::cluster_name(which.cluster.as_deref());
    clusters::active(&region.ecs.clusters, Some(&name))?;
    active_task_definition(&region.ecs, &which.task_definition)?;
    if which.container_instances.is_empty() {
        return Err(errors::invalid_parameter("Container Instances cannot be empty."));
    }
    let failures: Vec<_> = which
        .container_instances
        .iter()
        .map(|instance| {
            let instance = format!("{name}/{}", super::resource_name(instance));
            crate::services::ecs::failure(&place, &instance, "container-instance")
        })
        .collect();
    Output::of(&json!({ "tasks": [], "failures": failures }))
}
