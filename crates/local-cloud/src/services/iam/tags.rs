//! Tags of roles, policies and instance profiles.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::IamState;
use super::page::Page;
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// The most tags that a resource can have:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.
const MOST_TAGS: usize = 50;

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// Refuses tags that a resource cannot have:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html>.
pub(super) fn check(tags: &[Tag]) -> Result<(), ApiError> {
    let legal = |letter: char| letter.is_alphanumeric() || letter == ' ' || "_.:/=+-@".contains(letter);
    if tags.len() > MOST_TAGS {
        return Err(constraint("tags", "Member must have length less than or equal to 50."));
    }
    for tag in tags {
        let too_long = |most: usize| format!("Member must have length less than or equal to {most}.");
        let pattern = "Member must satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+";
        if tag.key.is_empty() || tag.key.chars().count() > 128 {
            return Err(constraint("tags.member.key", &too_long(128)));
        }
        if tag.value.chars().count() > 256 {
            return Err(constraint("tags.member.value", &too_long(256)));
        }
        if !tag.key.chars().all(legal) {
            return Err(constraint("tags.member.key", pattern));
        }
    }
    let keys: BTreeSet<String> = tags.iter().map(|tag| tag.key.to_lowercase()).collect();
    if keys.len() < tags.len() {
        let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
        return Err(ApiError::sender("InvalidInput", message));
    }
    Ok(())
}

fn constraint(field: &str, constraint: &str) -> ApiError {
    let message =
        format!("1 validation error detected: Value at '{field}' failed to satisfy constraint: {constraint}");
    ApiError::sender("ValidationError", message)
}

/// What tags can hang on, named by the parameter of the operation.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Resource {
    role_name: Option<String>,
    policy_arn: Option<String>,
    instance_profile_name: Option<String>,
}

impl Resource {
    fn tags<'a>(&self, iam: &'a mut IamState) -> Result<&'a mut Vec<Tag>, ApiError> {
        match (&self.role_name, &self.policy_arn, &self.instance_profile_name) {
            (Some(name), ..) => Ok(&mut iam.role_mut(name)?.tags),
            (None, Some(arn), _) => Ok(&mut iam.policy_mut(arn)?.tags),
            (None, None, Some(name)) => Ok(&mut iam.profile_mut(name)?.tags),
            (None, None, None) => Err(constraint("resource", "Member must not be null")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagInput {
    tags: Vec<Tag>,
}

/// TagRole, TagPolicy and TagInstanceProfile.
pub(super) fn tag(call: &mut Call<'_>, resource: &Resource, input: TagInput) -> Result<Output, ApiError> {
    check(&input.tags)?;
    let kept = resource.tags(&mut call.account().iam)?;
    let mut merged = kept.clone();
    for tag in input.tags {
        match merged.iter_mut().find(|known| known.key.eq_ignore_ascii_case(&tag.key)) {
            Some(known) => *known = tag,
            None => merged.push(tag),
        }
    }
    if merged.len() > MOST_TAGS {
        let message = "The number of tags has reached the maximum limit.";
        return Err(ApiError::sender("LimitExceeded", message).with_status(http::StatusCode::CONFLICT));
    }
    *kept = merged;
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagInput {
    tag_keys: Vec<String>,
}

/// UntagRole, UntagPolicy and UntagInstanceProfile.
pub(super) fn untag(
    call: &mut Call<'_>,
    resource: &Resource,
    input: &UntagInput,
) -> Result<Output, ApiError> {
    let kept = resource.tags(&mut call.account().iam)?;
    kept.retain(|tag| !input.tag_keys.iter().any(|key| key.eq_ignore_ascii_case(&tag.key)));
    Ok(Output::empty())
}

/// ListRoleTags, ListPolicyTags and ListInstanceProfileTags.
pub(super) fn list(call: &mut Call<'_>, resource: &Resource, page: &Page) -> Result<Output, ApiError> {
    let tags = resource.tags(&mut call.account().iam)?;
    let tags = tags.iter().filter_map(|tag| serde_json::to_value(tag).ok()).collect();
    page.answer("Tags", tags)
}
