//! Managed policies that clients made, with their versions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{already_exists, check_document, check_name, delete_conflict, no_such_entity};
use super::page::Page;
use super::roles::encoded;
use super::tags::{self, Tag};
use super::{IamState, managed, unique_id};
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

/// The most versions that a policy keeps.
const MOST_VERSIONS: usize = 5;

/// A managed policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Policy {
    name: String,
    path: String,
    id: String,
    arn: String,
    description: Option<String>,
    created: Timestamp,
    default_version: String,
    /// Oldest first.
    versions: Vec<Version>,
    /// How many versions there ever were.
    counter: u32,
    pub(super) tags: Vec<Tag>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Version {
    id: String,
    document: String,
    created: Timestamp,
}

impl Policy {
    fn described(&self, attachments: usize) -> Value {
        json!({
            "PolicyName": self.name,
            "PolicyId": self.id,
            "Arn": self.arn,
            "Path": self.path,
            "DefaultVersionId": self.default_version,
            "AttachmentCount": attachments,
            "PermissionsBoundaryUsageCount": 0,
            "IsAttachable": true,
            "Description": self.description,
            "CreateDate": Iso8601(self.created),
            "UpdateDate": Iso8601(self.versions.last().map_or(self.created, |version| version.created)),
            "Tags": (!self.tags.is_empty()).then_some(&self.tags),
        })
    }

    fn describe_version(&self, version: &Version, whole: bool) -> Value {
        json!({
            "VersionId": version.id,
            "IsDefaultVersion": version.id == self.default_version,
            "CreateDate": Iso8601(version.created),
            "Document": whole.then(|| encoded(&version.document)),
        })
    }
}

impl IamState {
    fn attachments(&self, arn: &str) -> usize {
        self.roles.values().filter(|role| role.attached.iter().any(|attached| attached == arn)).count()
    }

    pub(super) fn policy_mut(&mut self, arn: &str) -> Result<&mut Policy, ApiError> {
        self.policies.get_mut(arn).ok_or_else(|| no_policy(arn))
    }
}

fn no_policy(arn: &str) -> ApiError {
    no_such_entity(format!("Policy {arn} was not found."))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    policy_name: String,
    #[serde(default = "root")]
    path: String,
    policy_document: String,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

fn root() -> String {
    "/".into()
}

pub(super) fn create(call: &mut Call<'_>, input: CreateInput) -> Result<Output, ApiError> {
    check_name("policyName", &input.policy_name, 128)?;
    check_document(&input.policy_document)?;
    tags::check(&input.tags)?;
    let arn = call.global_arn("iam", &format!("policy{}{}", input.path, input.policy_name));
    let now = call.now;
    let iam = &mut call.account().iam;
    if iam.policies.contains_key(&arn) {
        let message =
            format!("A policy called {} already exists. Duplicate names are not allowed.", input.policy_name);
        return Err(already_exists(message));
    }
    let policy = Policy {
        id: unique_id("ANPA"),
        arn: arn.clone(),
        name: input.policy_name,
        path: input.path,
        description: input.description,
        created: now,
        default_version: "v1".into(),
        versions: vec![Version { id: "v1".into(), document: input.policy_document, created: now }],
        counter: 1,
        tags: input.tags,
    };
    let answer = Output::of(&json!({ "Policy": policy.described(0) }));
    iam.policies.insert(arn, policy);
    answer
}

/// Names one policy.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyInput {
    policy_arn: String,
}

pub(super) fn get(call: &mut Call<'_>, input: &PolicyInput) -> Result<Output, ApiError> {
    let iam = &call.account().iam;
    if managed::exists(&input.policy_arn) {
        return Output::of(&json!({ "Policy": managed::described(&input.policy_arn) }));
    }
    let policy = iam.policies.get(&input.policy_arn).ok_or_else(|| no_policy(&input.policy_arn))?;
    Output::of(&json!({ "Policy": policy.described(iam.attachments(&input.policy_arn)) }))
}

/// Lists the policies that clients made; those of AWS are not listed.
pub(super) fn list(call: &mut Call<'_>, input: &Page) -> Result<Output, ApiError> {
    let iam = &call.account().iam;
    let described = iam.policies.values().map(|policy| policy.described(iam.attachments(&policy.arn)));
    input.answer("Policies", described.collect())
}

