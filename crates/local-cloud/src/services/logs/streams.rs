//! Log streams.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::state::Stream;
use super::{errors, page};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A group by name or by ARN, as most calls take it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupRef {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
}

impl GroupRef {
    /// The group's name.
    pub(super) fn name(&self) -> Result<String, ApiError> {
        match (&self.log_group_name, &self.log_group_identifier) {
            (Some(name), None) => Ok(name.clone()),
            (None, Some(identifier)) => Ok(group_name(identifier).to_owned()),
            _ => {
                Err(errors::invalid("Either logGroupName or logGroupIdentifier must be given, and not both."))
            }
        }
    }
}

/// The name of a group, by that or by its ARN.
pub(super) fn group_name(identifier: &str) -> &str {
    let name = identifier.split_once(":log-group:").map_or(identifier, |(_, name)| name);
    name.trim_end_matches(":*")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Name {
    log_group_name: String,
    log_stream_name: String,
}

pub(super) fn create(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let name = &input.log_stream_name;
    if name.is_empty() || name.len() > 512 || name.contains([':', '*']) {
        let text = "Member must satisfy regular expression pattern: [^:*]*";
        return Err(errors::constraint(name, "logStreamName", text));
    }
    let created = call.now.as_millisecond();
    let group = call.region().logs.group_mut(&input.log_group_name)?;
    if group.streams.contains_key(name) {
        return Err(errors::exists("log stream"));
    }
    group.streams.insert(name.clone(), Stream { created, ..Stream::default() });
    Ok(Output::empty())
}

pub(super) fn delete(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let group = call.region().logs.group_mut(&input.log_group_name)?;
    group.streams.remove(&input.log_stream_name).map(|_| Output::empty()).ok_or_else(errors::no_stream)
}

/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogStreams.html>
const ORDERS: [&str; 2] = ["LogStreamName", "LastEventTime"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    #[serde(flatten)]
    group: GroupRef,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    #[serde(default)]
    descending: bool,
    limit: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    log_stream_name: String,
    creation_time: i64,
    first_event_timestamp: Option<i64>,
    last_event_timestamp: Option<i64>,
    last_ingestion_time: Option<i64>,
    upload_sequence_token: String,
    arn: String,
    /// Zero since 2019, other than for groups (API_LogStream).
    stored_bytes: usize,
}

pub(super) fn describe(call: &mut Call<'_>, input: &Describe) -> Result<Output, ApiError> {
    let group_name = input.group.name()?;
    let by_time = input.order_by.as_deref() == Some("LastEventTime");
    if let Some(order) = input.order_by.as_deref().filter(|order| !ORDERS.contains(order)) {
        let text = "Member must satisfy enum value set: [LogStreamName, LastEventTime]";
        return Err(errors::constraint(order, "orderBy", text));
    }
    if by_time && input.log_stream_name_prefix.is_some() {
        return Err(errors::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let streams = &call.region().logs.group_mut(&group_name)?.streams;
    let prefix = input.log_stream_name_prefix.as_deref().unwrap_or_default();
    let found = streams.iter().filter(|(name, _)| name.starts_with(prefix));
    let mut found: Vec<(String, Stream)> =
        found.map(|(name, stream)| (name.clone(), stream.clone())).collect();
    if by_time {
        found.sort_by_key(|(_, stream)| stream.last_event);
    }
    if input.descending {
        found.reverse();
    }
    let (found, next_token) = page::of(found, input.limit, 50, input.next_token.as_deref())?;
    let shown: Vec<Shown> = found
        .into_iter()
        .map(|(name, stream)| Shown {
            arn: call.arn("logs", &format!("log-group:{group_name}:log-stream:{name}")),
            log_stream_name: name,
            creation_time: stream.created,
            first_event_timestamp: stream.first_event,
            last_event_timestamp: stream.last_event,
            last_ingestion_time: stream.last_ingestion,
            upload_sequence_token: stream.received.to_string(),
            stored_bytes: 0,
        })
        .collect();
    Output::of(&json!({ "logStreams": shown, "nextToken": next_token }))
}
