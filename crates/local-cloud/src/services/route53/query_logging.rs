//! Configurations for query logging, as data: the cloud's DNS server writes no log of queries.
//!
//! Source: docs.aws.amazon.com/Route53/latest/APIReference/API_CreateQueryLoggingConfig.html

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ids;
use super::zones::{IdInput, page_size};
use crate::services::Call;
use crate::wire::{ApiError, Output};
use crate::world::{Arn, Partition};

/// Where the queries of a zone are logged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct QueryLogging {
    zone: String,
    log_group: String,
}

impl QueryLogging {
    fn shown(&self, id: &str) -> Value {
        json!({ "Id": id, "HostedZoneId": self.zone, "CloudWatchLogsLogGroupArn": self.log_group })
    }
}

fn unknown() -> ApiError {
    ids::not_found("NoSuchQueryLoggingConfig", "The query logging configuration does not exist".to_owned())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CreateInput {
    hosted_zone_id: String,
    cloud_watch_logs_log_group_arn: String,
}

/// The log group must be in the first region of AWS, where Route 53 lives, and exist.
fn check_group(call: &Call<'_>, arn: &str) -> Result<(), ApiError> {
    let parsed = Arn::parse(arn).filter(|arn| arn.service == "logs");
    let name = parsed.as_ref().and_then(|arn| arn.resource.strip_prefix("log-group:"));
    let (Some(parsed), Some(name)) = (&parsed, name) else {
        return Err(ids::invalid_input("The ARN for the CloudWatch Logs log group is invalid."));
    };
    let place = Partition { account: parsed.account.to_owned(), region: parsed.region.to_owned() };
    let name = name.trim_end_matches(":*");
    if call.state.region(&place).is_some_and(|region| region.logs.has_group(name)) {
        return Ok(());
    }
    let message = "The specified CloudWatch Logs log group doesn't exist.";
    Err(ids::not_found("NoSuchCloudWatchLogsLogGroup", message.to_owned()))
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let zone = ids::bare(&input.hosted_zone_id).to_owned();
    if !call.account().route53.zones.contains_key(&zone) {
        return Err(ids::no_zone(&zone));
    }
    check_group(call, &input.cloud_watch_logs_log_group_arn)?;
    let configurations = &mut call.account().route53.query_logging;
    if configurations.values().any(|known| known.zone == zone) {
        let message = "A query logging configuration already exists for this hosted zone.";
        return Err(ids::conflict("QueryLoggingConfigAlreadyExists", message));
    }
    let id = Uuid::new_v4().to_string();
    let made = QueryLogging { zone, log_group: input.cloud_watch_logs_log_group_arn.clone() };
    let answer = json!({ "QueryLoggingConfig": made.shown(&id) });
    let location = format!("https://route53.amazonaws.com/2013-04-01/queryloggingconfig/{id}");
    configurations.insert(id, made);
    Ok(Output::of(&answer)?.created_at(location))
}

pub(super) fn get(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let known = call.account().route53.query_logging.get(&input.id).ok_or_else(unknown)?;
    Output::of(&json!({ "QueryLoggingConfig": known.shown(&input.id) }))
}

pub(super) fn delete(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    call.account().route53.query_logging.remove(&input.id).map(|_| Output::empty()).ok_or_else(unknown)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListInput {
    hosted_zone_id: Option<String>,
    max_results: Option<String>,
    next_token: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let size = page_size(input.max_results.as_deref(), 100)?;
    let state = &call.account().route53;
    let zone = input.hosted_zone_id.as_deref().map(ids::bare);
    if let Some(unknown) = zone.filter(|zone| !state.zones.contains_key(*zone)) {
        return Err(ids::no_zone(unknown));
    }
    let start = input.next_token.as_deref();
    let mut rest = state
        .query_logging
        .iter()
        .filter(|(id, _)| start.is_none_or(|start| id.as_str() >= start))
        .filter(|(_, known)| zone.is_none_or(|zone| known.zone == zone));
    let shown: Vec<_> = rest.by_ref().take(size).map(|(id, known)| known.shown(id)).collect();
    let next = rest.next().map(|(id, _)| id);
    Output::of(&json!({ "QueryLoggingConfigs": shown, "NextToken": next }))
}
