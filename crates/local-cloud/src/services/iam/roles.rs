//! Roles.

use std::collections::BTreeMap;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::documents::check_trust;
use super::error::{already_exists, check_name, check_path, delete_conflict, no_role, violates};
use super::page::Page;
use super::tags::{self, Tag};
use super::{IamState, unique_id};
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

/// The path of roles that belong to AWS services.
pub(super) const SERVICE_LINKED: &str = "/aws-service-role/";

/// A role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) arn: String,
    pub(super) created: Timestamp,
    pub(super) trust: String,
    pub(super) description: Option<String>,
    pub(super) max_session_seconds: u32,
    pub(super) permissions_boundary: Option<String>,
    pub(super) tags: Vec<Tag>,
    /// ARNs of managed policies, in the order in which they were attached.
    pub(super) attached: Vec<String>,
    /// Inline policies.
    pub(super) policies: BTreeMap<String, String>,
}

impl Role {
    pub(super) fn is_service_linked(&self) -> bool {
        self.path.starts_with(SERVICE_LINKED)
    }

    /// The role as clients see it: its document is percent-encoded.
    pub(super) fn described(&self) -> Value {
        json!({
            "Path": self.path,
            "RoleName": self.name,
            "RoleId": self.id,
            "Arn": self.arn,
            "CreateDate": Iso8601(self.created),
            "AssumeRolePolicyDocument": encoded(&self.trust),
            "Description": self.description,
            "MaxSessionDuration": self.max_session_seconds,
            "PermissionsBoundary": self.permissions_boundary.as_ref().map(|arn| json!({
                "PermissionsBoundaryType": "Policy",
                "PermissionsBoundaryArn": arn,
            })),
            "Tags": (!self.tags.is_empty()).then_some(&self.tags),
            "RoleLastUsed": {},
        })
    }
}

/// A policy document as IAM returns it: percent-encoded by RFC 3986.
pub(super) fn encoded(document: &str) -> String {
    utf8_percent_encode(document, NON_ALPHANUMERIC).to_string()
}

impl IamState {
    /// The id of the role with this ARN, and how many seconds its sessions may last.
    pub(crate) fn session_of(&self, arn: &str) -> Option<(&str, u32)> {
        let role = self.roles.values().find(|role| role.arn == arn)?;
        Some((&role.id, role.max_session_seconds))
    }

    /// Whether a role has this name. Names are not distinguished by case.
    pub(super) fn has_role_like(&self, name: &str) -> bool {
        self.roles.keys().any(|known| known.eq_ignore_ascii_case(name))
    }

    pub(super) fn role(&self, name: &str) -> Result<&Role, ApiError> {
        self.roles.get(name).ok_or_else(|| no_role(name))
    }

