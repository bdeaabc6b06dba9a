//! Routes and associations that are replaced in one step.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReplaceRouteTableAssociation.html

use serde::Deserialize;
use serde_json::json;

use super::error::{no_route_table, required};
use super::routes::{RouteInput, check_targets};
use super::{done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

pub(super) fn replace(call: &mut Call<'_>, input: &RouteInput) -> Result<Output, ApiError> {
    let id = required(&input.route_table_id, "routeTableId")?;
    let destination = input.destination()?;
    let ec2 = &mut call.region().ec2;
    check_targets(ec2, input)?;
    let table = ec2.route_tables.get_mut(id).ok_or_else(|| no_route_table(id))?;
    let known = table.route_set.iter_mut().find(|route| route.destination() == destination);
    let route = known.ok_or_else(|| {
        let message = format!(
            "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
        );
        ApiError::sender("InvalidParameterValue", message)
    })?;
    *route = input.route();
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReplaceInput {
    association_id: Option<String>,
    route_table_id: Option<String>,
}

/// Gives a subnet, or a whole VPC, another table. The association gets a new id.
pub(super) fn replace_association(call: &mut Call<'_>, input: &ReplaceInput) -> Result<Output, ApiError> {
    let association = required(&input.association_id, "associationId")?;
    let id = required(&input.route_table_id, "routeTableId")?;
    let tables = &mut call.region().ec2.route_tables;
    if !tables.contains_key(id) {
        return Err(no_route_table(id));
    }
    let mut taken = None;
    for table in tables.values_mut() {
        let place = table.association_set.iter().position(|a| a.route_table_association_id == association);
        if let Some(place) = place {
            taken = Some(table.association_set.remove(place));
        }
    }
    let mut moved = taken.ok_or_else(|| {
        let message = format!("The association ID '{association}' does not exist");
        ApiError::sender("InvalidAssociationID.NotFound", message)
    })?;
    moved.route_table_association_id = ids::fresh("rtbassoc");
    moved.route_table_id = id.to_owned();
    let fresh = moved.route_table_association_id.clone();
    if let Some(table) = tables.get_mut(id) {
        table.association_set.push(moved);
    }
    Output::of(&json!({ "newAssociationId": fresh, "associationState": { "state": "associated" } }))
}
