//! Amazon EC2, as far as networks go: VPCs, subnets, security groups, route tables, gateways,
//! network interfaces and tags. No instances.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference. Error codes:
//! docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html

mod addresses;
mod error;
mod filter;
mod gateways;
mod groups;
mod ids;
mod interface_changes;
mod interfaces;
mod nat;
mod network_acls;
mod nothing;
mod places;
mod route;
mod routes;
mod rules;
mod seed;
mod subnets;
mod tags;
#[cfg(test)]
mod tests;
mod vpcs;

use std::collections::BTreeMap;

use http::StatusCode;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::tag::Tags;
use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};

pub(crate) use groups::SecurityGroup;
pub(crate) use interfaces::{NetworkInterface, NewInterface};
pub(crate) use seed::seed;
pub(crate) use subnets::Subnet;
pub(crate) use vpcs::Vpc;

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ec2State {
    vpcs: IndexMap<String, Vpc>,
    subnets: IndexMap<String, Subnet>,
    groups: IndexMap<String, SecurityGroup>,
    route_tables: IndexMap<String, routes::RouteTable>,
    gateways: IndexMap<String, gateways::InternetGateway>,
    interfaces: IndexMap<String, NetworkInterface>,
    addresses: IndexMap<String, addresses::Address>,
    nat_gateways: IndexMap<String, nat::NatGateway>,
    vpc_attributes: BTreeMap<String, vpcs::Attributes>,
    /// Which host of a subnet is given out next.
    next_host: BTreeMap<String, u32>,
    /// Tags of every resource, by its id.
    tags: BTreeMap<String, Tags>,
}

impl Ec2State {
    /// How many NAT gateways there are.
    pub(crate) fn nat_gateway_count(&self) -> usize {
        self.nat_gateways.values().filter(|gateway| !gateway.is_deleted()).count()
    }

    /// How many security groups were made, beside the one that each VPC has from the start.
    pub(crate) fn groups_made(&self) -> usize {
        self.groups.values().filter(|group| group.group_name != "default").count()
    }

    /// The VPC with this id.
    pub(crate) fn vpc(&self, id: &str) -> Option<&Vpc> {
        self.vpcs.get(id)
    }

    /// The VPC that a region has from the start, unless it was deleted.
    pub(crate) fn default_vpc(&self) -> Option<&Vpc> {
        self.vpcs.values().find(|vpc| vpc.is_default)
    }

