//! Tags of certificates.

use serde::{Deserialize, Serialize};

use crate::services::Call;
use crate::services::tag::{self, Tag, TagFault};
use crate::wire::{ApiError, Output};

/// Checks the tags of a request.
pub(super) fn check(tags: &[Tag]) -> Result<(), ApiError> {
    tag::check(tags).map_err(|fault| {
        let message = match fault {
            TagFault::Duplicate(key) => format!("Tag key '{key}' was specified more than once"),
            TagFault::KeyLength(key) => format!("The tag key '{key}' must have between 1 and 128 characters"),
            TagFault::ValueLength(key) => format!("The value of tag '{key}' is longer than 256 characters"),
            TagFault::Reserved(key) => {
                format!("Invalid Tag Key: \"{key}\". AWS internal tags cannot be changed with this API")
            }
        };
        ApiError::sender("InvalidTagException", message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagsInput {
    #[serde(default)]
    certificate_arn: String,
    #[serde(default)]
    tags: Vec<TagInput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagInput {
    key: String,
    value: Option<String>,
}

pub(super) fn add(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    let tags: Vec<Tag> = input
        .tags
        .iter()
        .map(|tag| Tag { key: tag.key.clone(), value: tag.value.clone().unwrap_or_default() })
        .collect();
    check(&tags)?;
    let certificate = call.region().acm.find_mut(&input.certificate_arn)?;
    let mut new = certificate.tags.clone();
    tag::add(&mut new, &tags);
    if new.len() > 50 {
        return Err(ApiError::sender("TooManyTagsException", "A certificate can have at most 50 tags"));
    }
    certificate.tags = new;
    Ok(Output::empty())
}

/// A tag with a value goes only if it has that value.
pub(super) fn remove(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    let certificate = call.region().acm.find_mut(&input.certificate_arn)?;
    for tag in &input.tags {
        let same = tag.value.as_ref().is_none_or(|value| certificate.tags.get(&tag.key) == Some(value));
        if same {
            certificate.tags.shift_remove(&tag.key);
        }
    }
    Ok(Output::empty())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagsOutput {
    tags: Vec<Tag>,
}

pub(super) fn list(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    let certificate = call.region().acm.find(&input.certificate_arn)?;
    Output::of(&TagsOutput { tags: tag::list(&certificate.tags) })
}
