//! Resource policies: which services may write. Kept and shown.
//!
//! Source: docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html

use serde::Deserialize;
use serde_json::{Value, json};

use super::errors;
use super::state::ResourcePolicy;
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// Policies that a region may have.
const MOST: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Put {
    policy_name: String,
    policy_document: String,
}

fn shown(name: &str, policy: &ResourcePolicy) -> Value {
    json!({ "policyName": name, "policyDocument": policy.document, "lastUpdatedTime": policy.updated })
}

pub(super) fn put(call: &mut Call<'_>, input: Put) -> Result<Output, ApiError> {
    if serde_json::from_str::<Value>(&input.policy_document).is_err() {
        return Err(errors::invalid("The resource policy document is not valid JSON."));
    }
    let updated = call.now.as_millisecond();
    let policies = &mut call.region().logs.resource_policies;
    if policies.len() == MOST && !policies.contains_key(&input.policy_name) {
        return Err(ApiError::sender("LimitExceededException", "Resource limit exceeded."));
    }
    let policy = ResourcePolicy { document: input.policy_document, updated };
    let answer = Output::of(&json!({ "resourcePolicy": shown(&input.policy_name, &policy) }));
    policies.insert(input.policy_name, policy);
    answer
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Name {
    policy_name: String,
}

pub(super) fn delete(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let removed = call.region().logs.resource_policies.remove(&input.policy_name);
    let message = format!("Policy with name [{}] does not exist", input.policy_name);
    removed.map(|_| Output::empty()).ok_or_else(|| ApiError::sender("ResourceNotFoundException", message))
}

pub(super) fn describe(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let policies = &call.region().logs.resource_policies;
    let shown: Vec<Value> = policies.iter().map(|(name, policy)| shown(name, policy)).collect();
    Output::of(&json!({ "resourcePolicies": shown }))
}
