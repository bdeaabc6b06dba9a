//! NAT gateways, as records: there at once, and gone at once.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNatGateway.html

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::{missing_parameter, required};
use super::filter::{Filter, Filtered, page, passes};
use super::tags::{TagItem, TagSpecification, specified};
use super::{Ec2State, NewInterface, ids};
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

/// A NAT gateway. One that was deleted stays to be seen for a while, as `deleted`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NatGateway {
    id: String,
    subnet_id: String,
    vpc_id: String,
    connectivity: String,
    allocation_id: Option<String>,
    interface_id: String,
    created: Timestamp,
    deleted: Option<Timestamp>,
}

impl NatGateway {
    fn state(&self) -> &'static str {
        if self.deleted.is_some() { "deleted" } else { "available" }
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.is_some()
    }

    /// Whether it is in the way of its VPC's deletion.
    pub(super) fn is_in_vpc(&self, vpc: &str) -> bool {
        self.deleted.is_none() && self.vpc_id == vpc
    }
}

impl Filtered for NatGateway {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "nat-gateway-id" => self.id.clone(),
            "state" => self.state().to_owned(),
            "subnet-id" => self.subnet_id.clone(),
            "vpc-id" => self.vpc_id.clone(),
            _ => return None,
        }])
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    nat_gateway_id: String,
    subnet_id: String,
    vpc_id: String,
    state: &'static str,
    connectivity_type: String,
    create_time: Iso8601,
    delete_time: Option<Iso8601>,
    nat_gateway_address_set: Vec<ShownAddress>,
    tag_set: Vec<TagItem>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownAddress {
    allocation_id: Option<String>,
    association_id: Option<String>,
    network_interface_id: String,
    private_ip: Option<String>,
    public_ip: Option<String>,
    is_primary: bool,
    status: &'static str,
}

impl Ec2State {
    /// The NAT gateway with this id, deleted or not.
    pub(super) fn nat_gateway(&self, id: &str) -> Result<&NatGateway, ApiError> {
        self.nat_gateways.get(id).ok_or_else(|| {
            let message = format!("NatGateway {id} was not found");
            ApiError::sender("NatGatewayNotFound", message)
        })
    }

    fn shown_nat(&self, gateway: &NatGateway) -> Shown {
        let interface = self.interfaces.get(&gateway.interface_id);
        let address = gateway.allocation_id.as_ref().and_then(|id| self.addresses.get(id));
        Shown {
            nat_gateway_id: gateway.id.clone(),
            subnet_id: gateway.subnet_id.clone(),
            vpc_id: gateway.vpc_id.clone(),
            state: gateway.state(),
            connectivity_type: gateway.connectivity.clone(),
            create_time: Iso8601(gateway.created),
            delete_time: gateway.deleted.map(Iso8601),
            nat_gateway_address_set: vec![ShownAddress {
                allocation_id: gateway.allocation_id.clone(),
                association_id: address.and_then(|address| address.association_id.clone()),
                network_interface_id: gateway.interface_id.clone(),
                private_ip: interface.map(|interface| interface.private_ip_address.to_string()),
                public_ip: address.map(|address| address.public_ip.to_string()),
                is_primary: true,
                status: "succeeded",
            }],
            tag_set: self.tag_set(&gateway.id),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    subnet_id: Option<String>,
    allocation_id: Option<String>,
    connectivity_type: Option<String>,
    client_token: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let subnet_id = required(&input.subnet_id, "SubnetId")?;
    let tags = specified(&input.tag_specification, "natgateway")?;
    let connectivity = input.connectivity_type.clone().unwrap_or_else(|| "public".to_owned());
    if connectivity == "public" && input.allocation_id.is_none() {
        return Err(missing_parameter("AllocationId"));
    }
    let now = call.now;
    let ec2 = &mut call.region().ec2;
    if let Some(id) = &input.allocation_id
        && ec2.address_mut(id)?.association_id.is_some()
    {
        let message = format!("Elastic IP address [{id}] is already associated");
        return Err(ApiError::sender("Resource.AlreadyAssociated", message));
    }
    let id = ids::fresh("nat");
    let interface = ec2.add_interface(NewInterface {
        subnet_id,
        groups: &[],
        description: format!("Interface for NAT Gateway {id}"),
        requester: "amazon-nat",
        public_ip: false,
    })?;
    if let Some(allocation) = &input.allocation_id {
        let address = ec2.address_mut(allocation)?;
        address.association_id = Some(ids::fresh("eipassoc"));
        address.network_interface_id = Some(interface.network_interface_id.clone());
        address.private_ip_address = Some(interface.private_ip_address);
    }
    let gateway = NatGateway {
        id: id.clone(),
        subnet_id: subnet_id.to_owned(),
        vpc_id: interface.vpc_id,
        connectivity,
        allocation_id: input.allocation_id.clone(),
        interface_id: interface.network_interface_id,
        created: now,
        deleted: None,
    };
    ec2.tag(&id, &tags);
    ec2.nat_gateways.insert(id, gateway.clone());
    Output::of(&json!({ "natGateway": ec2.shown_nat(&gateway), "clientToken": input.client_token }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteInput {
    nat_gateway_id: Option<String>,
}

pub(super) fn delete(call: &mut Call<'_>, input: &DeleteInput) -> Result<Output, ApiError> {
    let id = required(&input.nat_gateway_id, "NatGatewayId")?;
    let now = call.now;
    let ec2 = &mut call.region().ec2;
    let gateway = ec2.nat_gateway(id)?.clone();
    ec2.remove_interface(&gateway.interface_id);
    if let Some(address) = gateway.allocation_id.as_ref().and_then(|id| ec2.addresses.get_mut(id)) {
        address.association_id = None;
        address.network_interface_id = None;
        address.private_ip_address = None;
    }
    if let Some(gateway) = ec2.nat_gateways.get_mut(id) {
        gateway.deleted.get_or_insert(now);
    }
    Output::of(&json!({ "natGatewayId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    nat_gateway_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let ec2 = &call.region().ec2;
    for id in &input.nat_gateway_id {
        ec2.nat_gateway(id)?;
    }
    let mut found = Vec::new();
    for (id, gateway) in &ec2.nat_gateways {
        let named = input.nat_gateway_id.is_empty() || input.nat_gateway_id.contains(id);
        if named && passes(&input.filter, gateway, ec2.tags_of(id))? {
            found.push(ec2.shown_nat(gateway));
        }
    }
    let (found, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&json!({ "natGatewaySet": found, "nextToken": next_token }))
}
