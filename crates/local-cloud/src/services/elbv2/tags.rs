//! Tags of load balancers, target groups, listeners and rules.

use serde::{Deserialize, Serialize};

use super::Elbv2State;
use super::error::{no_listener, no_load_balancers, no_rule, no_target_groups, validation};
use crate::services::Call;
use crate::services::tag::{self, Tag, TagFault, Tags};
use crate::wire::{ApiError, Output};

/// Tags that a resource may have.
const MOST_TAGS: usize = 50;

/// Checks the tags of a request.
pub(super) fn check(tags: &[Tag]) -> Result<(), ApiError> {
    tag::check(tags).map_err(|fault| match fault {
        TagFault::Duplicate(key) => ApiError::sender(
            "DuplicateTagKeys",
            format!("Tag keys must be unique; '{key}' was specified more than once"),
        ),
        TagFault::KeyLength(key) => {
            validation(format!("The tag key '{key}' must have between 1 and 128 characters"))
        }
        TagFault::ValueLength(key) => {
            validation(format!("The value of the tag '{key}' cannot be longer than '256' characters"))
        }
        TagFault::Reserved(key) => {
            validation(format!("The tag key '{key}' begins with 'aws:', which is reserved for AWS"))
        }
    })
}

/// The tags of the resource with this ARN.
fn tags_of<'a>(elbv2: &'a mut Elbv2State, arn: &str) -> Result<&'a mut Tags, ApiError> {
    let resource = arn.rsplit_once(":").map_or("", |(_, resource)| resource);
    let kind = resource.split('/').next().unwrap_or_default();
    match kind {
        "targetgroup" => {
            elbv2.target_groups.get_mut(arn).map(|group| &mut group.tags).ok_or_else(no_target_groups)
        }
        "listener" => elbv2.listeners.get_mut(arn).map(|listener| &mut listener.tags).ok_or_else(no_listener),
        "listener-rule" => {
            // A default rule has the tags of nobody: it shares its listener's.
            let default = elbv2.listeners.values_mut().find(|listener| listener.default_rule_arn == arn);
            match (elbv2.rules.get_mut(arn), default) {
                (Some(rule), _) => Ok(&mut rule.tags),
                (None, Some(listener)) => Ok(&mut listener.tags),
                (None, None) => Err(no_rule()),
            }
        }
        "loadbalancer" => {
            elbv2.load_balancers.get_mut(arn).map(|balancer| &mut balancer.tags).ok_or_else(no_load_balancers)
        }
        _ => Err(validation(format!("'{arn}' is not a valid load balancer ARN"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagsInput {
    #[serde(default)]
    resource_arns: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

fn all_exist(elbv2: &mut Elbv2State, arns: &[String]) -> Result<(), ApiError> {
    if arns.is_empty() {
        return Err(validation("At least one resource ARN must be specified"));
    }
    arns.iter().try_for_each(|arn| tags_of(elbv2, arn).map(|_| ()))
}

pub(super) fn add(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    check(&input.tags)?;
    let elbv2 = &mut call.region().elbv2;
    all_exist(elbv2, &input.resource_arns)?;
    for arn in &input.resource_arns {
        let own = tags_of(elbv2, arn)?;
        let mut new = own.clone();
        tag::add(&mut new, &input.tags);
        if new.len() > MOST_TAGS {
            let message =
                "The quota for the number of tags that can be assigned to a load balancer has been reached";
            return Err(ApiError::sender("TooManyTags", message));
        }
        *own = new;
    }
    Ok(Output::empty())
}

pub(super) fn remove(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    let elbv2 = &mut call.region().elbv2;
    all_exist(elbv2, &input.resource_arns)?;
    for arn in &input.resource_arns {
        let own = tags_of(elbv2, arn)?;
        own.retain(|key, _| !input.tag_keys.contains(key));
    }
    Ok(Output::empty())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeOutput {
    tag_descriptions: Vec<TagDescription>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagDescription {
    resource_arn: String,
    tags: Vec<Tag>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &TagsInput) -> Result<Output, ApiError> {
    let elbv2 = &mut call.region().elbv2;
    all_exist(elbv2, &input.resource_arns)?;
    if input.resource_arns.len() > 20 {
        return Err(validation("At most '20' resource ARNs can be specified"));
    }
    let mut tag_descriptions = Vec::new();
    for arn in &input.resource_arns {
        let tags = tag::list(tags_of(elbv2, arn)?);
        tag_descriptions.push(TagDescription { resource_arn: arn.clone(), tags });
    }
    Output::of(&DescribeOutput { tag_descriptions })
}
