//! Elastic IP addresses: of the block for documentation, so that none looks like somebody's.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AllocateAddress.html

use std::net::Ipv4Addr;

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::{missing_parameter, no_interface};
use super::filter::{Filter, Filtered, passes};
use super::tags::{TagItem, TagSpecification, specified};
use super::{Ec2State, done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// An address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Address {
    pub(super) allocation_id: String,
    pub(super) public_ip: Ipv4Addr,
    domain: String,
    network_border_group: String,
    public_ipv4_pool: String,
    pub(super) association_id: Option<String>,
    pub(super) network_interface_id: Option<String>,
    pub(super) private_ip_address: Option<Ipv4Addr>,
}

impl Filtered for Address {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(match filter {
            "allocation-id" => vec![self.allocation_id.clone()],
            "association-id" => self.association_id.iter().cloned().collect(),
            "domain" => vec![self.domain.clone()],
            "network-interface-id" => self.network_interface_id.iter().cloned().collect(),
            "private-ip-address" => self.private_ip_address.iter().map(Ipv4Addr::to_string).collect(),
            "public-ip" => vec![self.public_ip.to_string()],
            "network-border-group" => vec![self.network_border_group.clone()],
            "instance-id" | "network-interface-owner-id" => vec![],
            _ => return None,
        })
    }
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
    let public_ip = ec2.unused_address();
    let address = Address {
        allocation_id: ids::fresh("eipalloc"),
        public_ip,
        domain: "vpc".to_owned(),
        network_border_group: region,
        public_ipv4_pool: "amazon".to_owned(),
        association_id: None,
        network_interface_id: None,
        private_ip_address: None,
    };
    ec2.tag(&address.allocation_id, &tags);
    ec2.addresses.insert(address.allocation_id.clone(), address.clone());
    Output::of(&address)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddressInput {
    allocation_id: Option<String>,
    association_id: Option<String>,
    public_ip: Option<String>,
    network_interface_id: Option<String>,
    #[serde(default)]
    allow_reassociation: bool,
}

impl Ec2State {
    fn unused_address(&self) -> Ipv4Addr {
        loop {
            let [a, b] = rand::rng().random::<[u8; 2]>();
            let address = Ipv4Addr::new(198, 18 + (a & 1), b, (a >> 1) | 1);
            if self.addresses.values().all(|known| known.public_ip != address) {
                return address;
            }
        }
    }

    /// The address with this allocation id.
    pub(super) fn address_mut(&mut self, id: &str) -> Result<&mut Address, ApiError> {
        self.addresses.get_mut(id).ok_or_else(|| no_allocation(id))
    }

    /// The allocation id of what a request names.
    fn allocation(&self, input: &AddressInput) -> Result<String, ApiError> {
        if let Some(id) = &input.allocation_id {
            return self.addresses.get(id).map(|_| id.clone()).ok_or_else(|| no_allocation(id));
        }
        let ip = input.public_ip.as_ref().ok_or_else(|| missing_parameter("AllocationId"))?;
        let mut all = self.addresses.values();
        let found = all.find(|address| address.public_ip.to_string() == *ip);
        found.map(|address| address.allocation_id.clone()).ok_or_else(|| no_address(ip))
    }
}

fn no_allocation(id: &str) -> ApiError {
    let message = format!("The allocation ID '{id}' does not exist");
    ApiError::sender("InvalidAllocationID.NotFound", message)
}

fn no_address(ip: &str) -> ApiError {
    ApiError::sender("InvalidAddress.NotFound", format!("Address '{ip}' not found."))
}

pub(super) fn release(call: &mut Call<'_>, input: &AddressInput) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let id = ec2.allocation(input)?;
    if ec2.address_mut(&id)?.association_id.is_some() {
        let message = format!("Address '{id}' is in use.");
        return Err(ApiError::sender("InvalidIPAddress.InUse", message));
    }
    ec2.addresses.shift_remove(&id);
    ec2.tags.remove(&id);
    done()
}

/// With a network interface only: the cloud has no instances.
pub(super) fn associate(call: &mut Call<'_>, input: &AddressInput) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let id = ec2.allocation(input)?;
    let interface_id =
        input.network_interface_id.clone().ok_or_else(|| missing_parameter("networkInterfaceId"))?;
    let interface = ec2.interfaces.get(&interface_id).ok_or_else(|| no_interface(&interface_id))?;
    let private = interface.private_ip_address;
    let address = ec2.address_mut(&id)?;
    if address.association_id.is_some() && !input.allow_reassociation {
        let message = format!("resource {id} is already associated with associate-id");
        return Err(ApiError::sender("Resource.AlreadyAssociated", message));
    }
    let association_id = ids::fresh("eipassoc");
    address.association_id = Some(association_id.clone());
    address.network_interface_id = Some(interface_id.clone());
    address.private_ip_address = Some(private);
    let public_ip = address.public_ip;
    if let Some(interface) = ec2.interfaces.get_mut(&interface_id) {
        interface.public_ip = Some(public_ip);
    }
    Output::of(&json!({ "return": true, "associationId": association_id }))
}

pub(super) fn disassociate(call: &mut Call<'_>, input: &AddressInput) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let by_id = |id: &String| {
        let mut all = ec2.addresses.values();
        all.find(|known| known.association_id.as_ref() == Some(id)).map(|known| known.allocation_id.clone())
    };
    let id = match &input.association_id {
        Some(id) => by_id(id).ok_or_else(|| {
            let message = format!("The association ID '{id}' does not exist");
            ApiError::sender("InvalidAssociationID.NotFound", message)
        })?,
        None => ec2.allocation(input)?,
    };
    let address = ec2.address_mut(&id)?;
    address.association_id = None;
    address.private_ip_address = None;
    let interface = address.network_interface_id.take();
    if let Some(interface) = interface.and_then(|id| ec2.interfaces.get_mut(&id)) {
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    address: Address,
    network_interface_owner_id: Option<String>,
    tag_set: Vec<TagItem>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let ec2 = &call.region().ec2;
    if let Some(unknown) = input.allocation_id.iter().find(|id| !ec2.addresses.contains_key(*id)) {
        return Err(no_allocation(unknown));
    }
    let is_known = |ip: &String| ec2.addresses.values().any(|known| known.public_ip.to_string() == *ip);
    if let Some(unknown) = input.public_ip.iter().find(|ip| !is_known(ip)) {
        return Err(no_address(unknown));
    }
    let mut found = Vec::new();
    for (id, address) in &ec2.addresses {
        let named = input.allocation_id.is_empty() || input.allocation_id.contains(id);
        let by_ip = input.public_ip.is_empty() || input.public_ip.contains(&address.public_ip.to_string());
        if named && by_ip && passes(&input.filter, address, ec2.tags_of(id))? {
            found.push(Shown {
                network_interface_owner_id: address.association_id.as_ref().map(|_| account.clone()),
                address: address.clone(),
                tag_set: ec2.tag_set(id),
            });
        }
    }
    Output::of(&json!({ "addressesSet": found }))
}
