//! Route tables.

use serde::{Deserialize, Serialize};

use super::error::{dependency, no_gateway, no_route_table, no_subnet, no_vpc, required};
use super::filter::{Filter, Filtered, Wanted, page};
use super::tags::{TagSpecification, Tagged, specified};
use super::{Ec2State, Vpc, done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A route table. Nothing is routed by it: every address of the cloud is on loopback.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteTable {
    pub(super) route_table_id: String,
    pub(super) vpc_id: String,
    pub(super) route_set: Vec<Route>,
    pub(super) association_set: Vec<Association>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Route {
    destination_cidr_block: Option<String>,
    #[serde(default)]
    destination_ipv6_cidr_block: Option<String>,
    #[serde(default)]
    destination_prefix_list_id: Option<String>,
    gateway_id: Option<String>,
    nat_gateway_id: Option<String>,
    network_interface_id: Option<String>,
    #[serde(default)]
    vpc_endpoint_id: Option<String>,
    #[serde(default)]
    transit_gateway_id: Option<String>,
    #[serde(default)]
    vpc_peering_connection_id: Option<String>,
    state: String,
    origin: String,
}

impl Route {
    /// Where the traffic of this route wants to go.
    pub(super) fn destination(&self) -> &str {
        let destinations = [
            &self.destination_cidr_block,
            &self.destination_ipv6_cidr_block,
            &self.destination_prefix_list_id,
        ];
        destinations.into_iter().flatten().next().map_or("", String::as_str)
    }

    /// A route to a gateway.
    fn through(destination: String, gateway: &str, origin: &str) -> Self {
        Self {
            destination_cidr_block: Some(destination),
            destination_ipv6_cidr_block: None,
            destination_prefix_list_id: None,
            gateway_id: Some(gateway.to_owned()),
            nat_gateway_id: None,
            network_interface_id: None,
            vpc_endpoint_id: None,
            transit_gateway_id: None,
            vpc_peering_connection_id: None,
            state: "active".to_owned(),
            origin: origin.to_owned(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Association {
    pub(super) route_table_association_id: String,
    pub(super) route_table_id: String,
    subnet_id: Option<String>,
    main: bool,
    association_state: AssociationState,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct AssociationState {
    state: String,
}

fn association(table: &str, id: String, subnet: Option<String>) -> Association {
    Association {
        route_table_association_id: id,
        route_table_id: table.to_owned(),
        main: subnet.is_none(),
        subnet_id: subnet,
        association_state: AssociationState { state: "associated".to_owned() },
    }
}

impl RouteTable {
    /// A table that knows the way inside of its VPC.
    pub(super) fn new(route_table_id: String, vpc: &Vpc) -> Self {
        let local = Route::through(vpc.cidr_block.to_string(), "local", "CreateRouteTable");
        Self { route_table_id, vpc_id: vpc.vpc_id.clone(), route_set: vec![local], association_set: vec![] }
    }

    /// Makes it the table of every subnet that has no other.
    pub(super) fn make_main(&mut self, association_id: String) {
        self.association_set.push(association(&self.route_table_id, association_id, None));
    }

    /// Sends the internet's traffic to a gateway.
    pub(super) fn lead_outside(&mut self, gateway: &str) {
        self.route_set.push(Route::through("0.0.0.0/0".to_owned(), gateway, "CreateRoute"));
    }

    pub(super) fn is_main(&self) -> bool {
        self.association_set.iter().any(|association| association.main)
    }

    pub(super) fn forget_subnet(&mut self, subnet: &str) {
        self.association_set.retain(|association| association.subnet_id.as_deref() != Some(subnet));
    }
}

impl Filtered for RouteTable {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let associations = self.association_set.iter();
        let routes = self.route_set.iter();
        Some(match filter {
            "route-table-id" | "association.route-table-id" => vec![self.route_table_id.clone()],
            "vpc-id" => vec![self.vpc_id.clone()],
            "association.main" => associations.map(|association| association.main.to_string()).collect(),
            "association.subnet-id" => associations.filter_map(|a| a.subnet_id.clone()).collect(),
            "association.route-table-association-id" => {
                associations.map(|a| a.route_table_association_id.clone()).collect()
            }
            "route.destination-cidr-block" => {
                routes.filter_map(|r| r.destination_cidr_block.clone()).collect()
            }
            "route.destination-ipv6-cidr-block" => {
                routes.filter_map(|r| r.destination_ipv6_cidr_block.clone()).collect()
            }
            "route.destination-prefix-list-id" => {
                routes.filter_map(|r| r.destination_prefix_list_id.clone()).collect()
            }
            "route.transit-gateway-id" => routes.filter_map(|r| r.transit_gateway_id.clone()).collect(),
            "route.vpc-peering-connection-id" => {
                routes.filter_map(|r| r.vpc_peering_connection_id.clone()).collect()
            }
            "route.nat-gateway-id" => routes.filter_map(|route| route.nat_gateway_id.clone()).collect(),
            "route.gateway-id" => routes.filter_map(|route| route.gateway_id.clone()).collect(),
            "route.origin" => routes.map(|route| route.origin.clone()).collect(),
            "route.state" => routes.map(|route| route.state.clone()).collect(),
            // Tables are associated with subnets only, and no route leads to these.
            "association.gateway-id" | "route.egress-only-internet-gateway-id" | "route.instance-id" => {
                vec![]
            }
            _ => return None,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    table: RouteTable,
    propagating_vgw_set: [String; 0],
}

fn tagged(ec2: &Ec2State, account: &str, table: &RouteTable) -> Tagged<Shown> {
    let tag_set = ec2.tag_set(&table.route_table_id);
    let resource = Shown { table: table.clone(), propagating_vgw_set: [] };
    Tagged { resource, owner_id: account.to_owned(), tag_set }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    vpc_id: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateOutput {
    route_table: Tagged<Shown>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let vpc_id = required(&input.vpc_id, "vpcId")?;
    let tags = specified(&input.tag_specification, "route-table")?;
    let account = call.place.account.clone();
    let ec2 = &mut call.region().ec2;
    let vpc = ec2.vpcs.get(vpc_id).ok_or_else(|| no_vpc(vpc_id))?;
    let table = RouteTable::new(ids::fresh("rtb"), vpc);
    ec2.tag(&table.route_table_id, &tags);
    ec2.route_tables.insert(table.route_table_id.clone(), table.clone());
    Output::of(&CreateOutput { route_table: tagged(ec2, &account, &table) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TableInput {
    route_table_id: Option<String>,
}

pub(super) fn delete(call: &mut Call<'_>, input: &TableInput) -> Result<Output, ApiError> {
    let id = required(&input.route_table_id, "routeTableId")?;
    let ec2 = &mut call.region().ec2;
    let table = ec2.route_tables.get(id).ok_or_else(|| no_route_table(id))?;
    if !table.association_set.is_empty() {
        return Err(dependency(format!("The routeTable '{id}' has dependencies and cannot be deleted.")));
    }
    ec2.route_tables.shift_remove(id);
    ec2.tags.remove(id);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    route_table_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeOutput {
    route_table_set: Vec<Tagged<Shown>>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let ec2 = &call.region().ec2;
    let wanted = Wanted { ids: &input.route_table_id, filters: &input.filter, unknown: no_route_table };
    let found = wanted
        .owned(ec2, &account, &ec2.route_tables)?
        .into_iter()
        .map(|table| tagged(ec2, &account, table))
        .collect();
    let (route_table_set, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { route_table_set, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AssociateInput {
    route_table_id: Option<String>,
    subnet_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssociateOutput {
    association_id: String,
    association_state: AssociationState,
}

pub(super) fn associate(call: &mut Call<'_>, input: &AssociateInput) -> Result<Output, ApiError> {
    let id = required(&input.route_table_id, "routeTableId")?;
    let subnet = required(&input.subnet_id, "subnetId")?;
    let ec2 = &mut call.region().ec2;
    if !ec2.subnets.contains_key(subnet) {
        return Err(no_subnet(subnet));
    }
    if !ec2.route_tables.contains_key(id) {
        return Err(no_route_table(id));
    }
    let has_one = |table: &RouteTable| {
        table.association_set.iter().any(|association| association.subnet_id.as_deref() == Some(subnet))
    };
    if ec2.route_tables.values().any(has_one) {
        let message =
            format!("the specified association for route table {id} conflicts with an existing association");
        return Err(ApiError::sender("Resource.AlreadyAssociated", message));
    }
    let association_id = ids::fresh("rtbassoc");
    if let Some(table) = ec2.route_tables.get_mut(id) {
        table.association_set.push(association(id, association_id.clone(), Some(subnet.to_owned())));
    }
    let association_state = AssociationState { state: "associated".to_owned() };
    Output::of(&AssociateOutput { association_id, association_state })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DisassociateInput {
    association_id: Option<String>,
}

pub(super) fn disassociate(call: &mut Call<'_>, input: &DisassociateInput) -> Result<Output, ApiError> {
    let id = required(&input.association_id, "associationId")?;
    let tables = &mut call.region().ec2.route_tables;
    for table in tables.values_mut() {
        let before = table.association_set.len();
        table.association_set.retain(|a| a.main || a.route_table_association_id != id);
        if table.association_set.len() < before {
            return done();
        }
    }
    let message = format!("The association ID '{id}' does not exist");
    Err(ApiError::sender("InvalidAssociationID.NotFound", message))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RouteInput {
    pub(super) route_table_id: Option<String>,
    destination_cidr_block: Option<String>,
    destination_ipv6_cidr_block: Option<String>,
    destination_prefix_list_id: Option<String>,
    gateway_id: Option<String>,
    nat_gateway_id: Option<String>,
    network_interface_id: Option<String>,
    vpc_endpoint_id: Option<String>,
    transit_gateway_id: Option<String>,
    vpc_peering_connection_id: Option<String>,
}

impl RouteInput {
    /// The destination named, if it is one.
    pub(super) fn destination(&self) -> Result<String, ApiError> {
        if let Some(list) =
            self.destination_prefix_list_id.as_ref().or(self.destination_ipv6_cidr_block.as_ref())
        {
            return Ok(list.clone());
        }
        let text = required(&self.destination_cidr_block, "destinationCidrBlock")?;
        if text.parse::<ipnet::Ipv4Net>().is_err() {
            return Err(super::error::invalid_value(format!(
                "Value ({text}) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
            )));
        }
        Ok(text.to_owned())
    }

    pub(super) fn route(&self) -> Route {
        Route {
            destination_cidr_block: self.destination_cidr_block.clone(),
            destination_ipv6_cidr_block: self.destination_ipv6_cidr_block.clone(),
            destination_prefix_list_id: self.destination_prefix_list_id.clone(),
            gateway_id: self.gateway_id.clone(),
            nat_gateway_id: self.nat_gateway_id.clone(),
            network_interface_id: self.network_interface_id.clone(),
            vpc_endpoint_id: self.vpc_endpoint_id.clone(),
            transit_gateway_id: self.transit_gateway_id.clone(),
            vpc_peering_connection_id: self.vpc_peering_connection_id.clone(),
            state: "active".to_owned(),
            origin: "CreateRoute".to_owned(),
        }
    }
}

/// Refuses gateways and interfaces that do not exist.
pub(super) fn check_targets(ec2: &Ec2State, input: &RouteInput) -> Result<(), ApiError> {
    let is_known =
        |id: &str| id == "local" || ec2.gateways.contains_key(id) || ec2.endpoints.contains_key(id);
    if let Some(gateway) = input.gateway_id.as_deref().filter(|id| !is_known(id)) {
        return Err(no_gateway(gateway));
    }
    if let Some(gateway) = input.nat_gateway_id.as_ref().filter(|id| !ec2.nat_gateways.contains_key(*id)) {
        let message = format!("The natGateway ID '{gateway}' does not exist");
        return Err(ApiError::sender("InvalidNatGatewayID.NotFound", message));
    }
    match input.network_interface_id.as_ref().filter(|id| !ec2.interfaces.contains_key(*id)) {
        Some(id) => Err(super::error::no_interface(id)),
        None => Ok(()),
    }
}

pub(super) fn create_route(call: &mut Call<'_>, input: &RouteInput) -> Result<Output, ApiError> {
    let id = required(&input.route_table_id, "routeTableId")?;
    let destination = input.destination()?;
    let ec2 = &mut call.region().ec2;
    check_targets(ec2, input)?;
    let table = ec2.route_tables.get_mut(id).ok_or_else(|| no_route_table(id))?;
    if table.route_set.iter().any(|route| route.destination() == destination) {
        let message = format!("The route identified by {destination} already exists.");
        return Err(ApiError::sender("RouteAlreadyExists", message));
    }
    table.route_set.push(input.route());
    done()
}

pub(super) fn delete_route(call: &mut Call<'_>, input: &RouteInput) -> Result<Output, ApiError> {
    let id = required(&input.route_table_id, "routeTableId")?;
    let destination = input.destination()?;
    let table = call.region().ec2.route_tables.get_mut(id).ok_or_else(|| no_route_table(id))?;
    let before = table.route_set.len();
    table
        .route_set
        .retain(|route| route.destination() != destination || route.gateway_id.as_deref() == Some("local"));
    if table.route_set.len() == before {
        let message = format!("no route with destination-cidr-block {destination} in route table {id}");
        return Err(ApiError::sender("InvalidRoute.NotFound", message));
    }
    done()
}
