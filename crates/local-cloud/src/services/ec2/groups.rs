//! Security groups. The rules are kept and shown, not enforced: on loopback everybody is a neighbour.

use serde::{Deserialize, Serialize};

use super::error::{dependency, invalid_value, missing_parameter, no_group, no_vpc};
use super::filter::{Filter, Filtered, Owned, page, passes};
use super::rules::{Permission, Rule, permissions};
use super::tags::{TagItem, TagSpecification, Tagged, specified};
use super::{Ec2State, Vpc, done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};
use crate::world::{Arn, Partition};

/// A security group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecurityGroup {
    /// `sg-…`
    pub(crate) group_id: String,
    /// Unique in its VPC.
    pub(crate) group_name: String,
    pub(super) description: String,
    /// Where it can be used.
    pub(crate) vpc_id: String,
    pub(super) rules: Vec<Rule>,
}

impl SecurityGroup {
    /// The group that a VPC has from the start: its members may talk to each other.
    pub(super) fn default_of(group_id: String, vpc: &Vpc, rule_ids: [String; 2]) -> Self {
        let [inside, outside] = rule_ids;
        Self {
            rules: vec![Rule::from_group(inside, &group_id), Rule::to_anywhere(outside)],
            group_id,
            group_name: "default".to_owned(),
            description: "default VPC security group".to_owned(),
            vpc_id: vpc.vpc_id.clone(),
        }
    }

    pub(super) fn has_rule(&self, id: &str) -> bool {
        self.rules.iter().any(|rule| rule.id == id)
    }
}

impl Filtered for SecurityGroup {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        if let Some(detail) = filter.strip_prefix("ip-permission.") {
            return self.rules.iter().filter(|rule| !rule.egress).map(|rule| rule.detail(detail)).collect();
        }
        if let Some(detail) = filter.strip_prefix("egress.ip-permission.") {
            return self.rules.iter().filter(|rule| rule.egress).map(|rule| rule.detail(detail)).collect();
        }
        Some(vec![match filter {
            "group-id" => self.group_id.clone(),
            "group-name" => self.group_name.clone(),
            "description" => self.description.clone(),
            "vpc-id" => self.vpc_id.clone(),
            _ => return None,
        }])
    }
}

impl Ec2State {
    /// Finds the group that a request names, by id or by name in the default VPC.
    pub(super) fn named_group(&self, id: Option<&str>, name: Option<&str>) -> Result<String, ApiError> {
        match (id.filter(|id| !id.is_empty()), name) {
            (Some(id), _) if self.groups.contains_key(id) => Ok(id.to_owned()),
            (Some(id), _) if !id.starts_with("sg-") => Err(ApiError::sender(
                "InvalidGroupId.Malformed",
                format!("Invalid id: \"{id}\" (expecting \"sg-...\")"),
            )),
            (Some(id), _) => Err(no_group(id)),
            (None, Some(name)) => {
                let vpc = self.default_vpc().map_or("", |vpc| vpc.vpc_id.as_str());
                let mut groups = self.groups.values();
                let found = groups.find(|group| group.vpc_id == vpc && group.group_name == name);
                found.map(|group| group.group_id.clone()).ok_or_else(|| {
                    let message =
                        format!("The security group '{name}' does not exist in default VPC '{vpc}'");
                    ApiError::sender("InvalidGroup.NotFound", message)
                })
            }
            (None, None) => Err(missing_parameter("GroupId")),
        }
    }
}

