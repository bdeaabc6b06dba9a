//! Elastic IP addresses. They lead nowhere: what listens has a loopback address.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AllocateAddress.html and its neighbours

use std::net::Ipv4Addr;

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{missing_parameter, no_interface, required};
use super::filter::{Filter, Filtered, passes};
use super::tags::{TagSpecification, specified};
use super::{Ec2State, done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// An address of the account's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ElasticIp {
    pub(super) allocation_id: String,
    pub(super) public_ip: Ipv4Addr,
    pub(super) association: Option<Association>,
}

/// What an address is bound to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Association {
    pub(super) id: String,
    pub(super) interface_id: String,
    private_ip: Ipv4Addr,
}

impl Filtered for ElasticIp {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let bound = |part: fn(&Association) -> String| self.association.iter().map(part).collect();
        Some(match filter {
            "allocation-id" => vec![self.allocation_id.clone()],
            "public-ip" => vec![self.public_ip.to_string()],
            "domain" => vec!["vpc".to_owned()],
            "association-id" => bound(|association| association.id.clone()),
            "network-interface-id" => bound(|association| association.interface_id.clone()),
            "private-ip-address" => bound(|association| association.private_ip.to_string()),
            "instance-id" | "network-interface-owner-id" | "network-border-group" => vec![],
            _ => return None,
        })
    }
}

fn shown(ec2: &Ec2State, account: &str, region: &str, address: &ElasticIp) -> Value {
    let association = address.association.as_ref();
    json!({
        "publicIp": address.public_ip, "allocationId": address.allocation_id, "domain": "vpc",
        "publicIpv4Pool": "amazon", "networkBorderGroup": region,
        "associationId": association.map(|it| &it.id),
        "networkInterfaceId": association.map(|it| &it.interface_id),
        "networkInterfaceOwnerId": association.map(|_| account),
        "privateIpAddress": association.map(|it| it.private_ip),
        "tagSet": ec2.tag_set(&address.allocation_id),
    })
}

