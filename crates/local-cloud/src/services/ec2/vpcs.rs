//! Virtual private clouds.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::error::{dependency, invalid_value, missing_parameter, no_vpc, required};
use super::filter::{Filter, Filtered, Wanted, page};
use super::tags::{TagSpecification, Tagged, specified};
use super::{Ec2State, done, ids, seed};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A VPC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Vpc {
    /// `vpc-…`
    pub(crate) vpc_id: String,
    /// Always `available`: nothing is built.
    pub(crate) state: String,
    /// The addresses of the VPC.
    pub(crate) cidr_block: Ipv4Net,
    /// Made by AWS, one a region.
    pub(crate) is_default: bool,
    dhcp_options_id: String,
    instance_tenancy: String,
    cidr_block_association_set: Vec<CidrAssociation>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CidrAssociation {
    association_id: String,
    cidr_block: Ipv4Net,
    cidr_block_state: CidrState,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CidrState {
    state: String,
}

/// What DescribeVpcAttribute shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Attributes {
    dns_support: bool,
    dns_hostnames: bool,
    address_metrics: bool,
}

impl Attributes {
    /// The default VPC has DNS host names, others do not.
    fn first(vpc: &Vpc) -> Self {
        Self { dns_support: true, dns_hostnames: vpc.is_default, address_metrics: false }
    }
}

impl Vpc {
    /// A VPC with these addresses.
    pub(super) fn new(vpc_id: String, cidr_block: Ipv4Net, is_default: bool) -> Self {
        let association = vpc_id.replacen("vpc-", "vpc-cidr-assoc-", 1);
        Self {
            state: "available".to_owned(),
            cidr_block,
            is_default,
            dhcp_options_id: vpc_id.replacen("vpc-", "dopt-", 1),
            instance_tenancy: "default".to_owned(),
            cidr_block_association_set: vec![CidrAssociation {
                association_id: association,
                cidr_block,
                cidr_block_state: CidrState { state: "associated".to_owned() },
            }],
            vpc_id,
        }
    }
}

impl Filtered for Vpc {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "vpc-id" => self.vpc_id.clone(),
            "state" => self.state.clone(),
            "cidr" | "cidr-block" | "cidrBlock" | "cidr-block-association.cidr-block" => {
                self.cidr_block.to_string()
            }
            "cidr-block-association.association-id" => {
                return Some(
                    self.cidr_block_association_set.iter().map(|a| a.association_id.clone()).collect(),
                );
            }
            "cidr-block-association.state" => "associated".to_owned(),
            "isDefault" | "is-default" => self.is_default.to_string(),
            "dhcp-options-id" | "dhcpOptionsId" => self.dhcp_options_id.clone(),
            // There are no IPv6 addresses.
            "ipv6-cidr-block-association.ipv6-cidr-block"
            | "ipv6-cidr-block-association.ipv6-pool"
            | "ipv6-cidr-block-association.association-id"
            | "ipv6-cidr-block-association.state" => return Some(vec![]),
            _ => return None,
        }])
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    cidr_block: Option<String>,
    instance_tenancy: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Serialize)]
struct VpcOutput {
    vpc: Tagged<Vpc>,
}

impl Ec2State {
    fn tagged_vpc(&self, account: &str, vpc: &Vpc) -> Tagged<Vpc> {
        let tag_set = self.tag_set(&vpc.vpc_id);
        Tagged { resource: vpc.clone(), owner_id: account.to_owned(), tag_set }
    }
}

