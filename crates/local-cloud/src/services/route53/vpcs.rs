//! The VPCs of private hosted zones.
//!
//! Source: docs.aws.amazon.com/Route53/latest/APIReference/API_AssociateVPCWithHostedZone.html

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::zones::{Zone, page_size};
use super::{batch, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A VPC that sees a private zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vpc {
    #[serde(rename = "VPCRegion")]
    region: String,
    #[serde(rename = "VPCId")]
    id: String,
}

/// Worlds saved before a zone could have several VPCs hold one or none.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vpc>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Saved {
        Many(Vec<Vpc>),
        One(Vpc),
    }
    Ok(match Option::<Saved>::deserialize(deserializer)? {
        Some(Saved::Many(vpcs)) => vpcs,
        Some(Saved::One(vpc)) => vec![vpc],
        None => vec![],
    })
}

/// Refuses a second zone of the same name for one VPC: it could not tell which answers.
pub(super) fn check_conflict<'a>(
    mut zones: impl Iterator<Item = &'a Zone>,
    name: &str,
    vpc: &Vpc,
) -> Result<(), ApiError> {
    if !zones.any(|zone| zone.name == name && zone.vpcs.contains(vpc)) {
        return Ok(());
    }
    let message = format!(
        "The VPC {} in region {} has already been associated with a hosted zone of the name {name}",
        vpc.id, vpc.region
    );
    Err(ApiError::sender("ConflictingDomainExists", message))
}

#[derive(Deserialize)]
pub(super) struct VpcInput {
    #[serde(rename = "Id")]
    zone: String,
    #[serde(rename = "VPC")]
    vpc: Vpc,
    #[serde(rename = "Comment")]
    comment: Option<String>,
}

pub(super) fn associate(call: &mut Call<'_>, input: VpcInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.zone);
    let now = call.now;
    let state = &mut call.account().route53;
    let zone = state.zones.get(id).ok_or_else(|| ids::no_zone(id))?;
    if !zone.is_private() {
        return Err(ApiError::sender(
            "PublicZoneVPCAssociation",
            "You're trying to associate a VPC with a public hosted zone. Amazon Route 53 doesn't support associating a VPC \
             with a public hosted zone.",
        ));
    }
    check_conflict(state.zones.values(), &zone.name, &input.vpc)?;
    if let Some(zone) = state.zones.get_mut(id) {
        zone.vpcs.push(input.vpc);
    }
    let change = batch::record_change(state, now, input.comment);
    Output::of(&json!({ "ChangeInfo": change }))
}

pub(super) fn disassociate(call: &mut Call<'_>, input: &VpcInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.zone);
    let now = call.now;
    let state = &mut call.account().route53;
    let zone = state.zones.get_mut(id).ok_or_else(|| ids::no_zone(id))?;
    if !zone.vpcs.contains(&input.vpc) {
        let message = format!("The VPC {} is not associated with hosted zone {id}.", input.vpc.id);
        return Err(ids::not_found("VPCAssociationNotFound", message));
    }
    if zone.vpcs.len() == 1 {
        let message = "The VPC that you're trying to disassociate from the private hosted zone is the last VPC that is \
                       associated with the hosted zone.";
        return Err(ApiError::sender("LastVPCAssociation", message));
    }
    zone.vpcs.retain(|vpc| *vpc != input.vpc);
    let change = batch::record_change(state, now, input.comment.clone());
    Output::of(&json!({ "ChangeInfo": change }))
}

#[derive(Deserialize)]
pub(super) struct ListInput {
    #[serde(flatten)]
    vpc: Vpc,
    #[serde(rename = "MaxItems")]
    max_items: Option<String>,
    #[serde(rename = "NextToken")]
    next_token: Option<String>,
}

pub(super) fn list_zones(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let size = page_size(input.max_items.as_deref(), 100)?;
    let account = call.place.account.clone();
    let zones = call.account().route53.zones.iter().filter(|(_, zone)| zone.vpcs.contains(&input.vpc));
    let start = input.next_token.as_deref();
    let mut rest = zones.filter(|(id, _)| start.is_none_or(|start| id.as_str() >= start));
    let shown: Vec<_> = rest
        .by_ref()
        .take(size)
        .map(|(id, zone)| {
            json!({ "HostedZoneId": id, "Name": zone.name, "Owner": { "OwningAccount": account } })
        })
        .collect();
    let next = rest.next().map(|(id, _)| id.clone());
    Output::of(&json!({ "HostedZoneSummaries": shown, "MaxItems": size.to_string(), "NextToken": next }))
}
