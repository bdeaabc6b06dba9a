//! Tags of clusters, capacity providers, services, tasks, task definitions and task sets, by ARN.

use serde::Deserialize;
use serde_json::json;

use super::{Call, EcsState, Tag, errors};
use crate::wire::{ApiError, Input, Output};
use crate::world::Arn;

const MOST_TAGS: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagInput {
    resource_arn: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

/// TagResource.
pub(super) fn tag(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: TagInput = input.parse()?;
    check(&input.tags)?;
    let kept = tags_of(&mut call.region().ecs, &input.resource_arn)?;
    let mut merged = kept.clone();
    for tag in input.tags {
        merged.retain(|known| known.key != tag.key);
        merged.push(tag);
    }
    check(&merged)?;
    *kept = merged;
    Ok(Output::empty())
}

/// UntagResource.
pub(super) fn untag(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: TagInput = input.parse()?;
    let kept = tags_of(&mut call.region().ecs, &input.resource_arn)?;
    kept.retain(|tag| !input.tag_keys.contains(&tag.key));
    Ok(Output::empty())
}

/// ListTagsForResource.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: TagInput = input.parse()?;
    let kept = tags_of(&mut call.region().ecs, &input.resource_arn)?;
    Output::of(&json!({ "tags": kept }))
}

/// Checks tags that a caller gives.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
pub(super) fn check(tags: &[Tag]) -> Result<(), ApiError> {
    if tags.len() > MOST_TAGS {
        return Err(errors::invalid_parameter("The number of tags must not exceed 50."));
    }
    for (index, tag) in tags.iter().enumerate() {
        if tag.key.is_empty() || tag.key.chars().count() > 128 || tag.value.chars().count() > 256 {
            return Err(errors::invalid_parameter(
                "A tag key must have 1 to 128 characters, a tag value at most 256.",
            ));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid_parameter("Tag keys that begin with aws: are reserved."));
        }
        if tags[..index].iter().any(|earlier| earlier.key == tag.key) {
            return Err(errors::invalid_parameter(format!("Duplicate tag key: {}", tag.key)));
        }
    }
    Ok(())
}

fn tags_of<'a>(state: &'a mut EcsState, arn: &str) -> Result<&'a mut Vec<Tag>, ApiError> {
    let parsed = Arn::parse(arn).filter(|arn| arn.service == "ecs");
    let Some((kind, rest)) = parsed.as_ref().and_then(|arn| arn.resource.split_once('/')) else {
        return Err(errors::invalid_parameter("Invalid arn syntax. Resource type not supported."));
    };
    let fields: Vec<&str> = rest.split('/').collect();
    match (kind, fields.as_slice()) {
        ("cluster", [name]) => {
            state.clusters.get_mut(*name).map(|entry| &mut entry.tags).ok_or_else(errors::cluster_not_found)
        }
        ("capacity-provider", [name]) => {
            let provider = state.capacity_providers.get_mut(*name);
            provider.map(|provider| &mut provider.tags).ok_or_else(not_found)
        }
        ("service", [cluster, name]) => {
            let services = state.clusters.get_mut(*cluster).map(|entry| &mut entry.services);
            let service = services.and_then(|services| services.get_mut(*name));
            service.map(|entry| &mut entry.tags).ok_or_else(errors::service_not_found)
        }
        ("task", [cluster, id]) => {
            let tasks = state.clusters.get_mut(*cluster).map(|entry| &mut entry.tasks);
            let task = tasks.and_then(|tasks| tasks.get_mut(*id));
            task.map(|entry| &mut entry.tags).ok_or_else(not_found)
        }
        ("task-set", [cluster, name, ..]) => {
            let services = state.clusters.get_mut(*cluster).map(|entry| &mut entry.services);
            let service = services.and_then(|services| services.get_mut(*name));
            let mut sets = service.into_iter().flat_map(|service| &mut service.task_sets);
            let found = sets.find(|entry| entry.task_set.task_set_arn == arn);
            found.map(|entry| &mut entry.tags).ok_or_else(errors::task_set_not_found)
        }
        ("task-definition", [name]) => {
            let (family, revision) = name.split_once(':').unwrap_or((name, ""));
            let revision = revision.parse::<u32>().map_err(|_| not_found())?;
            let family = state.task_definitions.get_mut(family).ok_or_else(not_found)?;
            let entry = family.revisions.get_mut(&revision).ok_or_else(not_found)?;
            Ok(&mut entry.tags)
        }
        _ => Err(errors::invalid_parameter("Invalid arn syntax. Resource type not supported.")),
    }
}

fn not_found() -> ApiError {
    errors::invalid_parameter("The specified resource was not found.")
}
