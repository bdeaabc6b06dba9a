//! Batches of changes to records: all of them, or none.
//!
//! Source: docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html;
//! messages as users of AWS report them.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record_set::RecordSet;
use super::zones::{IdInput, Zone};
use super::{CHANGES_KEPT, Change, Route53State, domain, health_checks, ids, routing, values};
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    hosted_zone_id: String,
    change_batch: Batch,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Batch {
    comment: Option<String>,
    changes: Vec<Item>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Item {
    action: String,
    resource_record_set: RecordSet,
}

pub(super) fn change(call: &mut Call<'_>, input: Input) -> Result<Output, ApiError> {
    let now = call.now;
    let state = &mut call.account().route53;
    let id = ids::bare(&input.hosted_zone_id);
    let zone = state.zones.get(id).ok_or_else(|| ids::no_zone(id))?;
    if input.change_batch.changes.is_empty() {
        return Err(ids::invalid_input("The ChangeBatch must have at least one Change"));
    }
    let mut items = input.change_batch.changes;
    for (index, item) in items.iter_mut().enumerate() {
        routing::check_values(&item.resource_record_set, index + 1)?;
        check_shape(item)?;
        check_health_check(state, item)?;
    }
    let put: Vec<RecordSet> = items
        .iter()
        .filter(|item| item.action != "DELETE")
        .map(|item| item.resource_record_set.clone())
        .collect();
    // AWS tells everything that is wrong at once.
    let mut changed = zone.clone();
    let mut problems: Vec<String> =
        items.into_iter().filter_map(|item| apply(&mut changed, id, item).err()).collect();
    if problems.is_empty() {
        problems = routing_problems(&changed, &put);
    }
    if !problems.is_empty() {
        return Err(ApiError::sender("InvalidChangeBatch", format!("[{}]", problems.join(", "))));
    }
    if let Some(problem) = required(&changed) {
        return Err(ApiError::sender("InvalidChangeBatch", format!("[{problem}]")));
    }
    state.zones.insert(id.to_owned(), changed);
    let change = record_change(state, now, input.change_batch.comment);
    Output::of(&json!({ "ChangeInfo": change }))
}

/// What AWS checks before it looks at the zone.
fn check_shape(item: &mut Item) -> Result<(), ApiError> {
    let set = &mut item.resource_record_set;
    let whereabouts = format!(
        "in Change with [Action={}, Name={}, Type={}, SetIdentifier={}]",
        item.action,
        set.name,
        set.kind,
        set.set_identifier.as_deref().unwrap_or("null")
    );
    let invalid = |what: &str| Err(ids::invalid_input(format!("Invalid request: {what} {whereabouts}")));
    if !["CREATE", "DELETE", "UPSERT"].contains(&item.action.as_str()) {
        return invalid("Expected one of [CREATE, DELETE, UPSERT] as Action");
    }
    if !values::is_kind(&set.kind) {
        return invalid("Unknown record Type");
    }
    let plain = set.ttl.is_some() && !set.resource_records.is_empty();
    let any_plain = set.ttl.is_some() || !set.resource_records.is_empty();
    let expected = "Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or \
                    TrafficPolicyInstanceId], but found";
    match (&set.alias_target, plain) {
        (Some(_), _) if any_plain => return invalid(&format!("{expected} more than one")),
        (None, false) if set.traffic_policy_instance_id.is_none() => {
            return invalid(&format!("{expected} none"));
        }
        _ => {}
    }
    if set.is_routed() && set.set_identifier.is_none() {
        return invalid("Missing field 'SetIdentifier'");
    }
    if set.set_identifier.is_some() && !set.is_routed() {
        return invalid(
            "Expected exactly one of [Weight, Region, Failover, GeoLocation, MultiValueAnswer, CidrRoutingConfig, or \
             GeoProximityLocation], but found none",
        );
    }
    set.name = domain::normalized(&set.name)?;
    if let Some(alias) = &mut set.alias_target {
        alias.dns_name = domain::normalized(&alias.dns_name)?;
        alias.hosted_zone_id = ids::bare(&alias.hosted_zone_id).to_owned();
    }
    Ok(())
}

/// What goes may name a health check that went before it.
fn check_health_check(state: &Route53State, item: &Item) -> Result<(), ApiError> {
    let named = item.resource_record_set.health_check_id.as_deref().filter(|_| item.action != "DELETE");
    match named.filter(|id| !state.health_checks.contains_key(*id)) {
        Some(id) => Err(health_checks::none(id)),
        None => Ok(()),
    }
}

/// Where sets that were `put` do not go with others of their name and type. This is judged once the whole
/// batch is in: two sets may change places, or their TTL together.
fn routing_problems(zone: &Zone, put: &[RecordSet]) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, set) in put.iter().enumerate().filter(|(_, set)| set.is_routed()) {
        let is_later = |other: &RecordSet| put[index + 1..].iter().any(|later| later.key() == other.key());
        // Of two that were put, the later one is at fault; what went or was put again is not asked.
        if !zone.records.contains(set) || is_later(set) {
            continue;
        }
        let same = zone.records.iter().filter(|other| other.name == set.name && other.kind == set.kind);
        let mut others = same.filter(|other| other.key() != set.key() && !is_later(other));
        problems.extend(others.find_map(|other| routing::conflict(set, other)));
    }
    problems
}

