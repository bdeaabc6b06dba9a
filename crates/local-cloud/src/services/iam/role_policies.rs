//! Policies of roles: inline ones, and managed ones that are attached.

use serde::Deserialize;
use serde_json::json;

use super::documents::check_identity;
use super::error::{check_name, no_such_entity};
use super::managed;
use super::page::Page;
use super::policies::path_of;
use super::roles::encoded;
use crate::services::Call;
use crate::wire::{ApiError, Output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutInput {
    role_name: String,
    policy_name: String,
    policy_document: String,
}

pub(super) fn put(call: &mut Call<'_>, input: PutInput) -> Result<Output, ApiError> {
    check_name("policyName", &input.policy_name, 128)?;
    check_identity(&input.policy_document)?;
    let role = call.account().iam.role_mut(&input.role_name)?;
    role.policies.insert(input.policy_name, input.policy_document);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InlineInput {
    role_name: String,
    policy_name: String,
}

fn no_policy(name: &str) -> ApiError {
    no_such_entity(format!("The role policy with name {name} cannot be found."))
}

pub(super) fn get(call: &mut Call<'_>, input: &InlineInput) -> Result<Output, ApiError> {
    let role = call.account().iam.role(&input.role_name)?;
    let document = role.policies.get(&input.policy_name).ok_or_else(|| no_policy(&input.policy_name))?;
    Output::of(&json!({
        "RoleName": role.name,
        "PolicyName": input.policy_name,
        "PolicyDocument": encoded(document),
    }))
}

pub(super) fn delete(call: &mut Call<'_>, input: &InlineInput) -> Result<Output, ApiError> {
    let role = call.account().iam.role_mut(&input.role_name)?;
    role.policies.remove(&input.policy_name).ok_or_else(|| no_policy(&input.policy_name))?;
    Ok(Output::empty())
}

/// Names a role, and a page of what it has.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInput {
    role_name: String,
    #[serde(flatten)]
    page: Page,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let names = call.account().iam.role(&input.role_name)?.policies.keys().map(|name| json!(name)).collect();
    input.page.answer("PolicyNames", names)
}

/// Names a role, and a page of the policies that are attached to it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAttachedInput {
    role_name: String,
    path_prefix: Option<String>,
    #[serde(flatten)]
    page: Page,
}

pub(super) fn list_attached(call: &mut Call<'_>, input: &ListAttachedInput) -> Result<Output, ApiError> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let attached = call.account().iam.role(&input.role_name)?.attached.iter();
    let attached = attached.filter(|arn| path_of(arn).starts_with(prefix));
    let described = |arn: &String| {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        json!({ "PolicyName": name, "PolicyArn": arn })
    };
    input.page.answer("AttachedPolicies", attached.map(described).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttachInput {
    role_name: String,
    policy_arn: String,
}

/// Attaching twice is fine; attaching what does not exist is not.
pub(super) fn attach(call: &mut Call<'_>, input: &AttachInput) -> Result<Output, ApiError> {
    let iam = &mut call.account().iam;
    let exists = managed::exists(&input.policy_arn) || iam.policies.contains_key(&input.policy_arn);
    let role = iam.role_mut(&input.role_name)?;
    if !exists {
        let message = format!("Policy {} does not exist or is not attachable.", input.policy_arn);
        return Err(no_such_entity(message));
    }
    if !role.attached.contains(&input.policy_arn) {
        role.attached.push(input.policy_arn.clone());
    }
    Ok(Output::empty())
}

pub(super) fn detach(call: &mut Call<'_>, input: &AttachInput) -> Result<Output, ApiError> {
    let role = call.account().iam.role_mut(&input.role_name)?;
    let before = role.attached.len();
    role.attached.retain(|arn| *arn != input.policy_arn);
    if role.attached.len() == before {
        return Err(no_such_entity(format!("Policy {} was not found.", input.policy_arn)));
    }
    Ok(Output::empty())
}
