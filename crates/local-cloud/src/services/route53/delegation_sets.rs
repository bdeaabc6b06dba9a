//! Reusable delegation sets. All have the same name servers: the cloud has one.
//!
//! Source: docs.aws.amazon.com/Route53/latest/APIReference/API_CreateReusableDelegationSet.html

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ids;
use super::zones::{IdInput, NAME_SERVERS, page_size};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A reusable delegation set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DelegationSet {
    caller_reference: String,
}

impl DelegationSet {
    fn shown(&self, id: &str) -> Value {
        json!({
            "Id": format!("/delegationset/{id}"), "CallerReference": self.caller_reference,
            "NameServers": NAME_SERVERS,
        })
    }
}

pub(super) fn unknown(id: &str) -> ApiError {
    ApiError::sender("NoSuchDelegationSet", format!("No delegation set found with ID: {id}"))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CreateInput {
    caller_reference: String,
    hosted_zone_id: Option<String>,
}

/// With a zone the set is that zone's own, made reusable.
pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let state = &mut call.account().route53;
    if state.delegation_sets.values().any(|set| set.caller_reference == input.caller_reference) {
        return Err(ApiError::sender(
            "DelegationSetAlreadyCreated",
            "A delegation set has already been created with the specified caller reference.",
        ));
    }
    let id = ids::new('N');
    if let Some(zone_id) = input.hosted_zone_id.as_deref().map(ids::bare) {
        let missing =
            || ApiError::sender("HostedZoneNotFound", format!("No hosted zone found with ID: {zone_id}"));
        let zone = state.zones.get_mut(zone_id).ok_or_else(missing)?;
        if zone.delegation_set.is_some() {
            let message = "The specified delegation set has already been marked as reusable.";
            return Err(ApiError::sender("DelegationSetAlreadyReusable", message));
        }
        zone.delegation_set = Some(id.clone());
    }
    let set = DelegationSet { caller_reference: input.caller_reference.clone() };
    let answer = json!({ "DelegationSet": set.shown(&id) });
    let location = format!("https://route53.amazonaws.com/2013-04-01/delegationset/{id}");
    state.delegation_sets.insert(id, set);
    Ok(Output::of(&answer)?.created_at(location))
}

pub(super) fn get(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.id);
    let set = call.account().route53.delegation_sets.get(id).ok_or_else(|| unknown(id))?;
    Output::of(&json!({ "DelegationSet": set.shown(id) }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListInput {
    marker: Option<String>,
    max_items: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let size = page_size(input.max_items.as_deref(), 100)?;
    let marker = input.marker.as_deref().map(ids::bare);
    let sets = call.account().route53.delegation_sets.iter();
    let mut rest = sets.filter(|(id, _)| marker.is_none_or(|marker| id.as_str() >= marker));
    let shown: Vec<_> = rest.by_ref().take(size).map(|(id, set)| set.shown(id)).collect();
    let next = rest.next().map(|(id, _)| id);
    Output::of(&json!({
        "DelegationSets": shown, "Marker": input.marker.clone().unwrap_or_default(),
        "IsTruncated": next.is_some(), "NextMarker": next, "MaxItems": size.to_string(),
    }))
}

pub(super) fn delete(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.id);
    let state = &mut call.account().route53;
    if !state.delegation_sets.contains_key(id) {
        return Err(unknown(id));
    }
    if state.zones.values().any(|zone| zone.delegation_set.as_deref() == Some(id)) {
        let message = "The specified delegation set is used by a hosted zone and cannot be deleted.";
        return Err(ApiError::sender("DelegationSetInUse", message));
    }
    state.delegation_sets.remove(id);
    Ok(Output::empty())
}
