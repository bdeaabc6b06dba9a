//! RunTask and StartTask.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Call, Origin, Tag, clusters, errors, new_task, view};
use crate::services::ecs::{ClusterEntry, Launch, active_task_definition, launching, names, tags};
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

/// Characters of a token, and of what a caller says about itself.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
const MOST_TOKEN: usize = 64;
const MOST_STARTED_BY: usize = 128;

/// RunTask.
pub(in crate::services::ecs) fn run(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let mut request: Value = input.parse()?;
    let input: RunInput = input.parse()?;
    let count = input.count.unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(errors::invalid_parameter("count must be between 1 and 10."));
    }
    check(&input)?;
    let (place, now, inert) = (call.place.clone(), call.now, call.settings.inert);
    let region = call.region();
    let name = names::cluster_name(input.cluster.as_deref());
    let cluster = clusters::active(&region.ecs.clusters, Some(&name))?;
    request["cluster"] = json!(name);
    request["count"] = json!(count);
    let request = digest(request);
    if let Some(token) = &input.client_token
        && let Some(answer) = answer_for(cluster, token, &request)?
    {
        return Ok(answer);
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
            request: input.client_token.is_some().then(|| request.clone()),
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

/// Checks what does not depend on anything else.
fn check(input: &RunInput) -> Result<(), ApiError> {
    tags::check(&input.tags)?;
    // A task that is run by itself has no service to take tags from (API_RunTask).
    errors::one_of("propagateTags", input.propagate_tags.as_deref(), &["TASK_DEFINITION", "NONE"])?;
    for (field, text, most) in
        [("clientToken", &input.client_token, MOST_TOKEN), ("startedBy", &input.started_by, MOST_STARTED_BY)]
    {
        if text.as_ref().is_some_and(|text| text.chars().count() > most) {
            return Err(errors::invalid_parameter(format!("{field} must have at most {most} characters.")));
        }
    }
    Ok(())
}

/// The answer to a call that repeats an earlier one; an error if it has the token only.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
fn answer_for(cluster: &ClusterEntry, token: &str, request: &str) -> Result<Option<Output>, ApiError> {
    let mine = cluster.tasks.values().filter(|entry| entry.client_token.as_deref() == Some(token));
    let mine: Vec<_> = mine.collect();
    // Tasks of an older cloud do not tell what was asked for.
    if mine.iter().any(|entry| entry.request.as_deref().is_some_and(|known| known != request)) {
        let arns: Vec<_> = mine.iter().map(|entry| &entry.task.task_arn).collect();
        let message = "The client token was used before with other parameters.";
        return Err(ApiError::sender("ConflictException", message).with_field("resourceIds", json!(arns)));
    }
    let known: Vec<_> = mine.iter().map(|entry| view(entry, true)).collect();
    match known.is_empty() {
        true => Ok(None),
        false => Output::of(&json!({ "tasks": known, "failures": [] })).map(Some),
    }
}

/// The same for the same parameters in any order.
fn digest(mut request: Value) -> String {
    request.sort_all_objects();
    hex::encode(Sha256::digest(request.to_string()))
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
