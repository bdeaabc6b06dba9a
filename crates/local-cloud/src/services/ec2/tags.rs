//! Tags of EC2 resources: kept by resource id, whatever the resource is.

use serde::{Deserialize, Serialize};

use super::error::{invalid_value, missing_parameter};
use super::filter::{Filter, Filtered, page, passes};
use super::{Ec2State, done};
use crate::services::Call;
use crate::services::tag::{self, Tag, TagFault, Tags};
use crate::wire::{ApiError, Output};

/// Tags for what is being created.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagSpecification {
    #[serde(default)]
    resource_type: String,
    #[serde(default, rename = "Tag", alias = "Tags")]
    tags: Vec<Tag>,
}

/// A tag in an answer.
#[derive(Debug, Serialize)]
pub(super) struct TagItem {
    key: String,
    value: String,
}

/// A resource in an answer: itself, who owns it and its tags.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tagged<T: Serialize> {
    #[serde(flatten)]
    pub(super) resource: T,
    pub(super) owner_id: String,
    pub(super) tag_set: Vec<TagItem>,
}

fn check(tags: &[Tag]) -> Result<(), ApiError> {
    tag::check(tags).map_err(|fault| match fault {
        TagFault::Duplicate(key) => invalid_value(format!("Duplicate tag key '{key}' specified.")),
        TagFault::KeyLength(key) if key.is_empty() => {
            invalid_value("Tag key cannot be null or empty. Specify a tag key")
        }
        TagFault::KeyLength(_) => invalid_value("Tag key exceeds the maximum length of 128 characters"),
        TagFault::ValueLength(_) => invalid_value("Tag value exceeds the maximum length of 256 characters"),
        TagFault::Reserved(_) => invalid_value("Tag keys starting with 'aws:' are reserved for internal use"),
    })
}

/// Checks the tags in a request that creates a resource of type `kind`.
pub(super) fn specified(specifications: &[TagSpecification], kind: &str) -> Result<Vec<Tag>, ApiError> {
    let mut tags = Vec::new();
    for specification in specifications {
        if specification.resource_type != kind {
            return Err(invalid_value(format!(
                "'{}' is not a valid taggable resource type for this operation.",
                specification.resource_type
            )));
        }
        tags.extend(specification.tags.iter().cloned());
    }
    check(&tags)?;
    Ok(tags)
}

impl Ec2State {
    /// Gives `id` its first tags.
    pub(super) fn tag(&mut self, id: &str, tags: &[Tag]) {
        if !tags.is_empty() {
            tag::add(self.tags.entry(id.to_owned()).or_default(), tags);
        }
    }

    /// The tags of `id`.
    pub(super) fn tags_of(&self, id: &str) -> Option<&Tags> {
        self.tags.get(id)
    }

    /// The tags of `id` for an answer.
    pub(super) fn tag_set(&self, id: &str) -> Vec<TagItem> {
        let tags = self.tags.get(id).into_iter().flatten();
        tags.map(|(key, value)| TagItem { key: key.clone(), value: value.clone() }).collect()
    }

    /// The type of the resource with this id, if it exists.
    fn kind(&self, id: &str) -> Option<&'static str> {
        let (prefix, _) = id.split_once('-')?;
        let (kind, exists) = match prefix {
            "vpc" => ("vpc", self.vpcs.contains_key(id)),
            "subnet" => ("subnet", self.subnets.contains_key(id)),
            "sg" => ("security-group", self.groups.contains_key(id)),
            "sgr" => ("security-group-rule", self.groups.values().any(|group| group.has_rule(id))),
            "rtb" => ("route-table", self.route_tables.contains_key(id)),
            "igw" => ("internet-gateway", self.gateways.contains_key(id)),
            "eipalloc" => ("elastic-ip", self.addresses.contains_key(id)),
            "nat" => ("natgateway", self.nat_gateways.contains_key(id)),
            "eni" => ("network-interface", self.interfaces.contains_key(id)),
            _ => return None,
        };
        exists.then_some(kind)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagsInput {
    #[serde(default)]
    resource_id: Vec<String>,
    #[serde(default)]
    tag: Vec<TagInput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagInput {
    key: String,
    value: Option<String>,
}

fn not_found(id: &str) -> ApiError {
    match id.split_once('-').map(|(prefix, _)| prefix) {
        Some("vpc") => super::error::no_vpc(id),
        Some("subnet") => super::error::no_subnet(id),
        Some("sg") => super::error::no_group(id),
        Some("rtb") => super::error::no_route_table(id),
        Some("igw") => super::error::no_gateway(id),
        Some("eni") => super::error::no_interface(id),
        _ => ApiError::sender("InvalidID", format!("The ID '{id}' is not valid")),
    }
}

pub(super) fn create(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    if input.resource_id.is_empty() {
        return Err(missing_parameter("resourceIdSet"));
    }
    if input.tag.is_empty() {
        return Err(missing_parameter("tagSet"));
    }
    let tags: Vec<Tag> = input
        .tag
        .iter()
        .map(|tag| Tag { key: tag.key.clone(), value: tag.value.clone().unwrap_or_default() })
        .collect();
    check(&tags)?;
    let ec2 = &mut call.region().ec2;
    if let Some(id) = input.resource_id.iter().find(|id| ec2.kind(id).is_none()) {
        return Err(not_found(id));
    }
    for id in &input.resource_id {
        let own = ec2.tags.entry(id.clone()).or_default();
        tag::add(own, &tags);
        if own.len() > 50 {
            own.truncate(50);
            let message = "Tag limit exceeded. You can assign at most 50 tags to a resource";
            return Err(ApiError::sender("TagLimitExceeded", message));
        }
    }
    done()
}

/// Without a value a tag goes whatever its value is; with one only if it has that value; without any
/// tags all go.
pub(super) fn delete(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    if input.resource_id.is_empty() {
        return Err(missing_parameter("resourceIdSet"));
    }
    let ec2 = &mut call.region().ec2;
    for id in &input.resource_id {
        let Some(own) = ec2.tags.get_mut(id) else { continue };
        if input.tag.is_empty() {
            own.clear();
        }
        for tag in &input.tag {
            let same = tag.value.as_ref().is_none_or(|value| own.get(&tag.key) == Some(value));
            if same {
                own.shift_remove(&tag.key);
            }
        }
    }
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TagDescription {
    resource_id: String,
    resource_type: &'static str,
    key: String,
    value: String,
}

impl Filtered for TagDescription {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "key" => self.key.clone(),
            "value" => self.value.clone(),
            "resource-id" => self.resource_id.clone(),
            "resource-type" => self.resource_type.to_owned(),
            _ => return None,
        }])
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeOutput {
    tag_set: Vec<TagDescription>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let ec2 = &call.region().ec2;
    let mut found = Vec::new();
    for (id, tags) in &ec2.tags {
        let Some(kind) = ec2.kind(id) else { continue };
        for (key, value) in tags {
            let description = TagDescription {
                resource_id: id.clone(),
                resource_type: kind,
                key: key.clone(),
                value: value.clone(),
            };
            let one = Tags::from_iter([(key.clone(), value.clone())]);
            if passes(&input.filter, &description, Some(&one))? {
                found.push(description);
            }
        }
    }
    let (tag_set, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { tag_set, next_token })
}
