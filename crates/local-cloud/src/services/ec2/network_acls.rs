//! What every VPC has beside its group and its route table, and nobody can change here: the network
//! ACL that lets everything pass, and the DHCP options of AWS.
//!
//! Source: docs.aws.amazon.com/vpc/latest/userguide/default-network-acl.html

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::filter::{Filter, Filtered, page, passes};
use super::tags::TagItem;
use super::{Ec2State, Vpc};
use crate::services::Call;
use crate::wire::{ApiError, Output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkAcl {
    network_acl_id: String,
    vpc_id: String,
    owner_id: String,
    default: bool,
    entry_set: [Entry; 4],
    association_set: Vec<Association>,
    tag_set: Vec<TagItem>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    rule_number: u32,
    protocol: &'static str,
    rule_action: &'static str,
    egress: bool,
    cidr_block: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Association {
    network_acl_association_id: String,
    network_acl_id: String,
    subnet_id: String,
}

/// Number 100 lets everything pass; the last one, shown as `*`, stops what is left.
const fn entry(rule_number: u32, rule_action: &'static str, egress: bool) -> Entry {
    Entry { rule_number, protocol: "-1", rule_action, egress, cidr_block: "0.0.0.0/0" }
}

impl NetworkAcl {
    fn of(ec2: &Ec2State, account: &str, vpc: &Vpc) -> Self {
        let id = vpc.vpc_id.replacen("vpc-", "acl-", 1);
        let subnets = ec2.subnets.keys().filter(|subnet| ec2.subnets[*subnet].vpc_id == vpc.vpc_id);
        let association_set = subnets
            .map(|subnet| Association {
                network_acl_association_id: subnet.replacen("subnet-", "aclassoc-", 1),
                network_acl_id: id.clone(),
                subnet_id: subnet.clone(),
            })
            .collect();
        Self {
            vpc_id: vpc.vpc_id.clone(),
            owner_id: account.to_owned(),
            default: true,
            entry_set: [
                entry(100, "allow", true),
                entry(32_767, "deny", true),
                entry(100, "allow", false),
                entry(32_767, "deny", false),
            ],
            association_set,
            tag_set: ec2.tag_set(&id),
            network_acl_id: id,
        }
    }
}

impl Filtered for NetworkAcl {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let of_associations = |value: fn(&Association) -> &String| {
            Some(self.association_set.iter().map(|one| value(one).clone()).collect())
        };
        Some(vec![match filter {
            "network-acl-id" => self.network_acl_id.clone(),
            "vpc-id" => self.vpc_id.clone(),
            "default" => self.default.to_string(),
            "owner-id" => self.owner_id.clone(),
            "association.association-id" => return of_associations(|one| &one.network_acl_association_id),
            "association.network-acl-id" => return of_associations(|one| &one.network_acl_id),
            "association.subnet-id" => return of_associations(|one| &one.subnet_id),
            _ => return None,
        }])
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default, alias = "DhcpOptionsId")]
    network_acl_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let ec2 = &call.region().ec2;
    let all: Vec<_> = ec2.vpcs.values().map(|vpc| NetworkAcl::of(ec2, &account, vpc)).collect();
    let is_known = |id: &&String| all.iter().any(|acl| acl.network_acl_id == **id);
    if let Some(unknown) = input.network_acl_id.iter().find(|id| !is_known(id)) {
        let message = format!("The networkAcl ID '{unknown}' does not exist");
        return Err(ApiError::sender("InvalidNetworkAclID.NotFound", message));
    }
    let mut found = Vec::new();
    for acl in all {
        let named = input.network_acl_id.is_empty() || input.network_acl_id.contains(&acl.network_acl_id);
        if named && passes(&input.filter, &acl, ec2.tags_of(&acl.network_acl_id))? {
            found.push(acl);
        }
    }
    let (found, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&json!({ "networkAclSet": found, "nextToken": next_token }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DhcpOptions {
    dhcp_options_id: String,
    owner_id: String,
    dhcp_configuration_set: [Configuration; 2],
    tag_set: Vec<TagItem>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    key: &'static str,
    value_set: [Value; 1],
}

#[derive(Serialize)]
struct Value {
    value: String,
}

fn configuration(key: &'static str, value: String) -> Configuration {
    Configuration { key, value_set: [Value { value }] }
}

impl Filtered for DhcpOptions {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let configurations = self.dhcp_configuration_set.iter();
        Some(match filter {
            "dhcp-options-id" => vec![self.dhcp_options_id.clone()],
            "owner-id" => vec![self.owner_id.clone()],
            "key" => configurations.map(|one| one.key.to_owned()).collect(),
            "value" => {
                configurations.flat_map(|one| &one.value_set).map(|value| value.value.clone()).collect()
            }
            _ => return None,
        })
    }
}

/// <https://docs.aws.amazon.com/vpc/latest/userguide/VPC_DHCP_Options.html>
pub(super) fn describe_dhcp_options(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let place = call.place.clone();
    let ec2 = &call.region().ec2;
    let wanted = &input.network_acl_id;
    let mut ids: Vec<&str> = ec2.vpcs.values().map(|vpc| vpc.dhcp_options_id.as_str()).collect();
    ids.dedup();
    if let Some(unknown) = wanted.iter().find(|id| !ids.contains(&id.as_str())) {
        let message = format!("The dhcpOption ID '{unknown}' does not exist");
        return Err(ApiError::sender("InvalidDhcpOptionID.NotFound", message));
    }
    let domain = match place.region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    };
    let mut found = Vec::new();
    for id in ids {
        let options = DhcpOptions {
            dhcp_options_id: id.to_owned(),
            owner_id: place.account.clone(),
            dhcp_configuration_set: [
                configuration("domain-name", domain.clone()),
                configuration("domain-name-servers", "AmazonProvidedDNS".to_owned()),
            ],
            tag_set: ec2.tag_set(id),
        };
        let named = wanted.is_empty() || wanted.iter().any(|wanted| wanted == id);
        if named && passes(&input.filter, &options, ec2.tags_of(id))? {
            found.push(options);
        }
    }
    let (found, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&json!({ "dhcpOptionsSet": found, "nextToken": next_token }))
}
