//! Lifecycle policies and access policies of repositories: kept and given back.

use serde::Deserialize;
use serde_json::json;

use super::errors;
use super::input::Name;
use crate::services::Call;
use crate::wire::{ApiError, Output};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutLifecycle {
    #[serde(flatten)]
    name: Name,
    lifecycle_policy_text: String,
}

pub(super) fn put_lifecycle(call: &mut Call<'_>, input: PutLifecycle) -> Result<Output, ApiError> {
    let rules = serde_json::from_str::<serde_json::Value>(&input.lifecycle_policy_text)
        .ok()
        .and_then(|policy| policy.get("rules").and_then(|rules| rules.as_array().map(Vec::len)));
    if rules.is_none_or(|rules| rules == 0) {
        let text = "Lifecycle policy validation failure: must be a JSON object with a list of rules";
        return Err(errors::invalid("LifecyclePolicyText", text));
    }
    let account = input.name.account(call);
    let repository = input.name.find(call)?;
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
    }))
}

pub(super) fn delete_lifecycle(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let account = input.account(call);
    let repository = input.find(call)?;
    let text = repository.lifecycle_policy.take().ok_or_else(|| no_lifecycle(&account, &repository.name))?;
    Output::of(&json!({
        "registryId": account, "repositoryName": repository.name, "lifecyclePolicyText": text,
    }))
}

fn no_lifecycle(account: &str, name: &str) -> ApiError {
    let text = format!(
        "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
    );
    ApiError::sender("LifecyclePolicyNotFoundException", text)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Set {
    #[serde(flatten)]
    name: Name,
    policy_text: String,
}

pub(super) fn set(call: &mut Call<'_>, input: Set) -> Result<Output, ApiError> {
    if !serde_json::from_str::<serde_json::Value>(&input.policy_text).is_ok_and(|policy| policy.is_object()) {
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
