//! Subnets, and the addresses in them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::error::{dependency, invalid_value, no_subnet, no_vpc, required};
use super::filter::{Filter, Filtered, Wanted, page};
use super::places::{zone_id, zones};
use super::tags::{TagSpecification, Tagged, specified};
use super::vpcs::{Flag, cidr};
use super::{Ec2State, done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};
use crate::world::{Arn, Partition};

/// A subnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subnet {
    /// `subnet-…`
    pub(crate) subnet_id: String,
    /// Always `available`.
    pub(crate) state: String,
    /// The VPC it is part of.
    pub(crate) vpc_id: String,
    /// Its addresses. The first four and the last are reserved.
    pub(crate) cidr_block: Ipv4Net,
    /// `eu-central-1a`
    pub(crate) availability_zone: String,
    /// `euc1-az1`
    pub(crate) availability_zone_id: String,
    /// Made by AWS, one a zone.
    pub(crate) default_for_az: bool,
    /// What is started in it gets a public address.
    pub(crate) map_public_ip_on_launch: bool,
    #[serde(default)]
    assign_ipv6_address_on_creation: bool,
}

impl Subnet {
    pub(super) fn new(
        subnet_id: String,
        vpc_id: &str,
        cidr_block: Ipv4Net,
        zone: &str,
        default: bool,
    ) -> Self {
        Self {
            subnet_id,
            state: "available".to_owned(),
            vpc_id: vpc_id.to_owned(),
            cidr_block,
            availability_zone: zone.to_owned(),
            availability_zone_id: zone_id(zone),
            default_for_az: default,
            map_public_ip_on_launch: default,
            assign_ipv6_address_on_creation: false,
        }
    }

    /// How many addresses can be given out at all.
    fn capacity(&self) -> usize {
        (1usize << (32 - self.cidr_block.prefix_len())).saturating_sub(5)
    }
}

impl Filtered for Subnet {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "subnet-id" => self.subnet_id.clone(),
            "vpc-id" => self.vpc_id.clone(),
            "state" => self.state.clone(),
            "cidr" | "cidr-block" | "cidrBlock" => self.cidr_block.to_string(),
            "availability-zone" | "availabilityZone" => self.availability_zone.clone(),
            "availability-zone-id" | "availabilityZoneId" => self.availability_zone_id.clone(),
            "default-for-az" | "defaultForAz" => self.default_for_az.to_string(),
            "map-public-ip-on-launch" => self.map_public_ip_on_launch.to_string(),
            "ipv6-native" | "enable-dns64" | "map-customer-owned-ip-on-launch" => false.to_string(),
            // What these look at no subnet has.
            "customer-owned-ipv4-pool"
            | "enable-lni-at-device-index"
            | "ipv6-cidr-block-association.ipv6-cidr-block"
            | "ipv6-cidr-block-association.association-id"
            | "ipv6-cidr-block-association.state"
            | "outpost-arn"
            | "private-dns-name-options-on-launch.hostname-type"
            | "private-dns-name-options-on-launch.enable-resource-name-dns-a-record"
            | "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => {
                return Some(vec![]);
            }
            _ => return None,
        }])
    }
}

/// A subnet beside what is around it, for filters.
struct Seen<'a> {
    ec2: &'a Ec2State,
    place: &'a Partition,
    subnet: &'a Subnet,
}

impl Filtered for Seen<'_> {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "owner-id" => self.place.account.clone(),
            "subnet-arn" => arn(self.place, self.subnet),
            "available-ip-address-count" => self.ec2.free_addresses(self.subnet).to_string(),
            _ => return self.subnet.values(filter),
        }])
    }
}

impl Ec2State {
    /// Gives out an address of a subnet that nothing has.
    pub(super) fn take_address(&mut self, subnet_id: &str) -> Result<Ipv4Addr, ApiError> {
        let taken: Vec<Ipv4Addr> = self.addresses_in(subnet_id).collect();
        let subnet = self.subnets.get(subnet_id).ok_or_else(|| no_subnet(subnet_id))?;
        let capacity = u32::try_from(subnet.capacity()).unwrap_or(u32::MAX);
        let network = u32::from(subnet.cidr_block.network());
        // Addresses are not given again at once: somebody may still have one in mind.
        let next = self.next_host.entry(subnet_id.to_owned()).or_default();
        for step in 0..capacity {
            let host = (*next + step) % capacity;
            let address = Ipv4Addr::from(network + 4 + host);
            if !taken.contains(&address) {
                *next = host + 1;
                return Ok(address);
            }
        }
        Err(ApiError::sender(
            "InsufficientFreeAddressesInSubnet",
            format!("insufficient free addresses in subnet '{subnet_id}'"),
        ))
    }

