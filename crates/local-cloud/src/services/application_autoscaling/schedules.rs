//! Scheduled actions: kept and shown.

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::page::Page;
use super::{Call, Dimension, invalid, targets};
use crate::wire::{ApiError, EpochSeconds, Input, Output};

/// A scheduled action.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Schedule {
    scheduled_action_name: String,
    #[serde(rename = "ScheduledActionARN")]
    scheduled_action_arn: String,
    #[serde(flatten)]
    pub(super) dimension: Dimension,
    creation_time: EpochSeconds,
    /// `Schedule`, `Timezone`, `StartTime`, `EndTime`, `ScalableTargetAction`.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

const FIELDS: [&str; 5] = ["Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NameInput {
    scheduled_action_name: String,
    #[serde(flatten)]
    dimension: Dimension,
}

/// PutScheduledAction: also updates; what is not given stays.
pub(super) fn put(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let name: NameInput = input.parse()?;
    let mut rest: Map<String, Value> = input.parse()?;
    rest.retain(|field, _| FIELDS.contains(&field.as_str()));
    targets::check(&name.dimension)?;
    rest.retain(|_, value| !value.is_null());
    check(&rest)?;
    let now = call.now;
    let arn = call.arn(
        "autoscaling",
        &format!(
            "scheduledAction:{}:resource/{}/{}:scheduledActionName/{}",
            Uuid::new_v4(),
            name.dimension.service_namespace,
            name.dimension.resource_id,
            name.scheduled_action_name
        ),
    );
    let state = &mut call.region().application_autoscaling;
    if !state.targets.iter().any(|target| target.dimension == name.dimension) {
        return Err(name.dimension.not_found("scalable target", ""));
    }
    let is_complete = ["Schedule", "ScalableTargetAction"].iter().all(|field| rest.contains_key(*field));
    let known = state.schedules.iter_mut().find(|schedule| {
        schedule.scheduled_action_name == name.scheduled_action_name && schedule.dimension == name.dimension
    });
    match known {
        Some(schedule) => schedule.rest.extend(rest),
        None if !is_complete => {
            return Err(invalid("A new scheduled action needs a Schedule and a ScalableTargetAction."));
        }
        None => state.schedules.push(Schedule {
            scheduled_action_name: name.scheduled_action_name,
            scheduled_action_arn: arn,
            dimension: name.dimension,
            creation_time: EpochSeconds(now),
            rest,
        }),
    }
    Ok(Output::empty())
}

/// Checks what is given.
fn check(given: &Map<String, Value>) -> Result<(), ApiError> {
    if let Some(schedule) = given.get("Schedule")
        && !schedule.as_str().is_some_and(is_schedule)
    {
        return Err(invalid(
            "The schedule must be at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(fields).",
        ));
    }
    let Some(action) = given.get("ScalableTargetAction") else { return Ok(()) };
    match (action["MinCapacity"].as_i64(), action["MaxCapacity"].as_i64()) {
        (None, None) => Err(invalid("A ScalableTargetAction needs a MinCapacity or a MaxCapacity.")),
        (Some(min), Some(max)) if min > max => {
            Err(invalid("Maximum capacity cannot be less than minimum capacity"))
        }
        _ => Ok(()),
    }
}

/// Whether the text is a time, a rate, or the six fields of a cron expression.
///
/// Source: docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScheduledAction.html
fn is_schedule(text: &str) -> bool {
    let Some((kind, what)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
        return false;
    };
    match kind {
        // The length: a parser of times takes `2030-1-1` as well.
        "at" => what.len() == 19 && DateTime::strptime("%Y-%m-%dT%H:%M:%S", what).is_ok(),
        "rate" => what.split_once(' ').is_some_and(|(value, unit)| {
            let units = ["minute", "minutes", "hour", "hours", "day", "days"];
            value.parse::<u32>().is_ok_and(|value| value > 0) && units.contains(&unit)
        }),
        "cron" => what.split_whitespace().count() == 6,
        _ => false,
    }
}

/// DescribeScheduledActions.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Which {
        service_namespace: String,
        #[serde(default)]
        scheduled_action_names: Vec<String>,
        #[serde(default)]
        resource_id: Option<String>,
        #[serde(default)]
        scalable_dimension: Option<String>,
    }
    let page: Page = input.parse()?;
    let which: Which = input.parse()?;
    targets::check_namespace(&which.service_namespace)?;
    let wanted = |schedule: &&Schedule| {
        let names = &which.scheduled_action_names;
        let dimension = &schedule.dimension;
        dimension.service_namespace == which.service_namespace
            && (names.is_empty() || names.contains(&schedule.scheduled_action_name))
            && which.resource_id.as_ref().is_none_or(|it| *it == dimension.resource_id)
            && which.scalable_dimension.as_ref().is_none_or(|it| *it == dimension.scalable_dimension)
    };
    let found = call.region().application_autoscaling.schedules.iter().filter(wanted).cloned().collect();
    let (actions, next) = page.of(found)?;
    Output::of(&json!({ "ScheduledActions": actions, "NextToken": next }))
}

/// DeleteScheduledAction.
pub(super) fn delete(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let which: NameInput = input.parse()?;
    let schedules = &mut call.region().application_autoscaling.schedules;
    let before = schedules.len();
    schedules.retain(|schedule| {
        schedule.scheduled_action_name != which.scheduled_action_name || schedule.dimension != which.dimension
    });
    if schedules.len() == before {
        let more = format!(", scheduled action name: {}", which.scheduled_action_name);
        return Err(which.dimension.not_found("scheduled action", &more));
    }
    Ok(Output::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_times_rates_or_six_fields() {
        for right in ["at(2030-01-31T09:00:00)", "rate(1 hour)", "rate(15 minutes)", "cron(0 22 * * ? *)"] {
            assert!(is_schedule(right), "{right}");
        }
        for wrong in [
            "hourly",
            "at(2030-1-31T9:0:0)",
            "at(2030-02-31T09:00:00)",
            "rate(0 hours)",
            "rate(1 week)",
            "rate(1hour)",
            "cron(0 22 * * ?)",
            "cron(0 22 * * ? *",
        ] {
            assert!(!is_schedule(wrong), "{wrong}");
        }
    }
}
