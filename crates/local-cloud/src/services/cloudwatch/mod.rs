//! Amazon CloudWatch: alarms, as data. Nothing is measured, so an alarm changes its state only by
//! SetAlarmState; what watches alarms, such as a CodeDeploy deployment, reacts to that.
//!
//! Source: docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference

mod alarms;
mod history;
mod metrics;
mod tags;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CloudWatchState {
    /// By name.
    alarms: IndexMap<String, alarms::Alarm>,
    /// The newest last.
    history: Vec<history::Item>,
}

impl CloudWatchState {
    /// How many alarms there are.
    pub(crate) fn alarm_count(&self) -> usize {
        self.alarms.len()
    }

    /// Whether the alarm with this name is in the state ALARM; one that does not exist is not.
    pub(crate) fn fires(&self, alarm: &str) -> bool {
        self.alarms.get(alarm).is_some_and(alarms::Alarm::fires)
    }
}

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "PutMetricAlarm" => alarms::put(call, input.parse()?, input.parse()?),
        "DescribeAlarms" => alarms::describe(call, &input.parse()?),
        "DescribeAlarmsForMetric" => alarms::describe_for_metric(call, &input.parse()?),
        "DeleteAlarms" => alarms::delete(call, &input.parse()?),
        "SetAlarmState" => alarms::set_state(call, &input.parse()?),
        "EnableAlarmActions" => alarms::enable_actions(call, &input.parse()?, true),
        "DisableAlarmActions" => alarms::enable_actions(call, &input.parse()?, false),
        "DescribeAlarmHistory" => history::describe(call, &input.parse()?),
        "PutMetricData" => metrics::put_data(),
        "ListMetrics" => metrics::list(),
        "GetMetricStatistics" => metrics::statistics(&input.parse()?),
        "GetMetricData" => metrics::data(),
        "TagResource" => tags::tag(call, &input.parse()?),
        "UntagResource" => tags::untag(call, &input.parse()?),
        "ListTagsForResource" => tags::list(call, &input.parse()?),
        _ => Err(missing(Service::CloudWatch, operation)),
    }
}

fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::sender("ResourceNotFound", message).with_status(http::StatusCode::NOT_FOUND)
}

fn missing_parameter(name: &str) -> ApiError {
    ApiError::sender("MissingParameter", format!("The parameter {name} is required."))
}

/// A value that is none of those that a field may have.
fn one_of(value: &str, field: &str, allowed: &[&str]) -> Result<(), ApiError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let message = format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: Member must satisfy \
         enum value set: [{}]",
        allowed.join(", ")
    );
    Err(ApiError::sender("ValidationError", message))
}

/// Part of a list, and the token of the next part.
fn page<T>(
    items: Vec<T>,
    most: Option<usize>,
    default: usize,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let start = match token.filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| ApiError::sender("InvalidNextToken", "The next token specified is invalid."))?,
    };
    let size = most.unwrap_or(default).clamp(1, 100);
    let next = start.saturating_add(size);
    let token = (items.len() > next).then(|| next.to_string());
    Ok((items.into_iter().skip(start).take(size).collect(), token))
}
