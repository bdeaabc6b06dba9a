//! VPCs of private hosted zones. The name server answers for private zones as for public ones.
//!
//! Source: docs.aws.amazon.com/Route53/latest/APIReference/API_AssociateVPCWithHostedZone.html

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::zones::{IdInput, page_size};
use super::{batch, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A VPC, in whatever account and region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Vpc {
    #[serde(rename = "VPCRegion")]
    region: String,
    #[serde(rename = "VPCId")]
    id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct AssociateInput {
    #[serde(rename = "HostedZoneId")]
    zone: String,
    #[serde(rename = "VPC")]
    vpc: Vpc,
    #[serde(rename = "Comment")]
    comment: Option<String>,
}

pub(super) fn associate(call: &mut Call<'_>, input: AssociateInput) -> Result<Output, ApiError> {
    let (id, now) = (ids::bare(&input.zone), call.now);
    let state = &mut call.account().route53;
    let zone = state.zones.get_mut(id).ok_or_else(|| ids::no_zone(id))?;
    if zone.vpcs.is_empty() {
        return Err(ApiError::sender(
            "PublicZoneVPCAssociation",
            "You're trying to associate a VPC with a public hosted zone. Amazon Route 53 doesn't support associating a \
             VPC with a public hosted zone.",
        ));
    }
    if !zone.vpcs.contains(&input.vpc) {
        zone.vpcs.push(input.vpc);
    }
    let change = batch::record_change(state, now, input.comment);
    Output::of(&json!({ "ChangeInfo": change }))
}

pub(super) fn disassociate(call: &mut Call<'_>, input: AssociateInput) -> Result<Output, ApiError> {
    let (id, now) = (ids::bare(&input.zone), call.now);
    let state = &mut call.account().route53;
    let zone = state.zones.get_mut(id).ok_or_else(|| ids::no_zone(id))?;
    if !zone.vpcs.contains(&input.vpc) {
        let message = "The specified VPC and hosted zone are not currently associated.";
        let error = ApiError::sender("VPCAssociationNotFound", message);
        return Err(error.with_status(http::StatusCode::NOT_FOUND));
    }
    if zone.vpcs.len() == 1 {
        return Err(ApiError::sender(
            "LastVPCAssociation",
            "The VPC that you're trying to disassociate from the private hosted zone is the last VPC that is associated \
             with the hosted zone.",
        ));
    }
    zone.vpcs.retain(|known| *known != input.vpc);
    let change = batch::record_change(state, now, input.comment);
    Output::of(&json!({ "ChangeInfo": change }))
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ByVpcInput {
    #[serde(flatten)]
    vpc: Vpc,
    #[serde(rename = "MaxItems")]
    max_items: Option<String>,
}

pub(super) fn list_zones(call: &mut Call<'_>, input: &ByVpcInput) -> Result<Output, ApiError> {
    let size = page_size(input.max_items.as_deref(), 100)?;
    let account = call.place.account.clone();
    let zones = call.account().route53.zones.iter().filter(|(_, zone)| zone.vpcs.contains(&input.vpc));
    let summaries: Vec<_> = zones
        .take(size)
        .map(|(id, zone)| {
            json!({ "HostedZoneId": id, "Name": zone.name, "Owner": { "OwningAccount": account } })
        })
        .collect();
    Output::of(&json!({ "HostedZoneSummaries": summaries, "MaxItems": size.to_string() }))
}

/// GetDNSSEC: no zone is signed.
pub(super) fn dnssec(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.id);
    call.account().route53.zones.get(id).ok_or_else(|| ids::no_zone(id))?;
    Output::of(&json!({ "Status": { "ServeSignature": "NOT_SIGNING" }, "KeySigningKeys": [] }))
}