pub(super) fn delete(call: &mut Call<'_>, input: &PolicyInput) -> Result<Output, ApiError> {
    let iam = &mut call.account().iam;
    let policy = iam.policies.get(&input.policy_arn).ok_or_else(|| no_policy(&input.policy_arn))?;
    if iam.attachments(&input.policy_arn) > 0 {
        return Err(delete_conflict("Cannot delete a policy attached to entities."));
    }
    if policy.versions.len() > 1 {
        let message = "This policy has more than one version. Before you delete a policy, you must delete the \
                       policy's versions. The default version is deleted with the policy.";
        return Err(delete_conflict(message));
    }
    iam.policies.shift_remove(&input.policy_arn);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateVersionInput {
    policy_arn: String,
    policy_document: String,
    #[serde(default)]
    set_as_default: bool,
}

pub(super) fn create_version(call: &mut Call<'_>, input: &CreateVersionInput) -> Result<Output, ApiError> {
    check_document(&input.policy_document)?;
    let now = call.now;
    let policy = call.account().iam.policy_mut(&input.policy_arn)?;
    if policy.versions.len() >= MOST_VERSIONS {
        let message = "A managed policy can have up to 5 versions. Before you create a new version, you must delete \
                       an existing version.";
        return Err(ApiError::sender("LimitExceeded", message).with_status(http::StatusCode::CONFLICT));
    }
    policy.counter += 1;
    let id = format!("v{}", policy.counter);
    let version = Version { id: id.clone(), document: input.policy_document.clone(), created: now };
    if input.set_as_default {
        policy.default_version = id;
    }
    let answer = Output::of(&json!({ "PolicyVersion": policy.describe_version(&version, false) }));
    policy.versions.push(version);
    answer
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionInput {
    policy_arn: String,
    version_id: String,
}

fn no_version(policy: &str, version: &str) -> ApiError {
    no_such_entity(format!("Policy {policy} version {version} does not exist or is not attachable."))
}

pub(super) fn get_version(call: &mut Call<'_>, input: &VersionInput) -> Result<Output, ApiError> {
    let policy = call.account().iam.policy_mut(&input.policy_arn)?;
    let version = policy.versions.iter().find(|version| version.id == input.version_id);
    let version = version.ok_or_else(|| no_version(&input.policy_arn, &input.version_id))?;
    Output::of(&json!({ "PolicyVersion": policy.describe_version(version, true) }))
}

pub(super) fn list_versions(call: &mut Call<'_>, input: &PolicyInput) -> Result<Output, ApiError> {
    let policy = call.account().iam.policy_mut(&input.policy_arn)?;
    let versions = policy.versions.iter().rev().map(|version| policy.describe_version(version, false));
    Page::default().answer("Versions", versions.collect())
}

/// SetDefaultPolicyVersion.
pub(super) fn set_default_version(call: &mut Call<'_>, input: &VersionInput) -> Result<Output, ApiError> {
    let policy = call.account().iam.policy_mut(&input.policy_arn)?;
    if !policy.versions.iter().any(|version| version.id == input.version_id) {
        return Err(no_version(&input.policy_arn, &input.version_id));
    }
    policy.default_version.clone_from(&input.version_id);
    Ok(Output::empty())
}

pub(super) fn delete_version(call: &mut Call<'_>, input: &VersionInput) -> Result<Output, ApiError> {
    let policy = call.account().iam.policy_mut(&input.policy_arn)?;
    if policy.default_version == input.version_id {
        return Err(delete_conflict("Cannot delete the default version of a policy."));
    }
    let before = policy.versions.len();
    policy.versions.retain(|version| version.id != input.version_id);
    if policy.versions.len() == before {
        return Err(no_version(&input.policy_arn, &input.version_id));
    }
    Ok(Output::empty())
}

pub(super) fn list_entities(call: &mut Call<'_>, input: &PolicyInput) -> Result<Output, ApiError> {
    let attached = |role: &&super::Role| role.attached.contains(&input.policy_arn);
    let roles = call.account().iam.roles.values().filter(attached);
    let roles: Vec<_> = roles.map(|role| json!({ "RoleName": role.name })).collect();
    Output::of(&json!({ "PolicyRoles": roles, "PolicyGroups": [], "PolicyUsers": [], "IsTruncated": false }))
}
