//! Network access lists. Kept and shown, not enforced: on loopback everybody is a neighbour.
//!
//! Source: docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::acl_entries::Entry;
use super::error::{dependency, no_acl, no_subnet, no_vpc, required};
use super::filter::{Filter, Filtered, Wanted, page};
use super::tags::{TagSpecification, specified};
use super::{Ec2State, done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A network access list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NetworkAcl {
    pub(super) id: String,
    pub(super) vpc_id: String,
    /// Made with the VPC: it covers every subnet that no other list covers.
    pub(super) is_default: bool,
    pub(super) entries: Vec<Entry>,
    /// Ids of associations by subnet; those of the default list are not here.
    pub(super) subnets: BTreeMap<String, String>,
}

impl NetworkAcl {
    /// The list that a VPC has from the start: it lets everything pass.
    pub(super) fn default_of(id: String, vpc: &str) -> Self {
        let mut acl = Self::closed(id, vpc);
        acl.is_default = true;
        acl.entries.extend([Entry::open(true), Entry::open(false)]);
        acl
    }

    /// A list that lets nothing pass.
    fn closed(id: String, vpc: &str) -> Self {
        let entries = vec![Entry::last(true), Entry::last(false)];
        Self { id, vpc_id: vpc.to_owned(), is_default: false, entries, subnets: BTreeMap::new() }
    }
}

/// The id of a subnet's association with the default list.
fn implied(subnet: &str) -> String {
    subnet.replacen("subnet-", "aclassoc-", 1)
}

impl Ec2State {
    pub(super) fn acl_mut(&mut self, id: &str) -> Result<&mut NetworkAcl, ApiError> {
        self.acls.get_mut(id).ok_or_else(|| no_acl(id))
    }

    /// The subnets that `acl` covers, each with the id of the association.
    fn covered(&self, acl: &NetworkAcl) -> BTreeMap<String, String> {
        if !acl.is_default {
            return acl.subnets.clone();
        }
        let elsewhere = |subnet: &str| self.acls.values().any(|other| other.subnets.contains_key(subnet));
        let own = self.subnets.values().filter(|subnet| subnet.vpc_id == acl.vpc_id);
        let uncovered = own.filter(|subnet| !elsewhere(&subnet.subnet_id));
        uncovered.map(|subnet| (subnet.subnet_id.clone(), implied(&subnet.subnet_id))).collect()
    }

    /// Takes a subnet that is going off every list.
    pub(super) fn uncover(&mut self, subnet: &str) {
        for acl in self.acls.values_mut() {
            acl.subnets.remove(subnet);
        }
    }
}

fn shown(ec2: &Ec2State, account: &str, acl: &NetworkAcl) -> Value {
    let associations: Vec<Value> = ec2
        .covered(acl)
        .into_iter()
        .map(|(subnet, id)| {
            json!({ "networkAclAssociationId": id, "networkAclId": acl.id, "subnetId": subnet })
        })
        .collect();
    let mut entries = acl.entries.clone();
    entries.sort_by_key(|entry| (!entry.egress, entry.rule_number));
    json!({
        "networkAclId": acl.id, "vpcId": acl.vpc_id, "default": acl.is_default, "ownerId": account,
        "entrySet": entries, "associationSet": associations, "tagSet": ec2.tag_set(&acl.id),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    vpc_id: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let vpc = required(&input.vpc_id, "vpcId")?;
    let tags = specified(&input.tag_specification, "network-acl")?;
    let account = call.place.account.clone();
    let ec2 = &mut call.region().ec2;
    if !ec2.vpcs.contains_key(vpc) {
        return Err(no_vpc(vpc));
    }
    let acl = NetworkAcl::closed(ids::fresh("acl"), vpc);
    ec2.tag(&acl.id, &tags);
    ec2.acls.insert(acl.id.clone(), acl.clone());
    Output::of(&json!({ "networkAcl": shown(ec2, &account, &acl) }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AclInput {
    network_acl_id: Option<String>,
}

pub(super) fn delete(call: &mut Call<'_>, input: &AclInput) -> Result<Output, ApiError> {
    let id = required(&input.network_acl_id, "networkAclId")?;
    let ec2 = &mut call.region().ec2;
    let acl = ec2.acl_mut(id)?;
    if acl.is_default {
        return Err(ApiError::sender(
            "InvalidParameterValue",
            format!("cannot delete default network ACL {id}"),
        ));
    }
    if !acl.subnets.is_empty() {
        return Err(dependency(format!("The networkAcl '{id}' has dependencies and cannot be deleted.")));
    }
    ec2.acls.shift_remove(id);
    ec2.tags.remove(id);
    done()
}

/// A list beside what covers what, for filters.
struct Seen<'a> {
    acl: &'a NetworkAcl,
    covered: BTreeMap<String, String>,
    owner: &'a str,
}

impl Filtered for Seen<'_> {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        if let Some(detail) = filter.strip_prefix("entry.") {
            return self.acl.entries.iter().map(|entry| entry.detail(detail)).collect();
        }
        Some(match filter {
            "network-acl-id" | "association.network-acl-id" => vec![self.acl.id.clone()],
            "vpc-id" => vec![self.acl.vpc_id.clone()],
            "owner-id" => vec![self.owner.to_owned()],
            "default" => vec![self.acl.is_default.to_string()],
            "association.association-id" => self.covered.values().cloned().collect(),
            "association.subnet-id" => self.covered.keys().cloned().collect(),
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    network_acl_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let ec2 = &call.region().ec2;
    let wanted = Wanted { ids: &input.network_acl_id, filters: &input.filter, unknown: no_acl };
    let see = |acl| Seen { acl, covered: ec2.covered(acl), owner: &account };
    let found = wanted.seen(ec2, &ec2.acls, see)?.into_iter().map(|acl| shown(ec2, &account, acl)).collect();
    let (acls, next) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&json!({ "networkAclSet": acls, "nextToken": next }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReplaceAssociationInput {
    association_id: Option<String>,
    network_acl_id: Option<String>,
}

/// Puts a subnet under another list. The association gets a new id.
pub(super) fn replace_association(
    call: &mut Call<'_>,
    input: &ReplaceAssociationInput,
) -> Result<Output, ApiError> {
    let association = required(&input.association_id, "associationId")?;
    let id = required(&input.network_acl_id, "networkAclId")?;
    let ec2 = &mut call.region().ec2;
    let covered = ec2.acls.values().flat_map(|acl| ec2.covered(acl));
    let subnet = covered.into_iter().find(|(_, known)| known == association).map(|(subnet, _)| subnet);
    let subnet = subnet.ok_or_else(|| {
        let message = format!("The association ID '{association}' does not exist");
        ApiError::sender("InvalidAssociationID.NotFound", message)
    })?;
    let vpc = ec2.subnets.get(&subnet).ok_or_else(|| no_subnet(&subnet))?.vpc_id.clone();
    let acl = ec2.acl_mut(id)?;
    if acl.vpc_id != vpc {
        let message = format!("The network ACL {id} and subnet {subnet} belong to different networks");
        return Err(ApiError::sender("InvalidParameterValue", message));
    }
    let is_default = acl.is_default;
    ec2.uncover(&subnet);
    let fresh = if is_default { implied(&subnet) } else { ids::fresh("aclassoc") };
    if !is_default {
        ec2.acl_mut(id)?.subnets.insert(subnet, fresh.clone());
    }
    Output::of(&json!({ "newAssociationId": fresh }))
}
