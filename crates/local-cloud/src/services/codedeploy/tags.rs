//! Tags of applications and deployment groups.

use serde::Deserialize;

use super::shapes::Tag;
use super::state::no_group;
use crate::services::Call;
use crate::wire::{ApiError, Output};
use crate::world::Arn;

/// Keys up to 128 characters, values up to 256.
pub(super) fn check(tags: &[Tag]) -> Result<(), ApiError> {
    let bad = tags.iter().find(|tag| {
        tag.key.is_empty()
            || tag.key.chars().count() > 128
            || tag.value.chars().count() > 256
            || tag.key.starts_with("aws:")
    });
    match bad {
        Some(tag) => Err(ApiError::sender(
            "InvalidTagsToAddException",
            format!("The specified tags are not valid: {}", tag.key),
        )),
        None => Ok(()),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TagInput {
    resource_arn: Option<String>,
    tags: Vec<Tag>,
}

pub(super) fn tag(call: &mut Call<'_>, input: TagInput) -> Result<Output, ApiError> {
    let tagged = resource(call, input.resource_arn.as_deref())?;
    if input.tags.is_empty() {
        return Err(ApiError::sender("TagRequiredException", "A tag was not specified."));
    }
    check(&input.tags)?;
    for tag in input.tags {
        tagged.retain(|known| known.key != tag.key);
        tagged.push(tag);
    }
    Ok(Output::empty())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UntagInput {
    resource_arn: Option<String>,
    tag_keys: Vec<String>,
}

pub(super) fn untag(call: &mut Call<'_>, input: &UntagInput) -> Result<Output, ApiError> {
    resource(call, input.resource_arn.as_deref())?.retain(|tag| !input.tag_keys.contains(&tag.key));
    Ok(Output::empty())
}

pub(super) fn list(call: &mut Call<'_>, input: &UntagInput) -> Result<Output, ApiError> {
    let tags = resource(call, input.resource_arn.as_deref())?;
    Output::of(&serde_json::json!({ "Tags": tags }))
}

/// The tags of `arn:…:codedeploy:…:application:NAME` or `…:deploymentgroup:APPLICATION/NAME`.
///
/// Source: docs.aws.amazon.com/codedeploy/latest/userguide/auth-and-access-control-permissions-reference.html
fn resource<'a>(call: &'a mut Call<'_>, arn: Option<&str>) -> Result<&'a mut Vec<Tag>, ApiError> {
    let Some(arn) = arn.filter(|arn| !arn.is_empty()) else {
        return Err(ApiError::sender(
            "ResourceArnRequiredException",
            "The ARN of a resource is required, but was not found.",
        ));
    };
    let invalid = || {
        ApiError::sender("InvalidArnException", format!("The specified ARN is not in a valid format: {arn}"))
    };
    let parsed = Arn::parse(arn).filter(|parsed| parsed.service == "codedeploy").ok_or_else(invalid)?;
    let (kind, name) = parsed.resource.split_once(':').ok_or_else(invalid)?;
    let state = &mut call.region().codedeploy;
    match kind {
        "application" => Ok(&mut state.application_mut(name)?.tags),
        "deploymentgroup" => {
            let (application, group) = name.split_once('/').ok_or_else(invalid)?;
            let groups = &mut state.application_mut(application)?.groups;
            Ok(&mut groups.get_mut(group).ok_or_else(|| no_group(group))?.tags)
        }
        _ => Err(ApiError::sender(
            "ArnNotSupportedException",
            format!("The specified ARN is not supported: {arn}"),
        )),
    }
}
