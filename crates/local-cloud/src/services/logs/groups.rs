//! Log groups and their retention.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::state::Group;
use super::streams::group_name;
use super::{errors, page};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>
const RETENTIONS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html>
const CLASSES: [&str; 4] = ["STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    log_group_name: String,
    kms_key_id: Option<String>,
    #[serde(default)]
    tags: IndexMap<String, String>,
    log_group_class: Option<String>,
}

/// Letters, digits and `_-/.#`, at most 512.
fn check_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.len() > 512 {
        let text = "Member must have length less than or equal to 512 and greater than or equal to 1";
        return Err(errors::constraint(name, "logGroupName", text));
    }
    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-/.#".contains(letter)) {
        let text = "Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+";
        return Err(errors::constraint(name, "logGroupName", text));
    }
    Ok(())
}

fn check_class(class: Option<&str>) -> Result<(), ApiError> {
    match class {
        Some(class) if !CLASSES.contains(&class) => {
            let text = format!("Member must satisfy enum value set: [{}]", CLASSES.join(", "));
            Err(errors::constraint(class, "logGroupClass", &text))
        }
        _ => Ok(()),
    }
}

pub(super) fn create(call: &mut Call<'_>, input: Create) -> Result<Output, ApiError> {
    check_name(&input.log_group_name)?;
    check_class(input.log_group_class.as_deref())?;
    let created = call.now.as_millisecond();
    let groups = &mut call.region().logs.groups;
    if groups.contains_key(&input.log_group_name) {
        return Err(errors::exists("log group"));
    }
    let group = Group {
        created,
        retention_days: None,
        class: input.log_group_class.unwrap_or_else(|| "STANDARD".to_owned()),
        kms_key: input.kms_key_id,
        tags: input.tags,
        streams: BTreeMap::new(),
        metric_filters: vec![],
        subscription_filters: vec![],
    };
    groups.insert(input.log_group_name, group);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    /// Names or ARNs.
    #[serde(default)]
    log_group_identifiers: Vec<String>,
    log_group_class: Option<String>,
    limit: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    log_group_name: String,
    creation_time: i64,
    retention_in_days: Option<i64>,
    metric_filter_count: usize,
    arn: String,
    log_group_arn: String,
    stored_bytes: usize,
    kms_key_id: Option<String>,
    log_group_class: String,
}

pub(super) fn describe(call: &mut Call<'_>, input: &Describe) -> Result<Output, ApiError> {
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        let text = "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.";
        return Err(errors::invalid(text));
    }
    let by_name = input.log_group_name_prefix.is_some() || input.log_group_name_pattern.is_some();
    let identifiers = &input.log_group_identifiers;
    if by_name && !identifiers.is_empty() {
        let text = "LogGroup identifiers cannot be given together with a LogGroup name prefix or pattern.";
        return Err(errors::invalid(text));
    }
    show(call, input, |name| {
        input.log_group_name_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && input.log_group_name_pattern.as_ref().is_none_or(|part| name.contains(part.as_str()))
            && (identifiers.is_empty() || identifiers.iter().any(|identifier| group_name(identifier) == name))
    })
}

/// ListLogGroups: its pattern is more than a part of the name.
pub(super) fn list(call: &mut Call<'_>, input: &Describe) -> Result<Output, ApiError> {
    let pattern = input.log_group_name_pattern.as_deref();
    show(call, input, |name| pattern.is_none_or(|pattern| matches(pattern, name)))
}

/// Whether one of the pattern's alternatives, separated by `|`, is part of the name, or its beginning if it
/// starts with `^`.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_ListLogGroups.html>
fn matches(pattern: &str, name: &str) -> bool {
    pattern.split('|').any(|part| match part.strip_prefix('^') {
        Some(prefix) => name.starts_with(prefix),
        None => name.contains(part),
    })
}

/// One page of the groups that are wanted by their name, and by what else is asked for.
fn show(call: &mut Call<'_>, input: &Describe, is_named: impl Fn(&str) -> bool) -> Result<Output, ApiError> {
    let wanted = |name: &str, group: &Group| {
        is_named(name) && input.log_group_class.as_ref().is_none_or(|class| *class == group.class)
    };
    let arn = |call: &Call<'_>, name: &str| call.arn("logs", &format!("log-group:{name}"));
    let found: Vec<(String, Group)> = {
        let groups = &call.region().logs.groups;
        let found = groups.iter().filter(|(name, group)| wanted(name, group));
        found.map(|(name, group)| (name.clone(), group.clone())).collect()
    };
    let (found, next_token) = page::of(found, input.limit, 50, input.next_token.as_deref())?;
    let shown: Vec<Shown> = found
        .into_iter()
        .map(|(name, group)| {
            let events = group.streams.values().flat_map(|stream| &stream.events);
            let log_group_arn = arn(call, &name);
            Shown {
                // The older field ends in `:*`, for use in policies.
                arn: format!("{log_group_arn}:*"),
                log_group_arn,
                log_group_name: name,
                creation_time: group.created,
                retention_in_days: group.retention_days,
                metric_filter_count: group.metric_filters.len(),
                stored_bytes: events.map(|event| size(&event.message)).sum(),
                kms_key_id: group.kms_key,
                log_group_class: group.class,
            }
        })
        .collect();
    Output::of(&json!({ "logGroups": shown, "nextToken": next_token }))
}

/// The service counts 26 bytes for each event beside its text.
pub(super) fn size(message: &str) -> usize {
    message.len() + 26
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Name {
    log_group_name: String,
}

pub(super) fn delete(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let removed = call.region().logs.groups.remove(&input.log_group_name);
    removed.map(|_| Output::empty()).ok_or_else(errors::no_group)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutRetention {
    log_group_name: String,
    retention_in_days: i64,
}

pub(super) fn put_retention(call: &mut Call<'_>, input: &PutRetention) -> Result<Output, ApiError> {
    let days = input.retention_in_days;
    if !RETENTIONS.contains(&days) {
        let allowed: Vec<String> = RETENTIONS.iter().map(ToString::to_string).collect();
        let text = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
        return Err(errors::constraint(&days.to_string(), "retentionInDays", &text));
    }
    call.region().logs.group_mut(&input.log_group_name)?.retention_days = Some(days);
    Ok(Output::empty())
}

pub(super) fn delete_retention(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    call.region().logs.group_mut(&input.log_group_name)?.retention_days = None;
    Ok(Output::empty())
}
