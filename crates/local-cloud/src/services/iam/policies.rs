//! Managed policies that clients made, with their versions.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::documents::check_identity;
use super::error::{already_exists, check_name, check_path, check_word, delete_conflict, no_such_entity};
use super::page::Page;
use super::roles::encoded;
use super::tags::{self, Tag};
use super::{IamState, Role, managed, unique_id};
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
    fn described(&self, iam: &IamState) -> Value {
        json!({
            "PolicyName": self.name,
            "PolicyId": self.id,
            "Arn": self.arn,
            "Path": self.path,
            "DefaultVersionId": self.default_version,
            "AttachmentCount": iam.users_of(&self.arn, Usage::Permissions).count(),
            "PermissionsBoundaryUsageCount": iam.users_of(&self.arn, Usage::Boundary).count(),
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

/// What a role can have a policy for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// It is attached: it says what the role may do.
    Permissions,
    /// It says what the role may do at most.
    Boundary,
}

/// The values of `PolicyUsageFilter`.
const USAGES: [&str; 2] = ["PermissionsPolicy", "PermissionsBoundary"];

/// The usages that a `PolicyUsageFilter` means: all without one.
fn usages(filter: Option<&str>) -> Result<Vec<Usage>, ApiError> {
    check_word("policyUsageFilter", filter, &USAGES)?;
    let both = USAGES.into_iter().zip([Usage::Permissions, Usage::Boundary]);
    Ok(both.filter(|(name, _)| filter.is_none_or(|filter| filter == *name)).map(|(_, usage)| usage).collect())
}

impl Role {
    /// Whether it has a policy for `usage`.
    fn uses(&self, arn: &str, usage: Usage) -> bool {
        match usage {
            Usage::Permissions => self.attached.iter().any(|attached| attached == arn),
            Usage::Boundary => self.permissions_boundary.as_deref() == Some(arn),
        }
    }
}

impl IamState {
    /// The roles that have a policy for `usage`.
    pub(super) fn users_of(&self, arn: &str, usage: Usage) -> impl Iterator<Item = &Role> {
        self.roles.values().filter(move |role| role.uses(arn, usage))
    }

    /// The policies of AWS that a role has.
    fn managed_in_use(&self) -> BTreeSet<&str> {
        let had = self.roles.values().flat_map(|role| role.attached.iter().chain(&role.permissions_boundary));
        had.map(String::as_str).filter(|arn| managed::exists(arn)).collect()
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
    check_path(&input.path)?;
    check_identity(&input.policy_document)?;
    tags::check(&input.tags)?;
    let arn = call.global_arn("iam", &format!("policy{}{}", input.path, input.policy_name));
    let now = call.now;
    let iam = &mut call.account().iam;
    if iam.policies.values().any(|policy| policy.name.eq_ignore_ascii_case(&input.policy_name)) {
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
    let answer = Output::of(&json!({ "Policy": policy.described(iam) }));
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
        return Output::of(&json!({ "Policy": managed::described(iam, &input.policy_arn) }));
    }
    let policy = iam.policies.get(&input.policy_arn).ok_or_else(|| no_policy(&input.policy_arn))?;
    Output::of(&json!({ "Policy": policy.described(iam) }))
}

/// The path in the ARN of a policy.
pub(super) fn path_of(arn: &str) -> &str {
    let path = arn.find(":policy/").map_or("/", |at| &arn[at + ":policy".len()..]);
    path.rfind('/').map_or("/", |last| &path[..=last])
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInput {
    scope: Option<String>,
    #[serde(default)]
    only_attached: bool,
    path_prefix: Option<String>,
    policy_usage_filter: Option<String>,
    #[serde(flatten)]
    page: Page,
}

/// Lists the policies that clients made, and of those of AWS the ones that a role has: the cloud knows no
/// list of all.
pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    check_word("scope", input.scope.as_deref(), &["All", "AWS", "Local"])?;
    let usages = usages(input.policy_usage_filter.as_deref())?;
    let iam = &call.account().iam;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let is_used = |arn: &str| usages.iter().any(|usage| iam.users_of(arn, *usage).next().is_some());
    let only_used = input.only_attached || input.policy_usage_filter.is_some();
    let wanted = |arn: &str| path_of(arn).starts_with(prefix) && (!only_used || is_used(arn));

    let scope = input.scope.as_deref().unwrap_or("All");
    let own = iam.policies.values().filter(|policy| scope != "AWS" && wanted(&policy.arn));
    let mut described: Vec<Value> = own.map(|policy| policy.described(iam)).collect();
    if scope != "Local" {
        let of_aws = iam.managed_in_use().into_iter().filter(|arn| wanted(arn));
        described.extend(of_aws.map(|arn| managed::described(iam, arn)));
    }
    input.page.answer("Policies", described)
}

pub(super) fn delete(call: &mut Call<'_>, input: &PolicyInput) -> Result<Output, ApiError> {
    let iam = &mut call.account().iam;
    let policy = iam.policies.get(&input.policy_arn).ok_or_else(|| no_policy(&input.policy_arn))?;
    if iam.users_of(&input.policy_arn, Usage::Permissions).next().is_some() {
        return Err(delete_conflict("Cannot delete a policy attached to entities."));
    }
    if policy.versions.len() > 1 {
        let message = "This policy has more than one version. Before you delete a policy, you must delete \
                       the policy's versions. The default version is deleted with the policy.";
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
    check_identity(&input.policy_document)?;
    let now = call.now;
    let policy = call.account().iam.policy_mut(&input.policy_arn)?;
    if policy.versions.len() >= MOST_VERSIONS {
        let message = "A managed policy can have up to 5 versions. Before you create a new version, you \
                       must delete an existing version.";
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
    if managed::exists(&input.policy_arn) {
        let version = managed::version(&input.version_id, true);
        let version = version.ok_or_else(|| no_version(&input.policy_arn, &input.version_id))?;
        return Output::of(&json!({ "PolicyVersion": version }));
    }
    let policy = call.account().iam.policy_mut(&input.policy_arn)?;
    let version = policy.versions.iter().find(|version| version.id == input.version_id);
    let version = version.ok_or_else(|| no_version(&input.policy_arn, &input.version_id))?;
    Output::of(&json!({ "PolicyVersion": policy.describe_version(version, true) }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListVersionsInput {
    policy_arn: String,
    #[serde(flatten)]
    page: Page,
}

pub(super) fn list_versions(call: &mut Call<'_>, input: &ListVersionsInput) -> Result<Output, ApiError> {
    if managed::exists(&input.policy_arn) {
        return input.page.answer("Versions", managed::versions());
    }
    let policy = call.account().iam.policy_mut(&input.policy_arn)?;
    let versions = policy.versions.iter().rev().map(|version| policy.describe_version(version, false));
    input.page.answer("Versions", versions.collect())
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListEntitiesInput {
    policy_arn: String,
    entity_filter: Option<String>,
    path_prefix: Option<String>,
    policy_usage_filter: Option<String>,
    #[serde(flatten)]
    page: Page,
}

/// The kinds that ListEntitiesForPolicy can be asked for; there are only roles.
const ENTITIES: [&str; 5] = ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];

pub(super) fn list_entities(call: &mut Call<'_>, input: &ListEntitiesInput) -> Result<Output, ApiError> {
    check_word("entityFilter", input.entity_filter.as_deref(), &ENTITIES)?;
    let usages = usages(input.policy_usage_filter.as_deref())?;
    let iam = &call.account().iam;
    if !managed::exists(&input.policy_arn) && !iam.policies.contains_key(&input.policy_arn) {
        return Err(no_policy(&input.policy_arn));
    }
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let of_roles = input.entity_filter.as_deref().is_none_or(|kind| kind == "Role");
    let has_it = |role: &&Role| usages.iter().any(|usage| role.uses(&input.policy_arn, *usage));
    let roles = iam.roles.values().filter(|role| of_roles && role.path.starts_with(prefix)).filter(has_it);
    let roles = roles.map(|role| json!({ "RoleName": role.name, "RoleId": role.id })).collect();
    let mut answer = input.page.of("PolicyRoles", roles)?;
    answer.extend(["PolicyGroups", "PolicyUsers"].map(|none| (none.to_owned(), json!([]))));
    Output::of(&answer)
}
