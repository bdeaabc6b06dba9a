//! Metric filters and subscription filters: kept and shown. No metric is counted and nothing is sent on.
//!
//! Source: docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutMetricFilter.html and
//! API_PutSubscriptionFilter.html there

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::groups::check_name;
use super::{errors, page};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// The most of each kind that a group may have.
const MOST_METRIC_FILTERS: usize = 100;
const MOST_SUBSCRIPTIONS: usize = 2;

/// A metric filter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetricFilter {
    filter_name: String,
    filter_pattern: String,
    metric_transformations: Vec<Transformation>,
    creation_time: i64,
    log_group_name: String,
    apply_on_transformed_logs: bool,
}

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutMetric {
    log_group_name: String,
    filter_name: String,
    #[serde(default)]
    filter_pattern: String,
    #[serde(default)]
    metric_transformations: Vec<Transformation>,
    #[serde(default)]
    apply_on_transformed_logs: bool,
}

fn at_most(value: &str, field: &str, most: usize) -> Result<(), ApiError> {
    if value.chars().count() <= most {
        return Ok(());
    }
    let text = format!("Member must have length less than or equal to {most}");
    Err(errors::constraint(value, field, &text))
}

/// 1 to 512 characters without colon and asterisk.
fn check_filter_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        let text = "Member must have length greater than or equal to 1";
        return Err(errors::constraint(name, "filterName", text));
    }
    at_most(name, "filterName", 512)?;
    if name.contains([':', '*']) {
        let text = "Member must satisfy regular expression pattern: [^:*]*";
        return Err(errors::constraint(name, "filterName", text));
    }
    Ok(())
}

