//! Routes: where a route table sends what has a destination.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateRoute.html

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::{invalid_value, missing_parameter, no_gateway, no_interface, no_route_table, required};
use super::{Ec2State, done};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A route. Answers and the saved world name its fields in camel case, requests in Pascal case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Route {
    #[serde(flatten)]
    destination: Destination,
    #[serde(flatten)]
    target: Target,
    state: String,
    origin: String,
}

/// One of these is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Destination {
    #[serde(alias = "DestinationCidrBlock")]
    destination_cidr_block: Option<String>,
    #[serde(alias = "DestinationIpv6CidrBlock")]
    destination_ipv6_cidr_block: Option<String>,
    #[serde(alias = "DestinationPrefixListId")]
    destination_prefix_list_id: Option<String>,
}

/// One of these is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Target {
    #[serde(alias = "GatewayId")]
    gateway_id: Option<String>,
    #[serde(alias = "NatGatewayId")]
    nat_gateway_id: Option<String>,
    #[serde(alias = "NetworkInterfaceId")]
    network_interface_id: Option<String>,
    #[serde(alias = "EgressOnlyInternetGatewayId")]
    egress_only_internet_gateway_id: Option<String>,
    #[serde(alias = "TransitGatewayId")]
    transit_gateway_id: Option<String>,
    #[serde(alias = "VpcPeeringConnectionId")]
    vpc_peering_connection_id: Option<String>,
}

