//! Resource policies: who else may write to the account's log groups. Kept and shown; nothing is denied.
//!
//! Source: docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::page;
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// The most that a region of an account may have.
const MOST: usize = 10;

/// A policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Policy {
    policy_name: String,
    policy_document: String,
    last_updated_time: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Put {
    policy_name: String,
    policy_document: String,
}

pub(super) fn put(call: &mut Call<'_>, input: Put) -> Result<Output, ApiError> {
    let now = call.now.as_millisecond();
    let policies = &mut call.region().logs.policies;
    if policies.len() >= MOST && !policies.contains_key(&input.policy_name) {
        return Err(ApiError::sender("LimitExceededException", "Resource limit exceeded."));
    }
    let policy = Policy {
        policy_name: input.policy_name,
        policy_document: input.policy_document,
        last_updated_time: now,
    };
    policies.insert(policy.policy_name.clone(), policy.clone());
    Output::of(&json!({ "resourcePolicy": policy }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    limit: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &Describe) -> Result<Output, ApiError> {
    let all = call.region().logs.policies.values().cloned().collect();
    let (found, next_token) = page::of(all, input.limit, 50, input.next_token.as_deref())?;
    Output::of(&json!({ "resourcePolicies": found, "nextToken": next_token }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete {
    policy_name: String,
}

pub(super) fn delete(call: &mut Call<'_>, input: &Delete) -> Result<Output, ApiError> {
    let gone = call.region().logs.policies.remove(&input.policy_name);
    gone.map(|_| Output::empty()).ok_or_else(|| {
        let message = format!("Policy with name [{}] does not exist", input.policy_name);
        ApiError::sender("ResourceNotFoundException", message)
    })
}
