//! What became of alarms.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CloudWatchState, page};
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};

/// How many items are kept.
const KEPT: usize = 1000;

/// Something that happened to an alarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    alarm_name: String,
    alarm_type: String,
    timestamp: EpochSeconds,
    history_item_type: String,
    history_summary: String,
}

impl Item {
    pub(super) fn new(alarm: &str, at: Timestamp, kind: &str, summary: String) -> Self {
        Self {
            alarm_name: alarm.to_owned(),
            alarm_type: "MetricAlarm".to_owned(),
            timestamp: EpochSeconds(at),
            history_item_type: kind.to_owned(),
            history_summary: summary,
        }
    }
}

pub(super) fn add(state: &mut CloudWatchState, item: Item) {
    if state.history.len() == KEPT {
        state.history.remove(0);
    }
    state.history.push(item);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    alarm_name: Option<String>,
    history_item_type: Option<String>,
    scan_by: Option<String>,
    max_records: Option<usize>,
    next_token: Option<String>,
}

/// The newest first unless told otherwise.
pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let wanted = |item: &&Item| {
        input.alarm_name.as_ref().is_none_or(|name| *name == item.alarm_name)
            && input.history_item_type.as_ref().is_none_or(|kind| *kind == item.history_item_type)
    };
    let mut found: Vec<Item> = call.region().cloudwatch.history.iter().filter(wanted).cloned().collect();
    if input.scan_by.as_deref() != Some("TimestampAscending") {
        found.reverse();
    }
    let (found, next) = page(found, input.max_records, 100, input.next_token.as_deref())?;
    Output::of(&json!({ "AlarmHistoryItems": found, "NextToken": next }))
}
