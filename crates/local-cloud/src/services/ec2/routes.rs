//! Route tables.

use serde::{Deserialize, Serialize};

use super::error::{dependency, no_route_table, no_subnet, no_vpc, required};
use super::filter::{Filter, Filtered, page, passes};
use super::route::Route;
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
    association_set: Vec<Association>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Association {
    route_table_association_id: String,
    route_table_id: String,
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
        let local = Route::local(&vpc.cidr_block.to_string());
        Self { route_table_id, vpc_id: vpc.vpc_id.clone(), route_set: vec![local], association_set: vec![] }
    }

    /// Makes it the table of every subnet that has no other.
    pub(super) fn make_main(&mut self, association_id: String) {
        self.association_set.push(association(&self.route_table_id, association_id, None));
    }

    /// Sends the internet's traffic to a gateway.
    pub(super) fn lead_outside(&mut self, gateway: &str) {
        self.route_set.push(Route::outside(gateway));
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
            other => {
                let detail = other.strip_prefix("route.")?;
                let values: Option<Vec<_>> = routes.map(|route| route.detail(detail)).collect();
                values?.into_iter().flatten().collect()
            }
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
    if let Some(unknown) = input.route_table_id.iter().find(|id| !ec2.route_tables.contains_key(*id)) {
        return Err(no_route_table(unknown));
    }
    let mut found = Vec::new();
    for table in ec2.route_tables.values() {
        let id = &table.route_table_id;
        let named = input.route_table_id.is_empty() || input.route_table_id.contains(id);
        if named && passes(&input.filter, table, ec2.tags_of(id))? {
            found.push(tagged(ec2, &account, table));
        }
    }
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
pub(super) struct ReplaceInput {
    association_id: Option<String>,
    route_table_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplaceOutput {
    new_association_id: String,
    association_state: AssociationState,
}

/// Moves a subnet, or the role of the main table, to another table. The association gets a new id.
pub(super) fn replace_association(call: &mut Call<'_>, input: &ReplaceInput) -> Result<Output, ApiError> {
    let association_id = required(&input.association_id, "associationId")?;
    let id = required(&input.route_table_id, "routeTableId")?;
    let tables = &mut call.region().ec2.route_tables;
    if !tables.contains_key(id) {
        return Err(no_route_table(id));
    }
    let all = tables.values().flat_map(|table| &table.association_set);
    let mut found = all.filter(|known| known.route_table_association_id == association_id);
    let old = found.next().cloned().ok_or_else(|| no_association(association_id))?;
    if old.route_table_id == id {
        let new_association_id = old.route_table_association_id;
        return Output::of(&ReplaceOutput { new_association_id, association_state: old.association_state });
    }
    for table in tables.values_mut() {
        table.association_set.retain(|known| known.route_table_association_id != association_id);
    }
    let new_association_id = ids::fresh("rtbassoc");
    if let Some(table) = tables.get_mut(id) {
        table.association_set.push(association(id, new_association_id.clone(), old.subnet_id));
    }
    Output::of(&ReplaceOutput { new_association_id, association_state: old.association_state })
}

fn no_association(id: &str) -> ApiError {
    let message = format!("The association ID '{id}' does not exist");
    ApiError::sender("InvalidAssociationID.NotFound", message)
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
    Err(no_association(id))
}