pub(super) fn put_metric(call: &mut Call<'_>, input: PutMetric) -> Result<Output, ApiError> {
    check_name(&input.log_group_name)?;
    check_filter_name(&input.filter_name)?;
    at_most(&input.filter_pattern, "filterPattern", 1024)?;
    if input.metric_transformations.len() != 1 {
        let text = "Member must have length less than or equal to 1 and greater than or equal to 1";
        return Err(errors::constraint("[...]", "metricTransformations", text));
    }
    let now = call.now.as_millisecond();
    let filters = &mut call.region().logs.group_mut(&input.log_group_name)?.metric_filters;
    if filters.len() >= MOST_METRIC_FILTERS && !filters.contains_key(&input.filter_name) {
        return Err(ApiError::sender("LimitExceededException", "Resource limit exceeded."));
    }
    let filter = MetricFilter {
        creation_time: filters.get(&input.filter_name).map_or(now, |known| known.creation_time),
        filter_name: input.filter_name,
        filter_pattern: input.filter_pattern,
        metric_transformations: input.metric_transformations,
        log_group_name: input.log_group_name,
        apply_on_transformed_logs: input.apply_on_transformed_logs,
    };
    filters.insert(filter.filter_name.clone(), filter);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeMetric {
    log_group_name: Option<String>,
    filter_name_prefix: Option<String>,
    metric_name: Option<String>,
    metric_namespace: Option<String>,
    limit: Option<i64>,
    next_token: Option<String>,
}

impl DescribeMetric {
    fn check(&self) -> Result<(), ApiError> {
        self.log_group_name.as_deref().map_or(Ok(()), check_name)?;
        let fields = [
            (&self.filter_name_prefix, "filterNamePrefix", 512),
            (&self.metric_name, "metricName", 255),
            (&self.metric_namespace, "metricNamespace", 255),
        ];
        for (value, field, most) in fields {
            at_most(value.as_deref().unwrap_or_default(), field, most)?;
        }
        if self.metric_name.is_some() != self.metric_namespace.is_some() {
            return Err(errors::invalid("metricName and metricNamespace must be specified together."));
        }
        Ok(())
    }

    fn takes(&self, filter: &MetricFilter) -> bool {
        let mut metrics = filter.metric_transformations.iter();
        let by_metric = |metric: &Transformation| {
            Some(&metric.metric_name) == self.metric_name.as_ref()
                && Some(&metric.metric_namespace) == self.metric_namespace.as_ref()
        };
        self.filter_name_prefix.as_ref().is_none_or(|prefix| filter.filter_name.starts_with(prefix.as_str()))
            && (self.metric_name.is_none() || metrics.any(by_metric))
    }
}

pub(super) fn describe_metric(call: &mut Call<'_>, input: &DescribeMetric) -> Result<Output, ApiError> {
    input.check()?;
    let logs = &mut call.region().logs;
    if let Some(group) = &input.log_group_name {
        logs.group_mut(group)?;
    }
    let groups = logs.groups.iter();
    let groups =
        groups.filter(|(name, _)| input.log_group_name.as_ref().is_none_or(|wanted| wanted == *name));
    let found = groups.flat_map(|(_, group)| group.metric_filters.values());
    let found: Vec<MetricFilter> = found.filter(|filter| input.takes(filter)).cloned().collect();
    let (found, next_token) = page::of(found, input.limit, 50, input.next_token.as_deref())?;
    Output::of(&json!({ "metricFilters": found, "nextToken": next_token }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete {
    log_group_name: String,
    filter_name: String,
}

pub(super) fn delete_metric(call: &mut Call<'_>, input: &Delete) -> Result<Output, ApiError> {
    check_name(&input.log_group_name)?;
    check_filter_name(&input.filter_name)?;
    let filters = &mut call.region().logs.group_mut(&input.log_group_name)?.metric_filters;
    filters.remove(&input.filter_name).map(|_| Output::empty()).ok_or_else(|| no_filter("metric"))
}

fn no_filter(kind: &str) -> ApiError {
    ApiError::sender("ResourceNotFoundException", format!("The specified {kind} filter does not exist."))
}

/// A subscription filter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subscription {
    filter_name: String,
    log_group_name: String,
    filter_pattern: String,
    destination_arn: String,
    role_arn: Option<String>,
    distribution: String,
    creation_time: i64,
    apply_on_transformed_logs: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutSubscription {
    log_group_name: String,
    filter_name: String,
    #[serde(default)]
    filter_pattern: String,
    destination_arn: String,
    role_arn: Option<String>,
    distribution: Option<String>,
    #[serde(default)]
    apply_on_transformed_logs: bool,
}

/// Destinations are not looked at: the cloud has no Kinesis, Firehose or Lambda.
pub(super) fn put_subscription(call: &mut Call<'_>, input: PutSubscription) -> Result<Output, ApiError> {
    check_filter_name(&input.filter_name)?;
    at_most(&input.filter_pattern, "filterPattern", 1024)?;
    let now = call.now.as_millisecond();
    let filters = &mut call.region().logs.group_mut(&input.log_group_name)?.subscriptions;
    if filters.len() >= MOST_SUBSCRIPTIONS && !filters.contains_key(&input.filter_name) {
        return Err(ApiError::sender("LimitExceededException", "Resource limit exceeded."));
    }
    let filter = Subscription {
        creation_time: filters.get(&input.filter_name).map_or(now, |known| known.creation_time),
        filter_name: input.filter_name,
        log_group_name: input.log_group_name,
        filter_pattern: input.filter_pattern,
        destination_arn: input.destination_arn,
        role_arn: input.role_arn,
        distribution: input.distribution.unwrap_or_else(|| "ByLogStream".to_owned()),
        apply_on_transformed_logs: input.apply_on_transformed_logs,
    };
    filters.insert(filter.filter_name.clone(), filter);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeSubscriptions {
    log_group_name: String,
    filter_name_prefix: Option<String>,
    limit: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe_subscriptions(
    call: &mut Call<'_>,
    input: &DescribeSubscriptions,
) -> Result<Output, ApiError> {
    let prefix = input.filter_name_prefix.as_deref().unwrap_or_default();
    let filters = call.region().logs.group_mut(&input.log_group_name)?.subscriptions.values();
    let found = filters.filter(|filter| filter.filter_name.starts_with(prefix)).cloned().collect();
    let (found, next_token) = page::of(found, input.limit, 50, input.next_token.as_deref())?;
    Output::of(&json!({ "subscriptionFilters": found, "nextToken": next_token }))
}

pub(super) fn delete_subscription(call: &mut Call<'_>, input: &Delete) -> Result<Output, ApiError> {
    let filters = &mut call.region().logs.group_mut(&input.log_group_name)?.subscriptions;
    filters.remove(&input.filter_name).map(|_| Output::empty()).ok_or_else(|| no_filter("subscription"))
}
