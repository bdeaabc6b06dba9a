//! Metric alarms.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::history::{self, Item};
use super::{missing_parameter, not_found, one_of, page};
use crate::services::Call;
use crate::services::tag::{self, Tag, Tags};
use crate::wire::{ApiError, EpochSeconds, Output};

const STATES: [&str; 3] = ["OK", "ALARM", "INSUFFICIENT_DATA"];

/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>
const COMPARISONS: [&str; 7] = [
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
];

/// An alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Alarm {
    settings: Settings,
    pub(super) arn: String,
    configured: Timestamp,
    state: String,
    reason: String,
    reason_data: Option<String>,
    state_updated: Timestamp,
    state_changed: Timestamp,
    pub(super) tags: Tags,
}

impl Alarm {
    pub(super) fn fires(&self) -> bool {
        self.state == "ALARM"
    }
}

/// What PutMetricAlarm sets.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Settings {
    alarm_name: String,
    alarm_description: Option<String>,
    actions_enabled: Option<bool>,
    #[serde(rename = "OKActions")]
    ok_actions: Vec<String>,
    alarm_actions: Vec<String>,
    insufficient_data_actions: Vec<String>,
    metric_name: Option<String>,
    namespace: Option<String>,
    statistic: Option<String>,
    extended_statistic: Option<String>,
    dimensions: Vec<Dimension>,
    period: Option<i64>,
    unit: Option<String>,
    evaluation_periods: Option<i64>,
    datapoints_to_alarm: Option<i64>,
    threshold: Option<f64>,
    comparison_operator: Option<String>,
    treat_missing_data: Option<String>,
    evaluate_low_sample_count_percentile: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<Query>,
    threshold_metric_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: String,
}

/// One of the metrics, or expressions on them, of an alarm on metric math.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    id: String,
    metric_stat: Option<MetricStat>,
    expression: Option<String>,
    label: Option<String>,
    return_data: Option<bool>,
    period: Option<i64>,
    account_id: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: Metric,
    period: i64,
    stat: String,
    unit: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagsInput {
    #[serde(default)]
    tags: Vec<Tag>,
}

fn check(settings: &Settings) -> Result<(), ApiError> {
    if settings.alarm_name.is_empty() {
        return Err(missing_parameter("AlarmName"));
    }
    let operator =
        settings.comparison_operator.as_ref().ok_or_else(|| missing_parameter("ComparisonOperator"))?;
    one_of(operator, "comparisonOperator", &COMPARISONS)?;
    settings.evaluation_periods.ok_or_else(|| missing_parameter("EvaluationPeriods"))?;
    let invalid = |message: &str| Err(ApiError::sender("ValidationError", message));
    if settings.metrics.is_empty() {
        settings.metric_name.as_ref().ok_or_else(|| missing_parameter("MetricName"))?;
        settings.namespace.as_ref().ok_or_else(|| missing_parameter("Namespace"))?;
        settings.period.ok_or_else(|| missing_parameter("Period"))?;
        match (&settings.statistic, &settings.extended_statistic) {
            (None, None) => return Err(missing_parameter("Statistic")),
            (Some(_), Some(_)) => {
                return invalid(
                    "The parameters Statistic and ExtendedStatistic cannot be specified together.",
                );
            }
            _ => {}
        }
    } else if settings.metric_name.is_some() {
        return invalid("Metrics list and MetricName cannot be specified together.");
    }
    if settings.threshold.is_none() && settings.threshold_metric_id.is_none() {
        return Err(missing_parameter("Threshold"));
    }
    Ok(())
}

/// A new alarm has no data. One that is there keeps its state and tags and gets all other settings anew.
pub(super) fn put(call: &mut Call<'_>, settings: Settings, tags: TagsInput) -> Result<Output, ApiError> {
    check(&settings)?;
    let (name, now) = (settings.alarm_name.clone(), call.now);
    let arn = call.arn("cloudwatch", &format!("alarm:{name}"));
    let state = &mut call.region().cloudwatch;
    let known = state.alarms.contains_key(&name);
    let alarm = state.alarms.entry(name.clone()).or_insert_with(|| {
        let mut own = Tags::default();
        tag::add(&mut own, &tags.tags);
        Alarm {
            settings: Settings::default(),
            arn,
            configured: now,
            state: "INSUFFICIENT_DATA".to_owned(),
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            state_updated: now,
            state_changed: now,
            tags: own,
        }
    });
    alarm.settings = settings;
    alarm.configured = now;
    let what = if known { "updated" } else { "created" };
    history::add(state, Item::new(&name, now, "ConfigurationUpdate", format!("Alarm \"{name}\" {what}")));
    Ok(Output::empty())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    #[serde(flatten)]
    settings: &'a Settings,
    actions_enabled: bool,
    alarm_arn: &'a str,
    alarm_configuration_updated_timestamp: EpochSeconds,
    state_value: &'a str,
    state_reason: &'a str,
    state_reason_data: Option<&'a str>,
    state_updated_timestamp: EpochSeconds,
    state_transitioned_timestamp: EpochSeconds,
}

