//! AWS Identity and Access Management: roles and policies, as records.
//!
//! Nothing is ever denied: the cloud serves whoever reaches its loopback address. What clients make is
//! kept and checked, so that a pipeline that forgets a role or deletes one in use hears of it here.
//!
//! Source: docs.aws.amazon.com/IAM/latest/APIReference

mod documents;
mod error;
mod managed;
mod oidc;
mod page;
mod policies;
mod profiles;
mod role_policies;
mod roles;
mod service_linked;
mod tags;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Call, missing};
use crate::wire::{ApiError, Input, Iso8601, Output, Service};

use policies::Policy;
use profiles::InstanceProfile;
use roles::Role;

/// What the service holds, by name; policies by ARN.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct IamState {
    roles: IndexMap<String, Role>,
    policies: IndexMap<String, Policy>,
    profiles: IndexMap<String, InstanceProfile>,
    /// By ARN.
    oidc_providers: IndexMap<String, oidc::OidcProvider>,
}

impl IamState {
    /// How many roles and policies clients made.
    pub(crate) fn counts(&self) -> [(&'static str, usize); 2] {
        let made = self.roles.values().filter(|role| !role.is_service_linked()).count();
        [("iam:role", made), ("iam:policy", self.policies.len())]
    }
}

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "CreateRole" => roles::create(call, input.parse()?),
        "GetRole" => roles::get(call, &input.parse()?),
        "ListRoles" => roles::list(call, &input.parse()?),
        "UpdateRole" => roles::update(call, &input.parse()?),
        "UpdateRoleDescription" => roles::update_description(call, &input.parse()?),
        "UpdateAssumeRolePolicy" => roles::update_trust(call, input.parse()?),
        "DeleteRole" => roles::delete(call, &input.parse()?),
        "CreateServiceLinkedRole" => service_linked::create(call, &input.parse()?),
        "DeleteServiceLinkedRole" => service_linked::delete(call, &input.parse()?),
        "GetServiceLinkedRoleDeletionStatus" => service_linked::deletion_status(&input.parse()?),
        "PutRolePermissionsBoundary" => roles::put_boundary(call, input.parse()?),
        "DeleteRolePermissionsBoundary" => roles::delete_boundary(call, &input.parse()?),
        "TagRole" | "TagPolicy" | "TagInstanceProfile" => tags::tag(call, &input.parse()?, input.parse()?),
        "UntagRole" | "UntagPolicy" | "UntagInstanceProfile" => {
            tags::untag(call, &input.parse()?, &input.parse()?)
        }
        "ListRoleTags" | "ListPolicyTags" | "ListInstanceProfileTags" => {
            tags::list(call, &input.parse()?, &input.parse()?)
        }
        "PutRolePolicy" => role_policies::put(call, input.parse()?),
        "GetRolePolicy" => role_policies::get(call, &input.parse()?),
        "ListRolePolicies" => role_policies::list(call, &input.parse()?),
        "DeleteRolePolicy" => role_policies::delete(call, &input.parse()?),
        "AttachRolePolicy" => role_policies::attach(call, &input.parse()?),
        "DetachRolePolicy" => role_policies::detach(call, &input.parse()?),
        "ListAttachedRolePolicies" => role_policies::list_attached(call, &input.parse()?),
        "CreatePolicy" => policies::create(call, input.parse()?),
        "GetPolicy" => policies::get(call, &input.parse()?),
        "ListPolicies" => policies::list(call, &input.parse()?),
        "DeletePolicy" => policies::delete(call, &input.parse()?),
        "CreatePolicyVersion" => policies::create_version(call, &input.parse()?),
        "GetPolicyVersion" => policies::get_version(call, &input.parse()?),
        "ListPolicyVersions" => policies::list_versions(call, &input.parse()?),
        "SetDefaultPolicyVersion" => policies::set_default_version(call, &input.parse()?),
        "DeletePolicyVersion" => policies::delete_version(call, &input.parse()?),
        "ListEntitiesForPolicy" => policies::list_entities(call, &input.parse()?),
        "CreateInstanceProfile" => profiles::create(call, &input.parse()?),
        "GetInstanceProfile" => profiles::get(call, &input.parse()?),
        "DeleteInstanceProfile" => profiles::delete(call, &input.parse()?),
        "AddRoleToInstanceProfile" => profiles::add_role(call, &input.parse()?),
        "RemoveRoleFromInstanceProfile" => profiles::remove_role(call, &input.parse()?),
        "ListInstanceProfiles" => profiles::list(call, &input.parse()?),
        "ListInstanceProfilesForRole" => profiles::list_for_role(call, &input.parse()?),
        "CreateOpenIDConnectProvider" => oidc::create(call, input.parse()?),
        "GetOpenIDConnectProvider" => oidc::get(call, &input.parse()?),
        "ListOpenIDConnectProviders" => oidc::list(call),
        "DeleteOpenIDConnectProvider" => oidc::delete(call, &input.parse()?),
        "UpdateOpenIDConnectProviderThumbprint" => oidc::update_thumbprint(call, &input.parse()?),
        "AddClientIDToOpenIDConnectProvider" => oidc::add_client(call, &input.parse()?),
        "RemoveClientIDFromOpenIDConnectProvider" => oidc::remove_client(call, &input.parse()?),
        "TagOpenIDConnectProvider" => oidc::tag(call, &input.parse()?),
        "UntagOpenIDConnectProvider" => oidc::untag(call, &input.parse()?),
        "ListOpenIDConnectProviderTags" => oidc::list_tags(call, &input.parse()?),
        "GetUser" => get_user(call),
        "ListAccountAliases" => Output::of(&json!({ "AccountAliases": [], "IsTruncated": false })),
        _ => Err(missing(Service::Iam, operation)),
    }
}

/// The caller is the account's root: the cloud has no users.
fn get_user(call: &Call<'_>) -> Result<Output, ApiError> {
    let account = &call.place.account;
    Output::of(&json!({ "User": {
        "UserId": account,
        "Arn": call.global_arn("iam", "root"),
        "CreateDate": Iso8601(call.now),
    } }))
}

/// An id of IAM: a prefix that tells the kind, and 17 characters.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
fn unique_id(prefix: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string().to_ascii_uppercase();
    format!("{prefix}{}", &random[..17])
}

#[cfg(test)]
mod tests;