    /// The subnet with this id.
    pub(crate) fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.get(id)
    }

    /// The security group with this id.
    pub(crate) fn group(&self, id: &str) -> Option<&SecurityGroup> {
        self.groups.get(id)
    }

    /// The security group that a VPC has from the start.
    pub(crate) fn default_group(&self, vpc: &str) -> Option<&SecurityGroup> {
        self.groups.values().find(|group| group.vpc_id == vpc && group.group_name == "default")
    }
}

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    if input.parse::<DryRun>()?.dry_run {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(ApiError::sender("DryRunOperation", message).with_status(StatusCode::PRECONDITION_FAILED));
    }
    match operation {
        "CreateVpc" => vpcs::create(call, &input.parse()?),
        "CreateDefaultVpc" => vpcs::create_default(call),
        "DeleteVpc" => vpcs::delete(call, &input.parse()?),
        "DescribeVpcs" => vpcs::describe(call, &input.parse()?),
        "DescribeVpcAttribute" => vpcs::describe_attribute(call, &input.parse()?),
        "ModifyVpcAttribute" => vpcs::modify_attribute(call, &input.parse()?),
        "CreateSubnet" => subnets::create(call, &input.parse()?),
        "CreateDefaultSubnet" => subnets::create_default(call, &input.parse()?),
        "DeleteSubnet" => subnets::delete(call, &input.parse()?),
        "DescribeSubnets" => subnets::describe(call, &input.parse()?),
        "ModifySubnetAttribute" => subnets::modify_attribute(call, &input.parse()?),
        "CreateSecurityGroup" => groups::create(call, &input.parse()?),
        "DeleteSecurityGroup" => groups::delete(call, &input.parse()?),
        "DescribeSecurityGroups" => groups::describe(call, &input.parse()?),
        "DescribeSecurityGroupRules" => rules::describe(call, &input.parse()?),
        "AuthorizeSecurityGroupIngress" => rules::authorize(call, &input.parse()?, rules::Direction::Ingress),
        "AuthorizeSecurityGroupEgress" => rules::authorize(call, &input.parse()?, rules::Direction::Egress),
        "RevokeSecurityGroupIngress" => rules::revoke(call, &input.parse()?, rules::Direction::Ingress),
        "RevokeSecurityGroupEgress" => rules::revoke(call, &input.parse()?, rules::Direction::Egress),
        "ModifySecurityGroupRules" => rules::modify(call, &input.parse()?),
        "UpdateSecurityGroupRuleDescriptionsIngress" => {
            rules::update_descriptions(call, &input.parse()?, &input.parse()?, rules::Direction::Ingress)
        }
        "UpdateSecurityGroupRuleDescriptionsEgress" => {
            rules::update_descriptions(call, &input.parse()?, &input.parse()?, rules::Direction::Egress)
        }
        "CreateRouteTable" => routes::create(call, &input.parse()?),
        "DeleteRouteTable" => routes::delete(call, &input.parse()?),
        "DescribeRouteTables" => routes::describe(call, &input.parse()?),
        "AssociateRouteTable" => routes::associate(call, &input.parse()?),
        "DisassociateRouteTable" => routes::disassociate(call, &input.parse()?),
        "ReplaceRouteTableAssociation" => routes::replace_association(call, &input.parse()?),
        "CreateRoute" => route::create(call, &input.parse()?),
        "ReplaceRoute" => route::replace(call, &input.parse()?),
        "DeleteRoute" => route::delete(call, &input.parse()?),
        "CreateInternetGateway" => gateways::create(call, &input.parse()?),
        "DeleteInternetGateway" => gateways::delete(call, &input.parse()?),
        "DescribeInternetGateways" => gateways::describe(call, &input.parse()?),
        "AttachInternetGateway" => gateways::attach(call, &input.parse()?),
        "DetachInternetGateway" => gateways::detach(call, &input.parse()?),
        "AllocateAddress" => addresses::allocate(call, &input.parse()?),
        "ReleaseAddress" => addresses::release(call, &input.parse()?),
        "DescribeAddresses" => addresses::describe(call, &input.parse()?),
        "AssociateAddress" => addresses::associate(call, &input.parse()?),
        "DisassociateAddress" => addresses::disassociate(call, &input.parse()?),
        "CreateNatGateway" => nat::create(call, &input.parse()?),
        "DeleteNatGateway" => nat::delete(call, &input.parse()?),
        "DescribeNatGateways" => nat::describe(call, &input.parse()?),
        "DescribeNetworkAcls" => network_acls::describe(call, &input.parse()?),
        "DescribeDhcpOptions" => network_acls::describe_dhcp_options(call, &input.parse()?),
        "CreateNetworkInterface" => interface_changes::create(call, &input.parse()?),
        "DeleteNetworkInterface" => interface_changes::delete(call, &input.parse()?),
        "ModifyNetworkInterfaceAttribute" => interface_changes::modify_attribute(call, &input.parse()?),
        "DescribeNetworkInterfaceAttribute" => interface_changes::describe_attribute(call, &input.parse()?),
        "DescribeNetworkInterfaces" => interfaces::describe(call, &input.parse()?),
        "DescribeAvailabilityZones" => places::describe_zones(call, &input.parse()?),
        "DescribeRegions" => places::describe_regions(&input.parse()?),
        "DescribeAccountAttributes" => places::describe_account_attributes(call, &input.parse()?),
        "CreateTags" => tags::create(call, &input.parse()?),
        "DeleteTags" => tags::delete(call, &input.parse()?),
        "DescribeTags" => tags::describe(call, &input.parse()?),
        _ => nothing::describe(operation, input).unwrap_or_else(|| Err(missing(Service::Ec2, operation))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DryRun {
    #[serde(default)]
    dry_run: bool,
}

/// The answer of operations that only say that they did it.
fn done() -> Result<Output, ApiError> {
    Output::of(&serde_json::json!({ "return": true }))
}
