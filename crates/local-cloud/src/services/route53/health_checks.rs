//! Health checks, kept as data: nothing is probed, and each passes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::ids;
use super::tags::Tag;
use super::zones::page_size;
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

/// A health check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HealthCheck {
    caller_reference: String,
    /// As it was given; AWS's defaults are added.
    config: Map<String, Value>,
    version: u64,
    created: Timestamp,
    pub(super) tags: Vec<Tag>,
}

const PAGE: usize = 100;

const KINDS: [&str; 8] = [
    "HTTP",
    "HTTPS",
    "HTTP_STR_MATCH",
    "HTTPS_STR_MATCH",
    "TCP",
    "CALCULATED",
    "CLOUDWATCH_METRIC",
    "RECOVERY_CONTROL",
];

pub(super) fn none(id: &str) -> ApiError {
    ids::not_found("NoSuchHealthCheck", format!("A health check with id {id} does not exist."))
}

impl HealthCheck {
    fn shown(&self, id: &str) -> Value {
        json!({
            "Id": id,
            "CallerReference": self.caller_reference,
            "HealthCheckConfig": self.config,
            "HealthCheckVersion": self.version,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CreateInput {
    caller_reference: String,
    health_check_config: Map<String, Value>,
}

pub(super) fn create(call: &mut Call<'_>, input: CreateInput) -> Result<Output, ApiError> {
    let mut config = input.health_check_config;
    let kind = config.get("Type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if input.caller_reference.is_empty() || !KINDS.contains(&kind.as_str()) {
        return Err(ids::invalid_input(format!(
            "A health check needs a CallerReference and a Type out of {KINDS:?}"
        )));
    }
    let probes = ["HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP"].contains(&kind.as_str());
    if probes && !config.contains_key("IPAddress") && !config.contains_key("FullyQualifiedDomainName") {
        return Err(ids::invalid_input("A health check needs an IPAddress or a FullyQualifiedDomainName"));
    }
    let mut default = |name: &str, value: &str| {
        config.entry(name).or_insert_with(|| Value::String(value.into()));
    };
    default("Inverted", "false");
    default("Disabled", "false");
    if probes {
        default("RequestInterval", "30");
        default("FailureThreshold", "3");
        default("MeasureLatency", "false");
        default("EnableSNI", if kind.starts_with("HTTPS") { "true" } else { "false" });
        default("Port", if kind.starts_with("HTTPS") { "443" } else { "80" });
    }
    let now = call.now;
    let checks = &mut call.account().route53.health_checks;
    if checks.values().any(|known| known.caller_reference == input.caller_reference) {
        return Err(ids::conflict(
            "HealthCheckAlreadyExists",
            "A health check has already been created with the specified caller reference.",
        ));
    }
    let id = Uuid::new_v4().to_string();
    let check = HealthCheck {
        caller_reference: input.caller_reference,
        config,
        version: 1,
        created: now,
        tags: Vec::new(),
    };
    let answer = json!({ "HealthCheck": check.shown(&id) });
    let location = format!("https://route53.amazonaws.com/2013-04-01/healthcheck/{id}");
    checks.insert(id, check);
    Ok(Output::of(&answer)?.created_at(location))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct IdInput {
    health_check_id: String,
}

pub(super) fn get(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = &input.health_check_id;
    let check = call.account().route53.health_checks.get(id).ok_or_else(|| none(id))?;
    Output::of(&json!({ "HealthCheck": check.shown(id) }))
}

pub(super) fn count(call: &mut Call<'_>) -> Result<Output, ApiError> {
    Output::of(&json!({ "HealthCheckCount": call.account().route53.health_checks.len() }))
}

pub(super) fn status(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = &input.health_check_id;
    let now = call.now;
    call.account().route53.health_checks.get(id).ok_or_else(|| none(id))?;
    Output::of(&json!({ "HealthCheckObservations": [{
        "Region": "us-east-1",
        "IPAddress": "127.0.0.1",
        "StatusReport": {
            "Status": "Success: the embedded cloud does not probe, its health checks pass",
            "CheckedTime": Iso8601(now),
        },
    }]}))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListInput {
    marker: Option<String>,
    max_items: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let size = page_size(input.max_items.as_deref(), PAGE)?;
    let marker = input.marker.as_deref().filter(|marker| !marker.is_empty());
    let checks = &call.account().route53.health_checks;
    let mut rest = checks.iter().filter(|(id, _)| marker.is_none_or(|marker| id.as_str() >= marker));
    let shown: Vec<_> = rest.by_ref().take(size).map(|(id, check)| check.shown(id)).collect();
    let next = rest.next().map(|(id, _)| id);
    Output::of(&json!({
        "HealthChecks": shown,
        "Marker": marker.unwrap_or(""),
        "IsTruncated": next.is_some(),
        "NextMarker": next,
        "MaxItems": size.to_string(),
    }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UpdateInput {
    health_check_id: String,
    health_check_version: Option<u64>,
    #[serde(flatten)]
    changes: Map<String, Value>,
}

pub(super) fn update(call: &mut Call<'_>, input: UpdateInput) -> Result<Output, ApiError> {
    let id = &input.health_check_id;
    let check = call.account().route53.health_checks.get_mut(id).ok_or_else(|| none(id))?;
    if input.health_check_version.is_some_and(|version| version != check.version) {
        return Err(ids::conflict(
            "HealthCheckVersionMismatch",
            "The value of HealthCheckVersion in the request doesn't match the value of HealthCheckVersion in the health check.",
        ));
    }
    check.config.extend(input.changes);
    check.version += 1;
    Output::of(&json!({ "HealthCheck": check.shown(id) }))
}

pub(super) fn delete(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = &input.health_check_id;
    let state = &mut call.account().route53;
    state.health_checks.get(id).ok_or_else(|| none(id))?;
    let mut sets = state.zones.values().flat_map(|zone| &zone.records);
    if sets.any(|set| set.health_check_id.as_ref() == Some(id)) {
        return Err(ApiError::sender(
            "HealthCheckInUse",
            format!("The health check {id} is in use by a record"),
        ));
    }
    state.health_checks.remove(id);
    Ok(Output::empty())
}
