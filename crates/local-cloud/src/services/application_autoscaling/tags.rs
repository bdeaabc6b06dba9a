//! Tags of scalable targets, by ARN.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Call, ScalingState};
use crate::wire::{ApiError, Input, Output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagInput {
    #[serde(rename = "ResourceARN")]
    resource_arn: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

fn known<'a>(state: &'a mut ScalingState, arn: &str) -> Result<&'a mut BTreeMap<String, String>, ApiError> {
    if !state.targets.iter().any(|target| target.scalable_target_arn == arn) {
        let error = ApiError::sender("ResourceNotFoundException", "The specified resource doesn't exist.");
        return Err(error.with_field("ResourceName", json!(arn)));
    }
    Ok(state.tags.entry(arn.to_owned()).or_default())
}

/// TagResource.
pub(super) fn tag(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: TagInput = input.parse()?;
    known(&mut call.region().application_autoscaling, &input.resource_arn)?.extend(input.tags);
    Ok(Output::empty())
}

/// UntagResource.
pub(super) fn untag(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: TagInput = input.parse()?;
    let tags = known(&mut call.region().application_autoscaling, &input.resource_arn)?;
    tags.retain(|key, _| !input.tag_keys.contains(key));
    Ok(Output::empty())
}

/// ListTagsForResource.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: TagInput = input.parse()?;
    let tags = known(&mut call.region().application_autoscaling, &input.resource_arn)?;
    Output::of(&json!({ "Tags": tags }))
}
