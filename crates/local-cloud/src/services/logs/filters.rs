//! Metric filters and subscription filters of log groups: kept and shown. Nothing is counted or sent on.
//!
//! Source: docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutMetricFilter.html

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::state::Group;
use super::{errors, page};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// A metric filter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetricFilter {
    filter_name: String,
    filter_pattern: String,
    metric_transformations: Vec<Transformation>,
    #[serde(default)]
    creation_time: i64,
    log_group_name: String,
}

/// How an event becomes a number.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transformation {
    metric_name: String,
    metric_namespace: String,
    metric_value: String,
    default_value: Option<f64>,
    dimensions: Option<Value>,
    unit: Option<String>,
}

/// A subscription filter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscriptionFilter {
    filter_name: String,
    log_group_name: String,
    filter_pattern: String,
    destination_arn: String,
    role_arn: Option<String>,
    #[serde(default = "by_stream")]
    distribution: String,
    #[serde(default)]
    creation_time: i64,
}

fn by_stream() -> String {
    "ByLogStream".to_owned()
}

/// Filters a log group may have: a hundred metric filters, two subscription filters.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
const MOST_METRIC_FILTERS: usize = 100;
const MOST_SUBSCRIPTION_FILTERS: usize = 2;

fn check_filter_name(name: &str) -> Result<(), ApiError> {
    if !(1..=512).contains(&name.len()) {
        let text = "Member must have length less than or equal to 512 and greater than or equal to 1";
        return Err(errors::constraint(name, "filterName", text));
    }
    if name.contains([':', '*']) {
        let text = "Member must satisfy regular expression pattern: [^:*]*";
        return Err(errors::constraint(name, "filterName", text));
    }
    Ok(())
}

fn too_many() -> ApiError {
    ApiError::sender("LimitExceededException", "Resource limit exceeded.")
}

fn no_filter(what: &str) -> ApiError {
    ApiError::sender("ResourceNotFoundException", format!("The specified {what} filter does not exist."))
}

pub(super) fn put_metric(call: &mut Call<'_>, mut input: MetricFilter) -> Result<Output, ApiError> {
    check_filter_name(&input.filter_name)?;
    if input.metric_transformations.len() != 1 {
        let text = "Member must have length less than or equal to 1 and greater than or equal to 1";
        return Err(errors::constraint("[...]", "metricTransformations", text));
    }
    input.creation_time = call.now.as_millisecond();
    let group = call.region().logs.group_mut(&input.log_group_name)?;
    let full = group.metric_filters.len() == MOST_METRIC_FILTERS;
    match group.metric_filters.iter_mut().find(|known| known.filter_name == input.filter_name) {
        Some(known) => *known = input,
        None if full => return Err(too_many()),
        None => group.metric_filters.push(input),
    }
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete {
    log_group_name: String,
    filter_name: String,
}

pub(super) fn delete_metric(call: &mut Call<'_>, input: &Delete) -> Result<Output, ApiError> {
    check_filter_name(&input.filter_name)?;
    let filters = &mut call.region().logs.group_mut(&input.log_group_name)?.metric_filters;
    let index = filters.iter().position(|known| known.filter_name == input.filter_name);
    filters.remove(index.ok_or_else(|| no_filter("metric"))?);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    log_group_name: Option<String>,
    filter_name_prefix: Option<String>,
    metric_name: Option<String>,
    metric_namespace: Option<String>,
    limit: Option<i64>,
    next_token: Option<String>,
}

impl Describe {
    fn wants(&self, name: &str) -> bool {
        self.filter_name_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Filters by name and namespace of the metric come in pairs.
    fn wants_metric(&self, filter: &MetricFilter) -> bool {
        filter.metric_transformations.iter().any(|transformation| {
            self.metric_name.as_ref().is_none_or(|name| *name == transformation.metric_name)
                && self
                    .metric_namespace
                    .as_ref()
                    .is_none_or(|space| *space == transformation.metric_namespace)
        })
    }

    fn groups<'a>(&self, call: &'a mut Call<'_>) -> Result<Vec<&'a Group>, ApiError> {
        let logs = &mut call.region().logs;
        match &self.log_group_name {
            Some(name) => Ok(vec![&*logs.group_mut(name)?]),
            None => Ok(logs.groups.values().collect()),
        }
    }
}

pub(super) fn describe_metric(call: &mut Call<'_>, input: &Describe) -> Result<Output, ApiError> {
    if input.metric_name.is_some() != input.metric_namespace.is_some() {
        return Err(errors::invalid("metricName and metricNamespace must be specified together."));
    }
    let mut found: Vec<MetricFilter> = input
        .groups(call)?
        .into_iter()
        .flat_map(|group| &group.metric_filters)
        .filter(|filter| input.wants(&filter.filter_name) && input.wants_metric(filter))
        .cloned()
        .collect();
    found.sort_by(|one, other| one.filter_name.cmp(&other.filter_name));
    let (found, next) = page::of(found, input.limit, 50, input.next_token.as_deref())?;
    Output::of(&json!({ "metricFilters": found, "nextToken": next }))
}

pub(super) fn put_subscription(
    call: &mut Call<'_>,
    mut input: SubscriptionFilter,
) -> Result<Output, ApiError> {
    check_filter_name(&input.filter_name)?;
    if crate::world::Arn::parse(&input.destination_arn).is_none() {
        return Err(errors::invalid(format!("destinationArn '{}' is not an ARN.", input.destination_arn)));
    }
    input.creation_time = call.now.as_millisecond();
    let group = call.region().logs.group_mut(&input.log_group_name)?;
    let full = group.subscription_filters.len() == MOST_SUBSCRIPTION_FILTERS;
    match group.subscription_filters.iter_mut().find(|known| known.filter_name == input.filter_name) {
        Some(known) => {
            input.creation_time = known.creation_time;
            *known = input;
        }
        None if full => return Err(too_many()),
        None => group.subscription_filters.push(input),
    }
    Ok(Output::empty())
}

pub(super) fn delete_subscription(call: &mut Call<'_>, input: &Delete) -> Result<Output, ApiError> {
    let filters = &mut call.region().logs.group_mut(&input.log_group_name)?.subscription_filters;
    let index = filters.iter().position(|known| known.filter_name == input.filter_name);
    filters.remove(index.ok_or_else(|| no_filter("subscription"))?);
    Ok(Output::empty())
}

pub(super) fn describe_subscription(call: &mut Call<'_>, input: &Describe) -> Result<Output, ApiError> {
    let mut found: Vec<SubscriptionFilter> = input
        .groups(call)?
        .into_iter()
        .flat_map(|group| &group.subscription_filters)
        .filter(|filter| input.wants(&filter.filter_name))
        .cloned()
        .collect();
    found.sort_by(|one, other| one.filter_name.cmp(&other.filter_name));
    let (found, next) = page::of(found, input.limit, 50, input.next_token.as_deref())?;
    Output::of(&json!({ "subscriptionFilters": found, "nextToken": next }))
}