/// Reads a CIDR block of a VPC or subnet: /16 to /28.
pub(super) fn cidr(text: &str, code: &str) -> Result<Ipv4Net, ApiError> {
    let block: Ipv4Net = text.parse().map_err(|_| {
        invalid_value(format!(
            "Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ))
    })?;
    if !(16..=28).contains(&block.prefix_len()) {
        return Err(ApiError::sender(code, format!("The CIDR '{text}' is invalid.")));
    }
    // AWS keeps the network's address whatever host was named.
    Ok(block.trunc())
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let block = cidr(required(&input.cidr_block, "cidrBlock")?, "InvalidVpc.Range")?;
    let tags = specified(&input.tag_specification, "vpc")?;
    let account = call.place.account.clone();
    let ec2 = &mut call.region().ec2;
    let mut vpc = Vpc::new(ids::fresh("vpc"), block, false);
    if let Some(tenancy) = &input.instance_tenancy {
        vpc.instance_tenancy.clone_from(tenancy);
    }
    seed::furnish(ec2, &vpc, &mut |prefix| ids::fresh(prefix));
    ec2.tag(&vpc.vpc_id, &tags);
    ec2.vpcs.insert(vpc.vpc_id.clone(), vpc.clone());
    Output::of(&VpcOutput { vpc: ec2.tagged_vpc(&account, &vpc) })
}

pub(super) fn create_default(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let place = call.place.clone();
    let ec2 = &mut call.region().ec2;
    if ec2.default_vpc().is_some() {
        let message = "A Default VPC already exists for this account in this region.";
        return Err(ApiError::sender("DefaultVpcAlreadyExists", message));
    }
    let vpc = seed::default_vpc(ec2, &place.region, &mut |prefix, _| ids::fresh(prefix));
    Output::of(&VpcOutput { vpc: ec2.tagged_vpc(&place.account, &vpc) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VpcInput {
    vpc_id: Option<String>,
}

/// A VPC goes with its default group and main route table, but not while anything else is in it.
pub(super) fn delete(call: &mut Call<'_>, input: &VpcInput) -> Result<Output, ApiError> {
    let id = required(&input.vpc_id, "vpcId")?;
    let ec2 = &mut call.region().ec2;
    if !ec2.vpcs.contains_key(id) {
        return Err(no_vpc(id));
    }
    let in_use = ec2.subnets.values().any(|subnet| subnet.vpc_id == id)
        || ec2.groups.values().any(|group| group.vpc_id == id && group.group_name != "default")
        || ec2.route_tables.values().any(|table| table.vpc_id == id && !table.is_main())
        || ec2.acls.values().any(|acl| acl.vpc_id == id && !acl.is_default)
        || ec2.endpoints.values().any(|endpoint| endpoint.vpc_id == id)
        || ec2.nat_gateways.values().any(|gateway| gateway.vpc_id == id && gateway.is_there())
        || ec2.gateways.values().any(|gateway| gateway.is_attached_to(id));
    if in_use {
        return Err(dependency(format!("The vpc '{id}' has dependencies and cannot be deleted.")));
    }
    ec2.vpcs.shift_remove(id);
    ec2.vpc_attributes.remove(id);
    ec2.groups.retain(|_, group| group.vpc_id != id);
    ec2.route_tables.retain(|_, table| table.vpc_id != id);
    ec2.acls.retain(|_, acl| acl.vpc_id != id);
    ec2.tags.remove(id);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    vpc_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeOutput {
    vpc_set: Vec<Tagged<Vpc>>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let ec2 = &call.region().ec2;
    let wanted = Wanted { ids: &input.vpc_id, filters: &input.filter, unknown: no_vpc };
    let found = wanted
        .owned(ec2, &account, &ec2.vpcs)?
        .into_iter()
        .map(|vpc| ec2.tagged_vpc(&account, vpc))
        .collect();
    let (vpc_set, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { vpc_set, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAttributeInput {
    vpc_id: Option<String>,
    attribute: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Flag {
    #[serde(rename(serialize = "value"), alias = "Value")]
    pub(super) value: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttributeOutput {
    vpc_id: String,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
    enable_network_address_usage_metrics: Option<Flag>,
}

pub(super) fn describe_attribute(
    call: &mut Call<'_>,
    input: &DescribeAttributeInput,
) -> Result<Output, ApiError> {
    let id = required(&input.vpc_id, "vpcId")?;
    let attribute = required(&input.attribute, "attribute")?;
    let ec2 = &call.region().ec2;
    let vpc = ec2.vpcs.get(id).ok_or_else(|| no_vpc(id))?;
    let attributes = ec2.vpc_attributes.get(id).cloned().unwrap_or_else(|| Attributes::first(vpc));
    let mut output = AttributeOutput {
        vpc_id: id.to_owned(),
        enable_dns_support: None,
        enable_dns_hostnames: None,
        enable_network_address_usage_metrics: None,
    };
    let flag = |value| Some(Flag { value });
    match attribute {
        "enableDnsSupport" => output.enable_dns_support = flag(attributes.dns_support),
        "enableDnsHostnames" => output.enable_dns_hostnames = flag(attributes.dns_hostnames),
        "enableNetworkAddressUsageMetrics" => {
            output.enable_network_address_usage_metrics = flag(attributes.address_metrics);
        }
        other => {
            return Err(invalid_value(format!("Value ({other}) for parameter attribute is invalid.")));
        }
    }
    Output::of(&output)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyAttributeInput {
    vpc_id: Option<String>,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
    enable_network_address_usage_metrics: Option<Flag>,
}

pub(super) fn modify_attribute(
    call: &mut Call<'_>,
    input: &ModifyAttributeInput,
) -> Result<Output, ApiError> {
    let id = required(&input.vpc_id, "vpcId")?;
    let ec2 = &mut call.region().ec2;
    let vpc = ec2.vpcs.get(id).ok_or_else(|| no_vpc(id))?;
    let attributes = ec2.vpc_attributes.entry(id.to_owned()).or_insert_with(|| Attributes::first(vpc));
    let changes = [
        (&input.enable_dns_support, &mut attributes.dns_support),
        (&input.enable_dns_hostnames, &mut attributes.dns_hostnames),
        (&input.enable_network_address_usage_metrics, &mut attributes.address_metrics),
    ];
    let mut any = false;
    for (flag, attribute) in changes {
        if let Some(flag) = flag {
            *attribute = flag.value;
            any = true;
        }
    }
    if any { done() } else { Err(missing_parameter("attribute")) }
}
