//! Metrics: what is put is taken and forgotten, and what is asked for has no data.

use serde::Deserialize;
use serde_json::json;

use crate::wire::{ApiError, Output};

pub(super) fn put_data() -> Result<Output, ApiError> {
    Ok(Output::empty())
}

pub(super) fn list() -> Result<Output, ApiError> {
    Output::of(&json!({ "Metrics": [] }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StatisticsInput {
    metric_name: Option<String>,
}

pub(super) fn statistics(input: &StatisticsInput) -> Result<Output, ApiError> {
    Output::of(&json!({ "Label": input.metric_name, "Datapoints": [] }))
}

pub(super) fn data() -> Result<Output, ApiError> {
    Output::of(&json!({ "MetricDataResults": [], "Messages": [] }))
}