    /// Refuses an address that is not the subnet's, or that something has.
    pub(super) fn check_free(&self, subnet_id: &str, wanted: Ipv4Addr) -> Result<(), ApiError> {
        let subnet = self.subnets.get(subnet_id).ok_or_else(|| no_subnet(subnet_id))?;
        if !subnet.cidr_block.contains(&wanted) {
            return Err(invalid_value("Address does not fall within the subnet's address range"));
        }
        if self.addresses_in(subnet_id).any(|taken| taken == wanted) {
            return Err(ApiError::sender("InvalidIPAddress.InUse", format!("Address {wanted} is in use.")));
        }
        Ok(())
    }

    /// How many addresses of a subnet nothing has.
    fn free_addresses(&self, subnet: &Subnet) -> usize {
        subnet.capacity().saturating_sub(self.addresses_in(&subnet.subnet_id).count())
    }

    fn addresses_in(&self, subnet_id: &str) -> impl Iterator<Item = Ipv4Addr> {
        self.interfaces
            .values()
            .filter(move |interface| interface.subnet_id == subnet_id)
            .map(|interface| interface.private_ip_address)
    }
}

/// A subnet as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    subnet: Subnet,
    subnet_arn: String,
    available_ip_address_count: usize,
    ipv6_cidr_block_association_set: [String; 0],
}

fn arn(place: &Partition, subnet: &Subnet) -> String {
    let resource = format!("subnet/{}", subnet.subnet_id);
    Arn { service: "ec2", region: &place.region, account: &place.account, resource: &resource }.to_string()
}

fn shown(ec2: &Ec2State, place: &Partition, subnet: &Subnet) -> Tagged<Shown> {
    Tagged {
        resource: Shown {
            subnet: subnet.clone(),
            subnet_arn: arn(place, subnet),
            available_ip_address_count: ec2.free_addresses(subnet),
            ipv6_cidr_block_association_set: [],
        },
        owner_id: place.account.clone(),
        tag_set: ec2.tag_set(&subnet.subnet_id),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    vpc_id: Option<String>,
    cidr_block: Option<String>,
    availability_zone: Option<String>,
    availability_zone_id: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Serialize)]
struct SubnetOutput {
    subnet: Tagged<Shown>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let vpc_id = required(&input.vpc_id, "vpcId")?;
    let text = required(&input.cidr_block, "cidrBlock")?;
    let block = cidr(text, "InvalidSubnet.Range")?;
    let tags = specified(&input.tag_specification, "subnet")?;
    let place = call.place.clone();
    let zone = chosen_zone(&place.region, input)?;
    let ec2 = &mut call.region().ec2;
    let vpc = ec2.vpcs.get(vpc_id).ok_or_else(|| no_vpc(vpc_id))?;
    if !vpc.cidr_block.contains(&block) {
        return Err(ApiError::sender("InvalidSubnet.Range", format!("The CIDR '{text}' is invalid.")));
    }
    let overlaps = |other: &Ipv4Net| other.contains(&block) || block.contains(other);
    if ec2.subnets.values().any(|other| other.vpc_id == vpc_id && overlaps(&other.cidr_block)) {
        let message = format!("The CIDR '{text}' conflicts with another subnet");
        return Err(ApiError::sender("InvalidSubnet.Conflict", message));
    }
    let subnet = Subnet::new(ids::fresh("subnet"), vpc_id, block, &zone, false);
    ec2.tag(&subnet.subnet_id, &tags);
    ec2.subnets.insert(subnet.subnet_id.clone(), subnet.clone());
    Output::of(&SubnetOutput { subnet: shown(ec2, &place, &subnet) })
}

