//! Tags of roles.

use serde::{Deserialize, Serialize};

use super::page::Page;
use super::roles::RoleInput;
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// The most tags that a role can have:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.
const MOST_TAGS: usize = 50;

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagInput {
    role_name: String,
    tags: Vec<Tag>,
}

pub(super) fn tag_role(call: &mut Call<'_>, input: TagInput) -> Result<Output, ApiError> {
    let role = call.account().iam.role_mut(&input.role_name)?;
    for tag in input.tags {
        role.tags.retain(|known| known.key != tag.key);
        if role.tags.len() == MOST_TAGS {
            let message = "Tag limit exceeded for the role.";
            return Err(ApiError::sender("LimitExceeded", message).with_status(http::StatusCode::CONFLICT));
        }
        role.tags.push(tag);
    }
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagInput {
    role_name: String,
    tag_keys: Vec<String>,
}

pub(super) fn untag_role(call: &mut Call<'_>, input: &UntagInput) -> Result<Output, ApiError> {
    let role = call.account().iam.role_mut(&input.role_name)?;
    role.tags.retain(|tag| !input.tag_keys.contains(&tag.key));
    Ok(Output::empty())
}

#[derive(Deserialize)]
pub(super) struct ListInput {
    #[serde(flatten)]
    role: RoleInput,
    #[serde(flatten)]
    page: Page,
}

pub(super) fn list_role_tags(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let tags = &call.account().iam.role(&input.role.role_name)?.tags;
    let tags = tags.iter().filter_map(|tag| serde_json::to_value(tag).ok()).collect();
    input.page.answer("Tags", tags)
}
