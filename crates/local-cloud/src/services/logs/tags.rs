//! Tags of log groups, by the current and by the older calls.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::json;

use super::errors;
use super::state::Group;
use crate::services::Call;
use crate::wire::{ApiError, Output};
use crate::world::Arn;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    resource_arn: String,
    #[serde(default)]
    tags: IndexMap<String, String>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

impl Resource {
    fn find<'a>(&self, call: &'a mut Call<'_>) -> Result<&'a mut Group, ApiError> {
        let arn = Arn::parse(&self.resource_arn).filter(|arn| arn.service == "logs");
        let name = arn.as_ref().and_then(|arn| arn.resource.strip_prefix("log-group:"));
        let (Some(arn), Some(name)) = (&arn, name) else {
            return Err(errors::invalid(format!("'{}' is not the ARN of a log group", self.resource_arn)));
        };
        call.state.region_mut(arn.account, arn.region).logs.group_mut(name.trim_end_matches(":*"))
    }
}

pub(super) fn tag_resource(call: &mut Call<'_>, input: &Resource) -> Result<Output, ApiError> {
    input.find(call)?.tags.extend(input.tags.clone());
    Ok(Output::empty())
}

pub(super) fn untag_resource(call: &mut Call<'_>, input: &Resource) -> Result<Output, ApiError> {
    input.find(call)?.tags.retain(|key, _| !input.tag_keys.contains(key));
    Ok(Output::empty())
}

pub(super) fn list_for_resource(call: &mut Call<'_>, input: &Resource) -> Result<Output, ApiError> {
    Output::of(&json!({ "tags": input.find(call)?.tags }))
}

/// The older calls name the group and give either tags to add, or keys to remove.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfGroup<T> {
    log_group_name: String,
    tags: T,
}

pub(super) fn tag_group(
    call: &mut Call<'_>,
    input: &OfGroup<IndexMap<String, String>>,
) -> Result<Output, ApiError> {
    call.region().logs.group_mut(&input.log_group_name)?.tags.extend(input.tags.clone());
    Ok(Output::empty())
}

pub(super) fn untag_group(call: &mut Call<'_>, input: &OfGroup<Vec<String>>) -> Result<Output, ApiError> {
    let group = call.region().logs.group_mut(&input.log_group_name)?;
    group.tags.retain(|key, _| !input.tags.contains(key));
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupName {
    log_group_name: String,
}

pub(super) fn list_of_group(call: &mut Call<'_>, input: &GroupName) -> Result<Output, ApiError> {
    let group = call.region().logs.group_mut(&input.log_group_name)?;
    Output::of(&json!({ "tags": group.tags }))
}
