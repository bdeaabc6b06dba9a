//! NAT gateways: they take an address of a subnet and translate nothing.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NatGateway.html

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::addresses::no_allocation;
use super::error::{invalid_value, missing_parameter, required};
use super::filter::{Filter, Filtered, Wanted, page};
use super::tags::{TagSpecification, specified};
use super::{Ec2State, NewInterface, ids};
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

/// A NAT gateway. One that was deleted stays visible for a while, as on AWS.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NatGateway {
    id: String,
    subnet_id: String,
    pub(super) vpc_id: String,
    connectivity: String,
    allocation_id: Option<String>,
    public_ip: Option<Ipv4Addr>,
    interface_id: String,
    private_ip: Ipv4Addr,
    created: Timestamp,
    deleted: Option<Timestamp>,
}

impl NatGateway {
    pub(super) fn is_there(&self) -> bool {
        self.deleted.is_none()
    }

    /// Whether it has this elastic address.
    pub(super) fn holds(&self, allocation: &str) -> bool {
        self.is_there() && self.allocation_id.as_deref() == Some(allocation)
    }

    fn state(&self) -> &'static str {
        if self.is_there() { "available" } else { "deleted" }
    }
}

impl Filtered for NatGateway {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "nat-gateway-id" => self.id.clone(),
            "subnet-id" => self.subnet_id.clone(),
            "vpc-id" => self.vpc_id.clone(),
            "state" => self.state().to_owned(),
            _ => return None,
        }])
    }
}

fn shown(ec2: &Ec2State, gateway: &NatGateway) -> Value {
    json!({
        "natGatewayId": gateway.id, "subnetId": gateway.subnet_id, "vpcId": gateway.vpc_id,
        "state": gateway.state(), "connectivityType": gateway.connectivity,
        "createTime": Iso8601(gateway.created), "deleteTime": gateway.deleted.map(Iso8601),
        "natGatewayAddressSet": [{
            "allocationId": gateway.allocation_id, "networkInterfaceId": gateway.interface_id,
            "privateIp": gateway.private_ip, "publicIp": gateway.public_ip, "isPrimary": true,
            "status": "succeeded",
        }],
        "tagSet": ec2.tag_set(&gateway.id),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    subnet_id: Option<String>,
    allocation_id: Option<String>,
    connectivity_type: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let subnet = required(&input.subnet_id, "subnetId")?;
    let tags = specified(&input.tag_specification, "natgateway")?;
    let connectivity = input.connectivity_type.as_deref().unwrap_or("public");
    match (connectivity, &input.allocation_id) {
        ("public", None) => return Err(missing_parameter("allocationId")),
        ("private", Some(_)) => {
            return Err(invalid_value("A private NAT gateway takes no allocationId."));
        }
        ("public" | "private", _) => {}
        (other, _) => {
            return Err(invalid_value(format!("Value ({other}) for parameter connectivityType is invalid.")));
        }
    }
    let now = call.now;
    let ec2 = &mut call.region().ec2;
    let address = match &input.allocation_id {
        Some(id) => Some(ec2.elastic_ips.get(id).ok_or_else(|| no_allocation(id))?.public_ip),
        None => None,
    };
    let id = ids::fresh("nat");
    let interface = ec2.add_interface(NewInterface {
        subnet_id: subnet,
        groups: &[],
        description: format!("Interface for NAT Gateway {id}"),
        requester: "amazon-vpc",
        public_ip: false,
    })?;
    let gateway = NatGateway {
        id: id.clone(),
        subnet_id: subnet.to_owned(),
        vpc_id: interface.vpc_id,
        connectivity: connectivity.to_owned(),
        allocation_id: input.allocation_id.clone(),
        public_ip: address,
        interface_id: interface.network_interface_id,
        private_ip: interface.private_ip_address,
        created: now,
        deleted: None,
    };
    ec2.tag(&id, &tags);
    let answer = shown(ec2, &gateway);
    ec2.nat_gateways.insert(id, gateway);
    Output::of(&json!({ "natGateway": answer }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteInput {
    nat_gateway_id: Option<String>,
}

fn no_gateway(id: &str) -> ApiError {
    ApiError::sender("NatGatewayNotFound", format!("The Nat Gateway {id} was not found"))
}

pub(super) fn delete(call: &mut Call<'_>, input: &DeleteInput) -> Result<Output, ApiError> {
    let id = required(&input.nat_gateway_id, "natGatewayId")?;
    let now = call.now;
    let ec2 = &mut call.region().ec2;
    let gateway = ec2.nat_gateways.get_mut(id).ok_or_else(|| no_gateway(id))?;
    gateway.deleted.get_or_insert(now);
    let interface = gateway.interface_id.clone();
    ec2.remove_interface(&interface);
    Output::of(&json!({ "natGatewayId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    nat_gateway_id: Vec<String>,
    #[serde(default, alias = "Filters")]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let ec2 = &call.region().ec2;
    let wanted = Wanted { ids: &input.nat_gateway_id, filters: &input.filter, unknown: no_gateway };
    let found = wanted.of(ec2, &ec2.nat_gateways)?.into_iter().map(|gateway| shown(ec2, gateway)).collect();
    let (gateways, next) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&json!({ "natGatewaySet": gateways, "nextToken": next }))
}
