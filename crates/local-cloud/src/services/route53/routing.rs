//! Routing policies: what each can say, and which record sets of one name and type go together.
//!
//! Source: docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html; messages as users
//! of AWS report them.

use super::ids;
use super::record_set::RecordSet;
use crate::wire::ApiError;

/// The Regions that latency can be measured to (`ResourceRecordSetRegion` of the API model).
const REGIONS: [&str; 39] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "eu-central-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "eu-north-1",
    "sa-east-1",
    "cn-north-1",
    "cn-northwest-1",
    "ap-east-1",
    "me-south-1",
    "me-central-1",
    "ap-south-1",
    "ap-south-2",
    "af-south-1",
    "eu-south-1",
    "eu-south-2",
    "ap-southeast-4",
    "il-central-1",
    "ca-west-1",
    "ap-southeast-5",
    "mx-central-1",
    "ap-southeast-7",
    "us-gov-east-1",
    "us-gov-west-1",
    "ap-east-2",
    "ap-southeast-6",
    "eusc-de-east-1",
];

/// Refuses numbers and words that the API's model does not allow. `position` is that of the change, from 1.
pub(super) fn check_values(set: &RecordSet, position: usize) -> Result<(), ApiError> {
    let violates = |member: &str, value: &str, constraint: &str| {
        Err(ids::invalid_input(format!(
            "1 validation error detected: Value '{value}' at 'changeBatch.changes.{position}.member.\
             resourceRecordSet.{member}' failed to satisfy constraint: {constraint}"
        )))
    };
    for (member, number, most) in [("tTL", set.ttl, 2_147_483_647), ("weight", set.weight, 255)] {
        let Some(number) = number else { continue };
        let bound =
            if number < 0 { "greater than or equal to 0" } else { &format!("less than or equal to {most}") };
        if !(0..=most).contains(&number) {
            return violates(member, &number.to_string(), &format!("Member must have value {bound}"));
        }
    }
    let words =
        [("region", &set.region, &REGIONS[..]), ("failover", &set.failover, &["PRIMARY", "SECONDARY"])];
    for (member, word, known) in words {
        if let Some(word) = word.as_deref().filter(|word| !known.contains(word)) {
            let constraint = format!("Member must satisfy enum value set: [{}]", known.join(", "));
            return violates(member, word, &constraint);
        }
    }
    Ok(())
}

/// Each policy that a set can have, as errors call it.
fn policy(set: &RecordSet) -> &'static str {
    if set.weight.is_some() {
        "weighted"
    } else if set.region.is_some() {
        "latency"
    } else if set.failover.is_some() {
        "failover"
    } else if set.geo_location.is_some() {
        "GEO"
    } else if set.multi_value_answer.is_some() {
        "multivalue answer"
    } else if set.cidr_routing_config.is_some() {
        "CIDR"
    } else {
        "geoproximity"
    }
}

/// Why `set` cannot be beside `other`, which has the same name and type, if so.
pub(super) fn conflict(set: &RecordSet, other: &RecordSet) -> Option<String> {
    let called = format!(
        "RRSet with DNS name {}, type {}, SetIdentifier {}",
        set.name,
        set.kind,
        set.set_identifier.as_deref().unwrap_or("null")
    );
    let policy_of_set = policy(set);
    if policy_of_set != policy(other) {
        return Some(match (policy_of_set, &set.region) {
            ("weighted", _) => {
                format!(
                    "{called} cannot be created as a non-weighted set exists with the same name and type."
                )
            }
            ("latency", Some(region)) => format!(
                "{called}, and Region Name={region} cannot be created because a non-latency RRSet with the \
                 same name and type already exists."
            ),
            (policy, _) => format!(
                "{called} cannot be created because a non-{policy} RRSet with the same name and type \
                 already exists."
            ),
        });
    }
    match (&set.region, &set.failover) {
        (Some(region), _) if set.region == other.region => Some(format!(
            "{called}, and Region Name={region} cannot be created because a latency RRSet with the same \
             name, type and region already exists."
        )),
        (_, Some(role)) if set.failover == other.failover => Some(format!(
            "{called}, and Failover={role} cannot be created because a failover RRSet with the same name, \
             type and failover already exists."
        )),
        // An alias has the TTL of what it leads to.
        _ if policy_of_set == "weighted"
            && set.ttl.is_some()
            && other.ttl.is_some_and(|ttl| set.ttl != Some(ttl)) =>
        {
            Some(format!("{called} cannot be created as weighted sets must contain the same TTL."))
        }
        _ => None,
    }
}
