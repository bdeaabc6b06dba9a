//! Amazon CloudWatch Logs: groups, streams and their events.
//!
//! Events live in memory, the newest of each stream, and are not saved with the world: they come
//! from running tasks, and writing them would cost every change of the world their weight.
//! Source: docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference

mod errors;
mod events;
mod filters;
mod groups;
mod page;
mod resource_policies;
mod state;
mod streams;
mod tags;
#[cfg(test)]
mod tests;

use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};

pub(crate) use state::LogsState;

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "CreateLogGroup" => groups::create(call, input.parse()?),
        "DescribeLogGroups" => groups::describe(call, &input.parse()?),
        "ListLogGroups" => groups::list(call, &input.parse()?),
        "DeleteLogGroup" => groups::delete(call, &input.parse()?),
        "PutRetentionPolicy" => groups::put_retention(call, &input.parse()?),
        "DeleteRetentionPolicy" => groups::delete_retention(call, &input.parse()?),
        "CreateLogStream" => streams::create(call, &input.parse()?),
        "DescribeLogStreams" => streams::describe(call, &input.parse()?),
        "DeleteLogStream" => streams::delete(call, &input.parse()?),
        "PutLogEvents" => events::put(call, input.parse()?),
        "GetLogEvents" => events::get(call, &input.parse()?),
        "FilterLogEvents" => events::filter(call, &input.parse()?),
        "PutMetricFilter" => filters::put_metric(call, input.parse()?),
        "DeleteMetricFilter" => filters::delete_metric(call, &input.parse()?),
        "DescribeMetricFilters" => filters::describe_metric(call, &input.parse()?),
        "PutSubscriptionFilter" => filters::put_subscription(call, input.parse()?),
        "DeleteSubscriptionFilter" => filters::delete_subscription(call, &input.parse()?),
        "DescribeSubscriptionFilters" => filters::describe_subscription(call, &input.parse()?),
        "PutResourcePolicy" => resource_policies::put(call, input.parse()?),
        "DeleteResourcePolicy" => resource_policies::delete(call, &input.parse()?),
        "DescribeResourcePolicies" => resource_policies::describe(call),
        "TagResource" => tags::tag_resource(call, &input.parse()?),
        "UntagResource" => tags::untag_resource(call, &input.parse()?),
        "ListTagsForResource" => tags::list_for_resource(call, &input.parse()?),
        "TagLogGroup" => tags::tag_group(call, &input.parse()?),
        "UntagLogGroup" => tags::untag_group(call, &input.parse()?),
        "ListTagsLogGroup" => tags::list_of_group(call, &input.parse()?),
        _ => Err(missing(Service::Logs, operation)),
    }
}
