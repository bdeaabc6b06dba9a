//! Scheduled actions: kept and shown.

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
    if let Some(schedule) = rest.get("Schedule").and_then(Value::as_str)
        && !["at(", "rate(", "cron("].iter().any(|kind| schedule.starts_with(kind))
    {
        return Err(invalid("The schedule must be at(…), rate(…) or cron(…)."));
    }
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
    let known = state.schedules.iter_mut().find(|schedule| {
        schedule.scheduled_action_name == name.scheduled_action_name && schedule.dimension == name.dimension
    });
    match known {
        Some(schedule) => schedule.rest.extend(rest),
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
