//! ListResourceRecordSets: by name with the labels reversed, then by type, then by identifier.
//!
//! Source: docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html

use serde::Deserialize;
use serde_json::json;

use super::zones::page_size;
use super::{domain, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// How many it shows when it is not told, and at most.
const PAGE: usize = 300;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    hosted_zone_id: String,
    start_record_name: Option<String>,
    start_record_type: Option<String>,
    start_record_identifier: Option<String>,
    max_items: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let id = ids::bare(&input.hosted_zone_id);
    let zone = call.account().route53.zones.get(id).ok_or_else(|| ids::no_zone(id))?;
    let size = page_size(input.max_items.as_deref(), PAGE)?;
    let name = input.start_record_name.as_deref().map(domain::normalized).transpose()?;
    if name.is_none() && input.start_record_type.is_some() {
        return Err(ids::invalid_input("The request contains a record type but no record name"));
    }
    if input.start_record_type.is_none() && input.start_record_identifier.is_some() {
        return Err(ids::invalid_input("The request contains a record identifier but no record type"));
    }
    let start = name.as_deref().map(|name| {
        let kind = input.start_record_type.as_deref().unwrap_or("");
        (domain::order(name), kind, input.start_record_identifier.as_deref().unwrap_or(""))
    });
    let mut rest = zone.records.iter().filter(|set| start.as_ref().is_none_or(|start| set.key() >= *start));
    let shown: Vec<_> = rest.by_ref().take(size).collect();
    let next = rest.next();
    Output::of(&json!({
        "ResourceRecordSets": shown,
        "IsTruncated": next.is_some(),
        "NextRecordName": next.map(|set| &set.name),
        "NextRecordType": next.map(|set| &set.kind),
        "NextRecordIdentifier": next.and_then(|set| set.set_identifier.as_ref()),
        "MaxItems": size.to_string(),
    }))
}