fn chosen_zone(region: &str, input: &CreateInput) -> Result<String, ApiError> {
    let names = zones(region);
    let found = match (&input.availability_zone, &input.availability_zone_id) {
        (Some(name), _) => names.iter().find(|zone| *zone == name),
        (None, Some(id)) => names.iter().find(|zone| zone_id(zone) == *id),
        (None, None) => names.first(),
    };
    found.cloned().ok_or_else(|| {
        let given = input.availability_zone.as_ref().or(input.availability_zone_id.as_ref());
        invalid_value(format!(
            "Value ({}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: {}.",
            given.map_or("", String::as_str),
            names.join(", ")
        ))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateDefaultInput {
    availability_zone: Option<String>,
}

pub(super) fn create_default(call: &mut Call<'_>, input: &CreateDefaultInput) -> Result<Output, ApiError> {
    let zone = required(&input.availability_zone, "availabilityZone")?;
    let place = call.place.clone();
    let ec2 = &mut call.region().ec2;
    let Some(vpc) = ec2.default_vpc().cloned() else {
        return Err(ApiError::sender("DefaultVpcDoesNotExist", "No default VPC exists for this account."));
    };
    if ec2.subnets.values().any(|subnet| subnet.default_for_az && subnet.availability_zone == zone) {
        let message = format!("A default subnet already exists in the availability zone '{zone}'.");
        return Err(ApiError::sender("DefaultSubnetAlreadyExistsInAvailabilityZone", message));
    }
    if !zones(&place.region).iter().any(|known| known == zone) {
        return Err(invalid_value(format!("Value ({zone}) for parameter availabilityZone is invalid.")));
    }
    let free = vpc.cidr_block.subnets(20).ok().into_iter().flatten().find(|block| {
        !ec2.subnets.values().any(|subnet| {
            subnet.vpc_id == vpc.vpc_id
                && (subnet.cidr_block.contains(block) || block.contains(&subnet.cidr_block))
        })
    });
    let Some(block) = free else {
        let message = "There is not enough CIDR space available in the default VPC.";
        return Err(ApiError::sender("InsufficientDefaultVpcCidrBlock", message));
    };
    let subnet = Subnet::new(ids::fresh("subnet"), &vpc.vpc_id, block, zone, true);
    ec2.subnets.insert(subnet.subnet_id.clone(), subnet.clone());
    Output::of(&SubnetOutput { subnet: shown(ec2, &place, &subnet) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteInput {
    subnet_id: Option<String>,
}

pub(super) fn delete(call: &mut Call<'_>, input: &DeleteInput) -> Result<Output, ApiError> {
    let id = required(&input.subnet_id, "subnetId")?;
    let ec2 = &mut call.region().ec2;
    if !ec2.subnets.contains_key(id) {
        return Err(no_subnet(id));
    }
    if ec2.addresses_in(id).next().is_some() {
        return Err(dependency(format!("The subnet '{id}' has dependencies and cannot be deleted.")));
    }
    ec2.subnets.shift_remove(id);
    ec2.route_tables.values_mut().for_each(|table| table.forget_subnet(id));
    ec2.uncover(id);
    ec2.next_host.remove(id);
    ec2.tags.remove(id);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    subnet_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeOutput {
    subnet_set: Vec<Tagged<Shown>>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let place = call.place.clone();
    let ec2 = &call.region().ec2;
    let wanted = Wanted { ids: &input.subnet_id, filters: &input.filter, unknown: no_subnet };
    let see = |subnet| Seen { ec2, place: &place, subnet };
    let found = wanted.seen(ec2, &ec2.subnets, see)?;
    let found = found.into_iter().map(|subnet| shown(ec2, &place, subnet)).collect();
    let (subnet_set, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { subnet_set, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyAttributeInput {
    subnet_id: Option<String>,
    map_public_ip_on_launch: Option<Flag>,
    assign_ipv6_address_on_creation: Option<Flag>,
}

pub(super) fn modify_attribute(
    call: &mut Call<'_>,
    input: &ModifyAttributeInput,
) -> Result<Output, ApiError> {
    let id = required(&input.subnet_id, "subnetId")?;
    let subnet = call.region().ec2.subnets.get_mut(id).ok_or_else(|| no_subnet(id))?;
    if let Some(flag) = &input.map_public_ip_on_launch {
        subnet.map_public_ip_on_launch = flag.value;
    }
    if let Some(flag) = &input.assign_ipv6_address_on_creation {
        subnet.assign_ipv6_address_on_creation = flag.value;
    }
    done()
}
