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
    let kept = tags_of(&mut call.region().ecs, &input.resource_arn, resource_not_found)?;
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
    let kept = tags_of(&mut call.region().ecs, &input.resource_arn, resource_not_found)?;
    kept.retain(|tag| !input.tag_keys.contains(&tag.key));
    Ok(Output::empty())
}

/// ListTagsForResource.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: TagInput = input.parse()?;
    // Unlike its siblings it has no ResourceNotFoundException (API_ListTagsForResource).
    let not_found = || errors::invalid_parameter(NOT_FOUND);
    let kept = tags_of(&mut call.region().ecs, &input.resource_arn, not_found)?;
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

/// Whether a description is to show tags, which most descriptions can be asked for and nothing else.
pub(super) fn included(include: &[String]) -> Result<bool, ApiError> {
    errors::one_of("include", include.iter().map(String::as_str), &["TAGS"])?;
    Ok(!include.is_empty())
}

/// The tags of what the ARN names. A missing cluster has its own error in all three operations; for the rest
/// they differ, so that `not_found` makes it.
fn tags_of<'a>(
    state: &'a mut EcsState,
    arn: &str,
    not_found: fn() -> ApiError,
) -> Result<&'a mut Vec<Tag>, ApiError> {
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
            service.map(|entry| &mut entry.tags).ok_or_else(not_found)
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
            found.map(|entry| &mut entry.tags).ok_or_else(not_found)
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

const NOT_FOUND: &str = "The specified resource was not found.";

fn resource_not_found() -> ApiError {
    ApiError::sender("ResourceNotFoundException", NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::ecs::testing::Caller;

    #[test]
    fn what_is_missing_has_the_errors_of_the_operation() {
        let caller = Caller::new(true, 1.0);
        caller.furnish();
        let arn = |resource: &str| format!("arn:aws:ecs:eu-central-1:123456789012:{resource}");
        for resource in ["service/main/no", "task/main/0123", "task-definition/app:9", "capacity-provider/no"]
        {
            let tag = json!({ "resourceArn": arn(resource), "tags": [{ "key": "a", "value": "b" }] });
            assert_eq!(caller.err("TagResource", tag).0, "ResourceNotFoundException", "{resource}");
            let untag = json!({ "resourceArn": arn(resource), "tagKeys": ["a"] });
            assert_eq!(caller.err("UntagResource", untag).0, "ResourceNotFoundException", "{resource}");
            let list = json!({ "resourceArn": arn(resource) });
            assert_eq!(caller.err("ListTagsForResource", list).0, "InvalidParameterException", "{resource}");
        }
        let cluster = json!({ "resourceArn": arn("cluster/no") });
        assert_eq!(caller.err("ListTagsForResource", cluster).0, "ClusterNotFoundException");
    }
}