fn apply(zone: &mut Zone, zone_id: &str, item: Item) -> Result<(), String> {
    let set = item.resource_record_set;
    if !domain::is_within(&set.name, &zone.name) {
        return Err(format!("RRSet with DNS name {} is not permitted in zone {}", set.name, zone.name));
    }
    let position = zone.records.iter().position(|known| known.key() == set.key());
    if item.action == "DELETE" {
        let Some(position) = position else {
            return Err(format!(
                "Tried to delete resource record set {} but it was not found",
                set.described()
            ));
        };
        if !zone.records[position].says_the_same(&set) {
            return Err(format!(
                "Tried to delete resource record set {} but the values provided do not match the current values",
                set.described()
            ));
        }
        zone.records.remove(position);
        return Ok(());
    }
    if position.is_some() && item.action == "CREATE" {
        return Err(format!("Tried to create resource record set {} but it already exists", set.described()));
    }
    check_content(zone, zone_id, &set)?;
    match position {
        Some(position) => zone.records[position] = set,
        None => {
            let place = zone.records.partition_point(|known| known.key() < set.key());
            zone.records.insert(place, set);
        }
    }
    Ok(())
}

/// Values that fit the type, no conflict with other sets, an alias that leads somewhere.
fn check_content(zone: &Zone, zone_id: &str, set: &RecordSet) -> Result<(), String> {
    let kind = set.kind.as_str();
    if let Some(problem) = set.resource_records.iter().find_map(|record| values::problem(kind, &record.value))
    {
        return Err(problem);
    }
    let values = &set.resource_records;
    let mut repeated = values.iter().enumerate().filter(|(index, value)| values[..*index].contains(value));
    if let Some((_, record)) = repeated.next() {
        return Err(format!("Duplicate Resource Record: '{}'", record.value));
    }
    if kind == "CNAME" && set.name == zone.name {
        return Err(format!(
            "RRSet of type CNAME with DNS name {} is not permitted at apex in zone {}",
            set.name, zone.name
        ));
    }
    if ["CNAME", "SOA"].contains(&kind) && set.resource_records.len() > 1 {
        return Err(format!("InvalidChangeBatch: a {kind} record set can have one value only"));
    }
    if kind == "SOA" && set.name != zone.name {
        return Err(format!(
            "RRSet of type SOA with DNS name {} is not permitted outside of the apex",
            set.name
        ));
    }
    let same_name = || zone.records.iter().filter(|known| known.name == set.name);
    let conflicting = same_name().find(|known| (known.kind == "CNAME") != (kind == "CNAME"));
    if let Some(known) = conflicting {
        return Err(format!(
            "RRSet of type {kind} with DNS name {} is not permitted because a conflicting RRSet of type {} with the \
             same DNS name already exists in zone {}",
            set.name, known.kind, zone.name
        ));
    }
    let mixed = same_name().find(|known| known.kind == kind && known.is_routed() != set.is_routed());
    if mixed.is_some() {
        return Err(format!(
            "RRSet with DNS name {}, type {kind}, SetIdentifier {} cannot be created as other RRSets exist with the same \
             name and type.",
            set.name,
            set.set_identifier.as_deref().unwrap_or("null")
        ));
    }
    check_alias(zone, zone_id, set)
}

/// An alias to this zone needs a record there. Targets in AWS's own zones are taken as they are:
/// AWS accepts a load balancer's name before the load balancer is there, too.
fn check_alias(zone: &Zone, zone_id: &str, set: &RecordSet) -> Result<(), String> {
    let Some(alias) = set.alias_target.as_ref().filter(|alias| alias.hosted_zone_id == zone_id) else {
        return Ok(());
    };
    let tried = format!(
        "Tried to create an alias that targets {}, type {} in zone {zone_id}, but",
        alias.dns_name, set.kind
    );
    if !domain::is_within(&alias.dns_name, &zone.name) {
        return Err(format!("{tried} the alias target name does not lie within the target zone"));
    }
    let mut targets = zone.records.iter();
    if !targets.any(|known| known.name == alias.dns_name && known.kind == set.kind) {
        return Err(format!("{tried} that target was not found"));
    }
    Ok(())
}

/// What every zone must keep.
fn required(zone: &Zone) -> Option<&'static str> {
    let has = |kind: &str| zone.records.iter().any(|set| set.name == zone.name && set.kind == kind);
    if !has("SOA") {
        return Some("A HostedZone must contain exactly one SOA record.");
    }
    (!has("NS")).then_some("A HostedZone must contain at least one NS record for the zone itself.")
}

/// Notes a change; as its answer says, it is still PENDING then.
pub(super) fn record_change(state: &mut Route53State, now: Timestamp, comment: Option<String>) -> Value {
    let id = ids::new('C');
    let change = Change { submitted: now, comment };
    let answer = shown(&id, &change, "PENDING");
    state.changes.insert(id, change);
    if state.changes.len() > CHANGES_KEPT {
        state.changes.shift_remove_index(0);
    }
    answer
}

fn shown(id: &str, change: &Change, status: &str) -> Value {
    json!({
        "Id": format!("/change/{id}"),
        "Status": status,
        "SubmittedAt": Iso8601(change.submitted),
        "Comment": change.comment,
    })
}

pub(super) fn get_change(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = ids::bare(&input.id);
    let change = call.account().route53.changes.get(id).ok_or_else(|| {
        ids::not_found("NoSuchChange", format!("A change with the ID {id} does not exist."))
    })?;
    Output::of(&json!({ "ChangeInfo": shown(id, change, "INSYNC") }))
}
