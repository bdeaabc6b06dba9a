//! Hosted zones.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::record_set::RecordSet;
use super::tags::Tag;
use super::vpcs::Vpc;
use super::{batch, domain, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A hosted zone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Zone {
    /// Normalized.
    pub(crate) name: String,
    pub(super) caller_reference: String,
    pub(super) comment: Option<String>,
    /// Of a private zone; a public one has none.
    #[serde(default)]
    pub(super) vpcs: Vec<Vpc>,
    /// In the order of their keys.
    pub(crate) records: Vec<RecordSet>,
    pub(super) tags: Vec<Tag>,
}

const NAME_SERVERS: [&str; 4] =
    ["ns-2048.awsdns-64.com", "ns-2049.awsdns-65.net", "ns-2050.awsdns-66.org", "ns-2051.awsdns-67.co.uk"];

impl Zone {
    /// A zone with the two record sets that each has.
    pub(super) fn new(
        name: &str,
        caller_reference: String,
        comment: Option<String>,
        vpc: Option<Vpc>,
    ) -> Self {
        let servers = NAME_SERVERS.iter().map(|server| format!("{server}."));
        let soa = format!("{}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400", NAME_SERVERS[0]);
        Self {
            name: name.to_owned(),
            caller_reference,
            comment,
            vpcs: vpc.into_iter().collect(),
            records: vec![
                RecordSet::of(name, "NS", 172_800, servers),
                RecordSet::of(name, "SOA", 900, [soa]),
            ],
            tags: Vec::new(),
        }
    }

    /// Its name as DNS asks for it: `example.com`.
    pub(crate) fn plain_name(&self) -> String {
        domain::plain(&self.name)
    }

    fn shown(&self, id: &str) -> Value {
        json!({
            "Id": format!("/hostedzone/{id}"),
            "Name": self.name,
            "CallerReference": self.caller_reference,
            "Config": { "Comment": self.comment, "PrivateZone": self.is_private() },
            "ResourceRecordSetCount": self.records.len(),
        })
    }

    fn is_private(&self) -> bool {
        !self.vpcs.is_empty()
    }

    /// Public zones have name servers, private ones VPCs.
    fn delegation(&self) -> Option<Value> {
        (!self.is_private()).then(|| json!({ "NameServers": NAME_SERVERS }))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CreateInput {
    name: String,
    caller_reference: String,
    hosted_zone_config: Config,
    #[serde(rename = "VPC")]
    vpc: Option<Vpc>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    comment: Option<String>,
    private_zone: bool,
}

pub(super) fn create(call: &mut Call<'_>, input: CreateInput) -> Result<Output, ApiError> {
    let name = domain::normalized(&input.name)?;
    if input.caller_reference.is_empty() || input.caller_reference.len() > 128 {
        return Err(ids::invalid_input("CallerReference must have 1 to 128 characters"));
    }
    if input.hosted_zone_config.private_zone && input.vpc.is_none() {
        return Err(ids::invalid_input(
            "When you're creating a private hosted zone (when you specify true for PrivateZone), you must also \
             specify values for VPCId and VPCRegion.",
        ));
    }
    let now = call.now;
    let state = &mut call.account().route53;
    if state.zones.values().any(|zone| zone.caller_reference == input.caller_reference) {
        return Err(ids::conflict(
            "HostedZoneAlreadyExists",
            "A hosted zone has already been created with the specified caller reference.",
        ));
    }
    let id = ids::new('Z');
    let zone = Zone::new(&name, input.caller_reference, input.hosted_zone_config.comment, input.vpc);
    let change = batch::record_change(state, now, None);
    let answer = json!({
        "HostedZone": zone.shown(&id),
        "ChangeInfo": change,
        "DelegationSet": zone.delegation(),
        "VPC": zone.vpcs.first(),
    });
    let location = format!("https://route53.amazonaws.com/2013-04-01/hostedzone/{id}");
    state.zones.insert(id, zone);
    Ok(Output::of(&answer)?.created_at(location))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct IdInput {
    pub(super) id: String,
}

pub(super) fn get(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.id);
    let zone = call.account().route53.zones.get(id).ok_or_else(|| ids::no_zone(id))?;
    Output::of(&json!({
        "HostedZone": zone.shown(id),
        "DelegationSet": zone.delegation(),
        "VPCs": zone.is_private().then_some(&zone.vpcs),
    }))
}

pub(super) fn count(call: &mut Call<'_>) -> Result<Output, ApiError> {
    Output::of(&json!({ "HostedZoneCount": call.account().route53.zones.len() }))
}

/// How many a list shows when it is not told, and at most.
const PAGE: usize = 100;

/// `MaxItems`, which may be text.
pub(super) fn page_size(max_items: Option<&str>, limit: usize) -> Result<usize, ApiError> {
    match max_items {
        None => Ok(limit),
        Some(text) => match text.parse::<usize>() {
            Ok(size) if size > 0 => Ok(size.min(limit)),
            _ => Err(ids::invalid_input(format!("MaxItems is {text}, it must be a number of at least 1"))),
        },
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListInput {
    marker: Option<String>,
    max_items: Option<String>,
    hosted_zone_type: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let size = page_size(input.max_items.as_deref(), PAGE)?;
    let zones = &call.account().route53.zones;
    let marker = input.marker.as_deref().filter(|marker| !marker.is_empty()).map(ids::bare);
    if let Some(marker) = marker
        && !zones.contains_key(marker)
    {
        return Err(ids::no_zone(marker));
    }
    let private_only = input.hosted_zone_type.as_deref() == Some("PrivateHostedZone");
    let mut rest = zones
        .iter()
        .filter(|(id, _)| marker.is_none_or(|marker| id.as_str() >= marker))
        .filter(|(_, zone)| !private_only || zone.is_private());
    let shown: Vec<_> = rest.by_ref().take(size).map(|(id, zone)| zone.shown(id)).collect();
    let next = rest.next().map(|(id, _)| id);
    Output::of(&json!({
        "HostedZones": shown,
        "Marker": marker,
        "IsTruncated": next.is_some(),
        "NextMarker": next,
        "MaxItems": size.to_string(),
    }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListByNameInput {
    #[serde(rename = "DNSName")]
    dns_name: Option<String>,
    hosted_zone_id: Option<String>,
    max_items: Option<String>,
}

/// Ordered by name with the labels reversed, then by id.
pub(super) fn list_by_name(call: &mut Call<'_>, input: &ListByNameInput) -> Result<Output, ApiError> {
    let size = page_size(input.max_items.as_deref(), PAGE)?;
    let start =
        input.dns_name.as_deref().filter(|name| !name.is_empty()).map(domain::normalized).transpose()?;
    let from = input.hosted_zone_id.as_deref().map(ids::bare);
    if from.is_some() && start.is_none() {
        return Err(ids::invalid_input("HostedZoneId can be given together with DNSName only"));
    }
    let mut zones: Vec<(&String, &Zone)> = call.account().route53.zones.iter().collect();
    zones.sort_by_key(|(id, zone)| (domain::order(&zone.name), id.as_str()));
    let first = start.as_deref().map(|name| (domain::order(name), from.unwrap_or("")));
    let mut rest = zones.into_iter().filter(|(id, zone)| {
        first.as_ref().is_none_or(|first| (domain::order(&zone.name), id.as_str()) >= *first)
    });
    let shown: Vec<_> = rest.by_ref().take(size).map(|(id, zone)| zone.shown(id)).collect();
    let next = rest.next();
    Output::of(&json!({
        "HostedZones": shown,
        "DNSName": input.dns_name,
        "HostedZoneId": input.hosted_zone_id,
        "IsTruncated": next.is_some(),
        "NextDNSName": next.map(|(_, zone)| &zone.name),
        "NextHostedZoneId": next.map(|(id, _)| id),
        "MaxItems": size.to_string(),
    }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CommentInput {
    id: String,
    comment: Option<String>,
}

pub(super) fn update_comment(call: &mut Call<'_>, input: CommentInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.id);
    let zone = call.account().route53.zones.get_mut(id).ok_or_else(|| ids::no_zone(id))?;
    zone.comment = input.comment;
    Output::of(&json!({ "HostedZone": zone.shown(id) }))
}

/// Only a zone without records of its own can be deleted.
pub(super) fn delete(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.id);
    let now: Timestamp = call.now;
    let state = &mut call.account().route53;
    let zone = state.zones.get(id).ok_or_else(|| ids::no_zone(id))?;
    let own = |set: &&RecordSet| set.name != zone.name || (set.kind != "NS" && set.kind != "SOA");
    if zone.records.iter().any(|set| own(&set)) {
        return Err(ApiError::sender(
            "HostedZoneNotEmpty",
            "The specified hosted zone contains non-required resource record sets and so cannot be deleted.",
        ));
    }
    state.zones.remove(id);
    let change = batch::record_change(state, now, None);
    Output::of(&json!({ "ChangeInfo": change }))
}