impl Destination {
    fn text(&self) -> Option<(&'static str, &str)> {
        let fields = [
            ("destination-cidr-block", &self.destination_cidr_block),
            ("destination-ipv6-cidr-block", &self.destination_ipv6_cidr_block),
            ("destination-prefix-list-id", &self.destination_prefix_list_id),
        ];
        fields.into_iter().find_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

impl Target {
    /// Refuses what is missing, and what is of a kind that the cloud has and is not there.
    fn check(&self, ec2: &Ec2State) -> Result<(), ApiError> {
        let others = [
            &self.egress_only_internet_gateway_id,
            &self.transit_gateway_id,
            &self.vpc_peering_connection_id,
        ];
        let given = [&self.gateway_id, &self.nat_gateway_id, &self.network_interface_id];
        match given.into_iter().chain(others).flatten().count() {
            0 => return Err(missing_parameter("gatewayId")),
            1 => {}
            _ => return Err(invalid_value("Exactly one target of a route must be given.")),
        }
        if let Some(id) = self.gateway_id.as_deref().filter(|id| *id != "local") {
            ec2.gateways.get(id).ok_or_else(|| no_gateway(id))?;
        }
        if let Some(id) = &self.nat_gateway_id {
            ec2.nat_gateway(id)?;
        }
        if let Some(id) = &self.network_interface_id {
            ec2.interfaces.get(id).ok_or_else(|| no_interface(id))?;
        }
        Ok(())
    }
}

impl Route {
    /// The way inside of a VPC.
    pub(super) fn local(block: &str) -> Self {
        let target = Target { gateway_id: Some("local".to_owned()), ..Target::default() };
        Self { origin: "CreateRouteTable".to_owned(), ..Self::to(block, target) }
    }

    /// The way to the internet.
    pub(super) fn outside(gateway: &str) -> Self {
        Self::to("0.0.0.0/0", Target { gateway_id: Some(gateway.to_owned()), ..Target::default() })
    }

    fn to(block: &str, target: Target) -> Self {
        let destination =
            Destination { destination_cidr_block: Some(block.to_owned()), ..Destination::default() };
        Self::new(destination, target)
    }

    fn new(destination: Destination, target: Target) -> Self {
        Self { destination, target, state: "active".to_owned(), origin: "CreateRoute".to_owned() }
    }

    fn is_local(&self) -> bool {
        self.target.gateway_id.as_deref() == Some("local")
    }

    /// What a filter on `route.…` looks at; nothing if there is no such filter.
    pub(super) fn detail(&self, name: &str) -> Option<Option<String>> {
        let (destination, target) = (&self.destination, &self.target);
        Some(match name {
            "destination-cidr-block" => destination.destination_cidr_block.clone(),
            "destination-ipv6-cidr-block" => destination.destination_ipv6_cidr_block.clone(),
            "destination-prefix-list-id" => destination.destination_prefix_list_id.clone(),
            "gateway-id" => target.gateway_id.clone(),
            "nat-gateway-id" => target.nat_gateway_id.clone(),
            "egress-only-internet-gateway-id" => target.egress_only_internet_gateway_id.clone(),
            "transit-gateway-id" => target.transit_gateway_id.clone(),
            "vpc-peering-connection-id" => target.vpc_peering_connection_id.clone(),
            "instance-id" => None,
            "origin" => Some(self.origin.clone()),
            "state" => Some(self.state.clone()),
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RouteInput {
    route_table_id: Option<String>,
    #[serde(flatten)]
    destination: Destination,
    #[serde(flatten)]
    target: Target,
}

impl RouteInput {
    fn destination(&self) -> Result<(&'static str, &str), ApiError> {
        let blocks = [
            ("destinationCidrBlock", &self.destination.destination_cidr_block, true),
            ("destinationIpv6CidrBlock", &self.destination.destination_ipv6_cidr_block, false),
        ];
        for (name, block, v4) in blocks {
            let Some(text) = block else { continue };
            let sound = text.parse::<IpNet>().is_ok_and(|net| matches!(net, IpNet::V4(_)) == v4);
            if !sound {
                return Err(invalid_value(format!(
                    "Value ({text}) for parameter {name} is invalid. This is not a valid CIDR block."
                )));
            }
        }
        self.destination.text().ok_or_else(|| missing_parameter("destinationCidrBlock"))
    }

    fn not_found(&self) -> ApiError {
        let (name, text) = self.destination.text().unwrap_or_default();
        let table = self.route_table_id.as_deref().unwrap_or_default();
        let message = format!("no route with {name} {text} in route table {table}");
        ApiError::sender("InvalidRoute.NotFound", message)
    }
}

pub(super) fn create(call: &mut Call<'_>, input: &RouteInput) -> Result<Output, ApiError> {
    let id = required(&input.route_table_id, "routeTableId")?;
    let (_, text) = input.destination()?;
    let ec2 = &mut call.region().ec2;
    input.target.check(ec2)?;
    let table = ec2.route_tables.get_mut(id).ok_or_else(|| no_route_table(id))?;
    if table.route_set.iter().any(|route| route.destination == input.destination) {
        let message = format!("The route identified by {text} already exists.");
        return Err(ApiError::sender("RouteAlreadyExists", message));
    }
    table.route_set.push(Route::new(input.destination.clone(), input.target.clone()));
    done()
}

/// Gives a route another target.
pub(super) fn replace(call: &mut Call<'_>, input: &RouteInput) -> Result<Output, ApiError> {
    let id = required(&input.route_table_id, "routeTableId")?;
    input.destination()?;
    let ec2 = &mut call.region().ec2;
    input.target.check(ec2)?;
    let table = ec2.route_tables.get_mut(id).ok_or_else(|| no_route_table(id))?;
    let route = table.route_set.iter_mut().find(|route| route.destination == input.destination);
    route.ok_or_else(|| input.not_found())?.target = input.target.clone();
    done()
}

pub(super) fn delete(call: &mut Call<'_>, input: &RouteInput) -> Result<Output, ApiError> {
    let id = required(&input.route_table_id, "routeTableId")?;
    input.destination()?;
    let table = call.region().ec2.route_tables.get_mut(id).ok_or_else(|| no_route_table(id))?;
    let before = table.route_set.len();
    table.route_set.retain(|route| route.destination != input.destination || route.is_local());
    if table.route_set.len() == before {
        return Err(input.not_found());
    }
    done()
}
