//! Lifecycle policies and access policies of repositories: kept and given back.

use serde::Deserialize;
use serde_json::{Value, json};

use super::errors;
use super::input::Name;
use super::lifecycle;
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutLifecycle {
    #[serde(flatten)]
    name: Name,
    lifecycle_policy_text: String,
}

pub(super) fn put_lifecycle(call: &mut Call<'_>, input: PutLifecycle) -> Result<Output, ApiError> {
    lifecycle::read(&input.lifecycle_policy_text)?;
    let account = input.name.account(call);
    let now = call.now;
    let repository = input.name.find(call)?;
    repository.lifecycle_policy_at = Some(now);
    repository.lifecycle_policy = Some(input.lifecycle_policy_text.clone());
    Output::of(&json!({
        "registryId": account, "repositoryName": repository.name,
        "lifecyclePolicyText": input.lifecycle_policy_text,
    }))
}

pub(super) fn get_lifecycle(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let account = input.account(call);
    let repository = input.find(call)?;
    let text =
        repository.lifecycle_policy.as_ref().ok_or_else(|| no_lifecycle(&account, &repository.name))?;
    Output::of(&json!({
        "registryId": account, "repositoryName": repository.name, "lifecyclePolicyText": text,
        "lastEvaluatedAt": repository.lifecycle_policy_at.map(EpochSeconds),
    }))
}

pub(super) fn delete_lifecycle(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let account = input.account(call);
    let repository = input.find(call)?;
    let text = repository.lifecycle_policy.take().ok_or_else(|| no_lifecycle(&account, &repository.name))?;
    Output::of(&json!({
        "registryId": account, "repositoryName": repository.name, "lifecyclePolicyText": text,
        "lastEvaluatedAt": repository.lifecycle_policy_at.take().map(EpochSeconds),
    }))
}

pub(super) fn no_lifecycle(account: &str, name: &str) -> ApiError {
    let text = format!(
        "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
    );
    ApiError::sender("LifecyclePolicyNotFoundException", text)
}

/// Whether `text` is a policy of a resource: each statement says who may do what, or may not.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html>
pub(super) fn check_policy(text: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(text) else { return false };
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(single @ Value::Object(_)) => std::slice::from_ref(single),
        _ => return false,
    };
    let has = |statement: &Value, names: [&str; 2]| names.iter().any(|name| statement.get(name).is_some());
    !statements.is_empty()
        && statements.iter().all(|statement| {
            matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny"))
                && has(statement, ["Principal", "NotPrincipal"])
                && has(statement, ["Action", "NotAction"])
        })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Set {
    #[serde(flatten)]
    name: Name,
    policy_text: String,
}

pub(super) fn set(call: &mut Call<'_>, input: Set) -> Result<Output, ApiError> {
    if !check_policy(&input.policy_text) {
        return Err(errors::invalid("PolicyText", "Invalid repository policy provided"));
    }
    let account = input.name.account(call);
    let repository = input.name.find(call)?;
    repository.policy = Some(input.policy_text.clone());
    Output::of(&json!({
        "registryId": account, "repositoryName": repository.name, "policyText": input.policy_text,
    }))
}

pub(super) fn get(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let account = input.account(call);
    let repository = input.find(call)?;
    let text = repository.policy.as_ref().ok_or_else(|| no_policy(&account, &repository.name))?;
    Output::of(&json!({ "registryId": account, "repositoryName": repository.name, "policyText": text }))
}

pub(super) fn delete(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let account = input.account(call);
    let repository = input.find(call)?;
    let text = repository.policy.take().ok_or_else(|| no_policy(&account, &repository.name))?;
    Output::of(&json!({ "registryId": account, "repositoryName": repository.name, "policyText": text }))
}

fn no_policy(account: &str, name: &str) -> ApiError {
    let text = format!(
        "Repository policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
    );
    ApiError::sender("RepositoryPolicyNotFoundException", text)
}
