//! What was scaled, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::page::Page;
use super::{Call, Dimension, ScalingState, targets};
use crate::wire::{ApiError, EpochSeconds, Input, Output};

/// How many are kept.
const MOST_KEPT: usize = 200;

/// A scaling activity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Activity {
    activity_id: String,
    #[serde(flatten)]
    dimension: Dimension,
    description: String,
    cause: String,
    start_time: EpochSeconds,
    end_time: EpochSeconds,
    status_code: String,
    status_message: String,
}

/// Remembers that a desired count was set, in AWS's wording
/// (docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-scaling-activities.html).
pub(super) fn remember(
    state: &mut ScalingState,
    now: Timestamp,
    dimension: &Dimension,
    count: u32,
    cause: String,
) {
    let activity = Activity {
        activity_id: Uuid::new_v4().to_string(),
        dimension: dimension.clone(),
        description: format!("Setting desired count to {count}."),
        cause,
        start_time: EpochSeconds(now),
        end_time: EpochSeconds(now),
        status_code: "Successful".into(),
        status_message: format!(
            "Successfully set desired count to {count}. Change successfully fulfilled by ecs."
        ),
    };
    state.activities.insert(0, activity);
    state.activities.truncate(MOST_KEPT);
}

/// DescribeScalingActivities.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Which {
        service_namespace: String,
        #[serde(default)]
        resource_id: Option<String>,
        #[serde(default)]
        scalable_dimension: Option<String>,
    }
    let page: Page = input.parse()?;
    let which: Which = input.parse()?;
    targets::check_namespace(&which.service_namespace)?;
    let wanted = |activity: &&Activity| {
        let dimension = &activity.dimension;
        dimension.service_namespace == which.service_namespace
            && which.resource_id.as_ref().is_none_or(|it| *it == dimension.resource_id)
            && which.scalable_dimension.as_ref().is_none_or(|it| *it == dimension.scalable_dimension)
    };
    let found = call.region().application_autoscaling.activities.iter().filter(wanted).cloned().collect();
    let (activities, next) = page.of(found)?;
    Output::of(&json!({ "ScalingActivities": activities, "NextToken": next }))
}