fn arn(place: &Partition, id: &str) -> String {
    let resource = format!("security-group/{id}");
    Arn { service: "ec2", region: &place.region, account: &place.account, resource: &resource }.to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    group_name: Option<String>,
    #[serde(alias = "Description")]
    group_description: Option<String>,
    vpc_id: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateOutput {
    r#return: bool,
    group_id: String,
    security_group_arn: String,
    tag_set: Vec<TagItem>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let name = super::error::required(&input.group_name, "GroupName")?.to_owned();
    let description = super::error::required(&input.group_description, "GroupDescription")?.to_owned();
    check_texts(&name, &description)?;
    let tags = specified(&input.tag_specification, "security-group")?;
    let place = call.place.clone();
    let ec2 = &mut call.region().ec2;
    let vpc_id = match &input.vpc_id {
        Some(id) if ec2.vpcs.contains_key(id) => id.clone(),
        Some(id) => return Err(no_vpc(id)),
        None => ec2
            .default_vpc()
            .map(|vpc| vpc.vpc_id.clone())
            .ok_or_else(|| ApiError::sender("VPCIdNotSpecified", "No default VPC for this user"))?,
    };
    if ec2.groups.values().any(|group| group.vpc_id == vpc_id && group.group_name == name) {
        let message = format!("The security group '{name}' already exists for VPC '{vpc_id}'");
        return Err(ApiError::sender("InvalidGroup.Duplicate", message));
    }
    let group_id = ids::fresh("sg");
    let rules = vec![Rule::to_anywhere(ids::fresh("sgr"))];
    let group = SecurityGroup { group_id: group_id.clone(), group_name: name, description, vpc_id, rules };
    ec2.tag(&group_id, &tags);
    ec2.groups.insert(group_id.clone(), group);
    Output::of(&CreateOutput {
        r#return: true,
        security_group_arn: arn(&place, &group_id),
        tag_set: ec2.tag_set(&group_id),
        group_id,
    })
}

/// Limits of docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
fn check_texts(name: &str, description: &str) -> Result<(), ApiError> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(letter);
    for (text, parameter) in [(name, "GroupName"), (description, "GroupDescription")] {
        if text.len() > 255 || !text.chars().all(allowed) {
            return Err(invalid_value(format!(
                "Value ({text}) for parameter {parameter} is invalid. Character sets beyond ASCII are not supported."
            )));
        }
    }
    if name.starts_with("sg-") {
        return Err(invalid_value(format!(
            "Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
        )));
    }
    if name == "default" {
        return Err(invalid_value("Cannot use reserved security group name: default"));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteInput {
    group_id: Option<String>,
    group_name: Option<String>,
}

pub(super) fn delete(call: &mut Call<'_>, input: &DeleteInput) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let id = ec2.named_group(input.group_id.as_deref(), input.group_name.as_deref())?;
    let is_default = ec2.groups.get(&id).is_some_and(|group| group.group_name == "default");
    if is_default {
        let message = format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user");
        return Err(ApiError::sender("CannotDelete", message));
    }
    let referenced = ec2
        .groups
        .values()
        .any(|group| group.group_id != id && group.rules.iter().any(|rule| rule.peer_group() == Some(&id)));
    if referenced || ec2.group_is_worn(&id) {
        return Err(dependency(format!("resource {id} has a dependent object")));
    }
    ec2.groups.shift_remove(&id);
    ec2.tags.remove(&id);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    group_id: Vec<String>,
    #[serde(default)]
    group_name: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeOutput {
    security_group_info: Vec<Tagged<Shown>>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    group_id: String,
    group_name: String,
    group_description: String,
    vpc_id: String,
    security_group_arn: String,
    ip_permissions: Vec<Permission>,
    ip_permissions_egress: Vec<Permission>,
}

fn shown(ec2: &Ec2State, place: &Partition, group: &SecurityGroup) -> Tagged<Shown> {
    Tagged {
        resource: Shown {
            group_id: group.group_id.clone(),
            group_name: group.group_name.clone(),
            group_description: group.description.clone(),
            vpc_id: group.vpc_id.clone(),
            security_group_arn: arn(place, &group.group_id),
            ip_permissions: permissions(&place.account, group.rules.iter().filter(|rule| !rule.egress)),
            ip_permissions_egress: permissions(&place.account, group.rules.iter().filter(|rule| rule.egress)),
        },
        owner_id: place.account.clone(),
        tag_set: ec2.tag_set(&group.group_id),
    }
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let place = call.place.clone();
    let ec2 = &call.region().ec2;
    for id in &input.group_id {
        ec2.named_group(Some(id), None)?;
    }
    for name in &input.group_name {
        ec2.named_group(None, Some(name))?;
    }
    let default_vpc = ec2.default_vpc().map_or("", |vpc| vpc.vpc_id.as_str());
    let mut found = Vec::new();
    for group in ec2.groups.values() {
        let by_id = input.group_id.is_empty() || input.group_id.contains(&group.group_id);
        let by_name = input.group_name.is_empty()
            || (group.vpc_id == default_vpc && input.group_name.contains(&group.group_name));
        let owned = Owned { resource: group, owner: &place.account };
        if by_id && by_name && passes(&input.filter, &owned, ec2.tags_of(&group.group_id))? {
            found.push(shown(ec2, &place, group));
        }
    }
    let (security_group_info, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { security_group_info, next_token })
}