    pub(super) fn role_mut(&mut self, name: &str) -> Result<&mut Role, ApiError> {
        self.roles.get_mut(name).ok_or_else(|| no_role(name))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    role_name: String,
    #[serde(default = "root")]
    path: String,
    assume_role_policy_document: String,
    description: Option<String>,
    max_session_duration: Option<i64>,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

fn root() -> String {
    "/".into()
}

/// How long a session of a role can be unless it says otherwise.
pub(super) const AN_HOUR: u32 = 3600;

/// The longest session of a role is between an hour and twelve:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>.
fn session_seconds(wanted: i64) -> Result<u32, ApiError> {
    let refused = |constraint: &str| Err(violates("maxSessionDuration", wanted, constraint));
    match u32::try_from(wanted) {
        Ok(seconds @ 3600..=43_200) => Ok(seconds),
        _ if wanted < 3600 => refused("Member must have value greater than or equal to 3600"),
        _ => refused("Member must have value less than or equal to 43200"),
    }
}

pub(super) fn create(call: &mut Call<'_>, input: CreateInput) -> Result<Output, ApiError> {
    check_name("roleName", &input.role_name, 64)?;
    check_path(&input.path)?;
    let max_session_seconds = input.max_session_duration.map_or(Ok(AN_HOUR), session_seconds)?;
    check_trust(&input.assume_role_policy_document)?;
    tags::check(&input.tags)?;
    let role = Role {
        arn: call.global_arn("iam", &format!("role{}{}", input.path, input.role_name)),
        id: unique_id("AROA"),
        created: call.now,
        name: input.role_name,
        path: input.path,
        trust: input.assume_role_policy_document,
        description: input.description,
        max_session_seconds,
        permissions_boundary: input.permissions_boundary,
        tags: input.tags,
        attached: Vec::new(),
        policies: BTreeMap::new(),
    };
    insert(&mut call.account().iam, role)
}

pub(super) fn insert(iam: &mut IamState, role: Role) -> Result<Output, ApiError> {
    if iam.has_role_like(&role.name) {
        return Err(already_exists(format!("Role with name {} already exists.", role.name)));
    }
    let answer = Output::of(&json!({ "Role": role.described() }));
    iam.roles.insert(role.name.clone(), role);
    answer
}

/// Names one role.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleInput {
    pub(super) role_name: String,
}

pub(super) fn get(call: &mut Call<'_>, input: &RoleInput) -> Result<Output, ApiError> {
    Output::of(&json!({ "Role": call.account().iam.role(&input.role_name)?.described() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInput {
    path_prefix: Option<String>,
    #[serde(flatten)]
    page: Page,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let roles = call.account().iam.roles.values().filter(|role| role.path.starts_with(prefix));
    input.page.answer("Roles", roles.map(Role::described).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateInput {
    role_name: String,
    description: Option<String>,
    max_session_duration: Option<i64>,
}

pub(super) fn update(call: &mut Call<'_>, input: &UpdateInput) -> Result<Output, ApiError> {
    let longest = input.max_session_duration.map(session_seconds).transpose()?;
    let role = call.account().iam.role_mut(&input.role_name)?;
    if let Some(description) = &input.description {
        role.description = Some(description.clone());
    }
    if let Some(seconds) = longest {
        role.max_session_seconds = seconds;
    }
    Ok(Output::empty())
}

pub(super) fn update_description(call: &mut Call<'_>, input: &UpdateInput) -> Result<Output, ApiError> {
    update(call, input)?;
    Output::of(&json!({ "Role": call.account().iam.role(&input.role_name)?.described() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrustInput {
    role_name: String,
    policy_document: String,
}

pub(super) fn update_trust(call: &mut Call<'_>, input: TrustInput) -> Result<Output, ApiError> {
    check_trust(&input.policy_document)?;
    call.account().iam.role_mut(&input.role_name)?.trust = input.policy_document;
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BoundaryInput {
    role_name: String,
    permissions_boundary: String,
}

/// PutRolePermissionsBoundary.
pub(super) fn put_boundary(call: &mut Call<'_>, input: BoundaryInput) -> Result<Output, ApiError> {
    call.account().iam.role_mut(&input.role_name)?.permissions_boundary = Some(input.permissions_boundary);
    Ok(Output::empty())
}

/// DeleteRolePermissionsBoundary.
pub(super) fn delete_boundary(call: &mut Call<'_>, input: &RoleInput) -> Result<Output, ApiError> {
    let role = call.account().iam.role_mut(&input.role_name)?;
    let gone = role.permissions_boundary.take();
    gone.map(|_| Output::empty()).ok_or_else(|| {
        let message = format!("Role with name {} has no permissions boundary.", input.role_name);
        super::error::no_such_entity(message)
    })
}

/// A role goes only once nothing hangs on it:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteRole.html>.
pub(super) fn delete(call: &mut Call<'_>, input: &RoleInput) -> Result<Output, ApiError> {
    let iam = &mut call.account().iam;
    let role = iam.role(&input.role_name)?;
    if role.is_service_linked() {
        let message = format!("Cannot perform the operation on the protected role '{}'", input.role_name);
        return Err(ApiError::sender("UnmodifiableEntity", message));
    }
    if !role.attached.is_empty() {
        return Err(delete_conflict("Cannot delete entity, must detach all policies first."));
    }
    if !role.policies.is_empty() {
        return Err(delete_conflict("Cannot delete entity, must delete policies first."));
    }
    if iam.profiles.values().any(|profile| profile.has_role(&input.role_name)) {
        return Err(delete_conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    iam.roles.shift_remove(&input.role_name);
    Ok(Output::empty())
}