impl Alarm {
    fn shown(&self) -> Result<Value, ApiError> {
        let shown = Shown {
            settings: &Settings { actions_enabled: None, ..self.settings.clone() },
            actions_enabled: self.settings.actions_enabled.unwrap_or(true),
            alarm_arn: &self.arn,
            alarm_configuration_updated_timestamp: EpochSeconds(self.configured),
            state_value: &self.state,
            state_reason: &self.reason,
            state_reason_data: self.reason_data.as_deref(),
            state_updated_timestamp: EpochSeconds(self.state_updated),
            state_transitioned_timestamp: EpochSeconds(self.state_changed),
        };
        serde_json::to_value(shown).map_err(|error| ApiError::receiver("InternalFailure", error.to_string()))
    }

    fn has_action(&self, prefix: &str) -> bool {
        let settings = &self.settings;
        let lists = [&settings.ok_actions, &settings.alarm_actions, &settings.insufficient_data_actions];
        lists.into_iter().flatten().any(|action| action.starts_with(prefix))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    alarm_names: Vec<String>,
    alarm_name_prefix: Option<String>,
    #[serde(default)]
    alarm_types: Vec<String>,
    state_value: Option<String>,
    action_prefix: Option<String>,
    max_records: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    if let Some(state) = &input.state_value {
        one_of(state, "stateValue", &STATES)?;
    }
    let metric = input.alarm_types.is_empty() || input.alarm_types.iter().any(|kind| kind == "MetricAlarm");
    let wanted = |name: &String, alarm: &Alarm| {
        metric
            && (input.alarm_names.is_empty() || input.alarm_names.contains(name))
            && input.alarm_name_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && input.state_value.as_ref().is_none_or(|state| *state == alarm.state)
            && input.action_prefix.as_ref().is_none_or(|prefix| alarm.has_action(prefix))
    };
    let found = call.region().cloudwatch.alarms.iter().filter(|(name, alarm)| wanted(name, alarm));
    let found = found.map(|(_, alarm)| alarm.shown()).collect::<Result<Vec<_>, _>>()?;
    let (found, next) = page(found, input.max_records, 50, input.next_token.as_deref())?;
    Output::of(&json!({ "MetricAlarms": found, "CompositeAlarms": [], "NextToken": next }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ForMetricInput {
    metric_name: String,
    namespace: String,
    statistic: Option<String>,
    period: Option<i64>,
    unit: Option<String>,
    dimensions: Option<Vec<Dimension>>,
}

pub(super) fn describe_for_metric(call: &mut Call<'_>, input: &ForMetricInput) -> Result<Output, ApiError> {
    let wanted = |alarm: &&Alarm| {
        let settings = &alarm.settings;
        settings.metric_name.as_ref() == Some(&input.metric_name)
            && settings.namespace.as_ref() == Some(&input.namespace)
            && (input.statistic.is_none() || input.statistic == settings.statistic)
            && (input.period.is_none() || input.period == settings.period)
            && (input.unit.is_none() || input.unit == settings.unit)
            && input.dimensions.as_ref().is_none_or(|dimensions| *dimensions == settings.dimensions)
    };
    let found = call.region().cloudwatch.alarms.values().filter(wanted);
    let found = found.map(Alarm::shown).collect::<Result<Vec<_>, _>>()?;
    Output::of(&json!({ "MetricAlarms": found }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NamesInput {
    #[serde(default)]
    alarm_names: Vec<String>,
}

/// With a name that does not exist nothing is deleted.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DeleteAlarms.html>
pub(super) fn delete(call: &mut Call<'_>, input: &NamesInput) -> Result<Output, ApiError> {
    let alarms = &mut call.region().cloudwatch.alarms;
    let unknown: Vec<&str> =
        input.alarm_names.iter().map(String::as_str).filter(|name| !alarms.contains_key(*name)).collect();
    if !unknown.is_empty() {
        return Err(not_found(format!("Alarms not found: {}", unknown.join(", "))));
    }
    alarms.retain(|name, _| !input.alarm_names.contains(name));
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StateInput {
    #[serde(default)]
    alarm_name: String,
    #[serde(default)]
    state_value: String,
    #[serde(default)]
    state_reason: String,
    state_reason_data: Option<String>,
}

pub(super) fn set_state(call: &mut Call<'_>, input: &StateInput) -> Result<Output, ApiError> {
    one_of(&input.state_value, "stateValue", &STATES)?;
    let data = input.state_reason_data.as_deref();
    if data.is_some_and(|data| serde_json::from_str::<Value>(data).is_err()) {
        return Err(ApiError::sender("InvalidFormat", "StateReasonData is not JSON."));
    }
    let (name, now) = (&input.alarm_name, call.now);
    let state = &mut call.region().cloudwatch;
    let alarm =
        state.alarms.get_mut(name).ok_or_else(|| not_found(format!("Alarm {name} does not exist")))?;
    let before = std::mem::replace(&mut alarm.state, input.state_value.clone());
    alarm.reason.clone_from(&input.state_reason);
    alarm.reason_data.clone_from(&input.state_reason_data);
    alarm.state_updated = now;
    if before != alarm.state {
        alarm.state_changed = now;
        let summary = format!("Alarm updated from {before} to {}", alarm.state);
        history::add(state, Item::new(name, now, "StateUpdate", summary));
    }
    Ok(Output::empty())
}

/// Names that do not exist are passed over.
pub(super) fn enable_actions(
    call: &mut Call<'_>,
    input: &NamesInput,
    enabled: bool,
) -> Result<Output, ApiError> {
    for name in &input.alarm_names {
        if let Some(alarm) = call.region().cloudwatch.alarms.get_mut(name) {
            alarm.settings.actions_enabled = Some(enabled);
        }
    }
    Ok(Output::empty())
}
