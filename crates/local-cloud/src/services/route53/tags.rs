//! Tags of hosted zones and health checks.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Route53State, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    resource_type: String,
    resource_id: String,
    resource_ids: Vec<String>,
    add_tags: Vec<Tag>,
    remove_tag_keys: Vec<String>,
}

fn tags_of<'a>(state: &'a mut Route53State, kind: &str, id: &str) -> Result<&'a mut Vec<Tag>, ApiError> {
    let bare = ids::bare(id);
    match kind {
        "hostedzone" => Ok(&mut state.zones.get_mut(bare).ok_or_else(|| ids::no_zone(id))?.tags),
        "healthcheck" => {
            let check = state.health_checks.get_mut(bare);
            Ok(&mut check.ok_or_else(|| super::health_checks::none(bare))?.tags)
        }
        other => {
            Err(ids::invalid_input(format!("The resource type {other} is not hostedzone or healthcheck")))
        }
    }
}

pub(super) fn change(call: &mut Call<'_>, input: Input) -> Result<Output, ApiError> {
    let tags = tags_of(&mut call.account().route53, &input.resource_type, &input.resource_id)?;
    if input.add_tags.len() > 10 || input.remove_tag_keys.len() > 10 {
        return Err(ids::invalid_input("At most 10 tags can be added and 10 removed in one call"));
    }
    tags.retain(|tag| !input.remove_tag_keys.contains(&tag.key));
    for tag in input.add_tags {
        tags.retain(|known| known.key != tag.key);
        tags.push(tag);
    }
    Ok(Output::empty())
}

fn shown(state: &mut Route53State, kind: &str, id: &str) -> Result<Value, ApiError> {
    let tags = tags_of(state, kind, id)?;
    Ok(json!({ "ResourceType": kind, "ResourceId": ids::bare(id), "Tags": tags }))
}

pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let set = shown(&mut call.account().route53, &input.resource_type, &input.resource_id)?;
    Output::of(&json!({ "ResourceTagSet": set }))
}

pub(super) fn list_many(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let state = &mut call.account().route53;
    let sets: Result<Vec<_>, _> =
        input.resource_ids.iter().map(|id| shown(state, &input.resource_type, id)).collect();
    Output::of(&json!({ "ResourceTagSets": sets? }))
}
