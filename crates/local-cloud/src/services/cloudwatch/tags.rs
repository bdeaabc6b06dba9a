//! Tags of alarms.

use serde::Deserialize;
use serde_json::json;

use super::not_found;
use crate::services::Call;
use crate::services::tag::{self, Tag, Tags};
use crate::wire::{ApiError, Output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagsInput {
    #[serde(rename = "ResourceARN", default)]
    resource: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

impl TagsInput {
    fn tags<'a>(&self, call: &'a mut Call<'_>) -> Result<&'a mut Tags, ApiError> {
        let mut alarms = call.region().cloudwatch.alarms.values_mut();
        let alarm = alarms.find(|alarm| alarm.arn == self.resource);
        alarm.map(|alarm| &mut alarm.tags).ok_or_else(|| {
            let error = not_found(format!("The resource {} does not exist", self.resource));
            ApiError { code: "ResourceNotFoundException".to_owned(), ..error }
        })
    }
}

pub(super) fn tag(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    tag::add(input.tags(call)?, &input.tags);
    Ok(Output::empty())
}

pub(super) fn untag(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    input.tags(call)?.retain(|key, _| !input.tag_keys.contains(key));
    Ok(Output::empty())
}

pub(super) fn list(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    Output::of(&json!({ "Tags": tag::list(input.tags(call)?) }))
}