/// From the block for benchmarks: it must not look like somebody's address.
pub(super) fn public_ip() -> Ipv4Addr {
    let [a, b, c] = rand::rng().random::<[u8; 3]>();
    Ipv4Addr::new(198, 18 + (a & 1), b, c | 1)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AllocateInput {
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

pub(super) fn allocate(call: &mut Call<'_>, input: &AllocateInput) -> Result<Output, ApiError> {
    let tags = specified(&input.tag_specification, "elastic-ip")?;
    let region = call.place.region.clone();
    let ec2 = &mut call.region().ec2;
    let address =
        ElasticIp { allocation_id: ids::fresh("eipalloc"), public_ip: public_ip(), association: None };
    ec2.tag(&address.allocation_id, &tags);
    ec2.elastic_ips.insert(address.allocation_id.clone(), address.clone());
    Output::of(&json!({
        "publicIp": address.public_ip, "allocationId": address.allocation_id, "domain": "vpc",
        "publicIpv4Pool": "amazon", "networkBorderGroup": region,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddressInput {
    allocation_id: Option<String>,
    association_id: Option<String>,
    public_ip: Option<Ipv4Addr>,
    network_interface_id: Option<String>,
    private_ip_address: Option<Ipv4Addr>,
    #[serde(default)]
    allow_reassociation: bool,
}

impl AddressInput {
    fn find<'a>(&self, ec2: &'a mut Ec2State) -> Result<&'a mut ElasticIp, ApiError> {
        if let Some(id) = &self.allocation_id {
            return ec2.elastic_ips.get_mut(id).ok_or_else(|| no_allocation(id));
        }
        let ip = self.public_ip.ok_or_else(|| missing_parameter("allocationId"))?;
        ec2.elastic_ips.values_mut().find(|address| address.public_ip == ip).ok_or_else(|| no_address(ip))
    }
}

pub(super) fn no_allocation(id: &str) -> ApiError {
    let message = format!("The allocation ID '{id}' does not exist");
    ApiError::sender("InvalidAllocationID.NotFound", message)
}

fn no_address(ip: impl std::fmt::Display) -> ApiError {
    ApiError::sender("InvalidAddress.NotFound", format!("Address '{ip}' not found."))
}

pub(super) fn release(call: &mut Call<'_>, input: &AddressInput) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let address = input.find(ec2)?.clone();
    let in_use = address.association.is_some()
        || ec2.nat_gateways.values().any(|nat| nat.holds(&address.allocation_id));
    if in_use {
        let message = format!("Address with allocation id {} is in use.", address.allocation_id);
        return Err(ApiError::sender("InvalidIPAddress.InUse", message));
    }
    ec2.elastic_ips.shift_remove(&address.allocation_id);
    ec2.tags.remove(&address.allocation_id);
    done()
}

pub(super) fn associate(call: &mut Call<'_>, input: &AddressInput) -> Result<Output, ApiError> {
    let id = required(&input.network_interface_id, "networkInterfaceId")?;
    let ec2 = &mut call.region().ec2;
    let interface = ec2.interfaces.get(id).ok_or_else(|| no_interface(id))?;
    let own = interface.private_ip_address;
    let address = input.find(ec2)?;
    let elsewhere = address.association.as_ref().is_some_and(|known| known.interface_id != id);
    if elsewhere && !input.allow_reassociation {
        let message =
            format!("resource {} is already associated with another resource", address.allocation_id);
        return Err(ApiError::sender("Resource.AlreadyAssociated", message));
    }
    let association = Association {
        id: ids::fresh("eipassoc"),
        interface_id: id.to_owned(),
        private_ip: input.private_ip_address.unwrap_or(own),
    };
    let (public_ip, association_id) = (address.public_ip, association.id.clone());
    let before = address.association.replace(association);
    if let Some(left) = before.and_then(|known| ec2.interfaces.get_mut(&known.interface_id)) {
        left.public_ip = None;
    }
    if let Some(interface) = ec2.interfaces.get_mut(id) {
        interface.public_ip = Some(public_ip);
    }
    Output::of(&json!({ "return": true, "associationId": association_id }))
}

pub(super) fn disassociate(call: &mut Call<'_>, input: &AddressInput) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let address = match &input.association_id {
        Some(id) => {
            let bound = |address: &&mut ElasticIp| {
                address.association.as_ref().is_some_and(|association| association.id == *id)
            };
            let message = format!("The association ID '{id}' does not exist");
            let unknown = || ApiError::sender("InvalidAssociationID.NotFound", message);
            ec2.elastic_ips.values_mut().find(bound).ok_or_else(unknown)?
        }
        None if input.public_ip.is_none() => return Err(missing_parameter("associationId")),
        None => input.find(ec2)?,
    };
    let left = address.association.take();
    if let Some(interface) = left.and_then(|known| ec2.interfaces.get_mut(&known.interface_id)) {
        interface.public_ip = None;
    }
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    allocation_id: Vec<String>,
    #[serde(default)]
    public_ip: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let place = call.place.clone();
    let ec2 = &call.region().ec2;
    if let Some(unknown) = input.allocation_id.iter().find(|id| !ec2.elastic_ips.contains_key(*id)) {
        return Err(no_allocation(unknown));
    }
    let exists = |ip: &str| ec2.elastic_ips.values().any(|address| address.public_ip.to_string() == ip);
    if let Some(unknown) = input.public_ip.iter().find(|ip| !exists(ip)) {
        return Err(no_address(unknown));
    }
    let mut found = Vec::new();
    for address in ec2.elastic_ips.values() {
        let by_id = input.allocation_id.is_empty() || input.allocation_id.contains(&address.allocation_id);
        let by_ip = input.public_ip.is_empty() || input.public_ip.contains(&address.public_ip.to_string());
        if by_id && by_ip && passes(&input.filter, address, ec2.tags_of(&address.allocation_id))? {
            found.push(shown(ec2, &place.account, &place.region, address));
        }
    }
    Output::of(&json!({ "addressesSet": found }))
}

/// DescribeAddressesAttribute: no address has a domain name.
pub(super) fn describe_attribute(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let addresses = call.region().ec2.elastic_ips.values();
    let wanted = |id: &String| input.allocation_id.is_empty() || input.allocation_id.contains(id);
    let shown: Vec<Value> = addresses
        .filter(|address| wanted(&address.allocation_id))
        .map(|address| json!({ "publicIp": address.public_ip, "allocationId": address.allocation_id }))
        .collect();
    Output::of(&json!({ "addressSet": shown }))
}
