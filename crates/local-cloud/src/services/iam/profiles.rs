//! Instance profiles: a role for EC2 instances. There are no instances here; the records are enough for
//! tools that make them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{already_exists, check_name, check_path, delete_conflict, no_such_entity};
use super::page::Page;
use super::roles::{Role, RoleInput};
use super::tags::{self, Tag};
use super::{IamState, unique_id};
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

/// An instance profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct InstanceProfile {
    name: String,
    path: String,
    id: String,
    arn: String,
    created: Timestamp,
    role: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

impl InstanceProfile {
    pub(super) fn has_role(&self, name: &str) -> bool {
        self.role.as_deref() == Some(name)
    }

    fn described(&self, iam: &IamState) -> Value {
        let role = self.role.as_ref().and_then(|name| iam.roles.get(name));
        let roles: Vec<_> = role.map(Role::described).into_iter().collect();
        json!({
            "InstanceProfileName": self.name,
            "InstanceProfileId": self.id,
            "Path": self.path,
            "Arn": self.arn,
            "CreateDate": Iso8601(self.created),
            "Roles": roles,
            "Tags": (!self.tags.is_empty()).then_some(&self.tags),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProfileInput {
    instance_profile_name: String,
    path: Option<String>,
    role_name: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl ProfileInput {
    fn role(&self) -> &str {
        self.role_name.as_deref().unwrap_or_default()
    }
}

impl IamState {
    pub(super) fn profile_mut(&mut self, name: &str) -> Result<&mut InstanceProfile, ApiError> {
        self.profiles.get_mut(name).ok_or_else(|| no_profile(name))
    }
}

fn no_profile(name: &str) -> ApiError {
    no_such_entity(format!("Instance Profile {name} cannot be found."))
}

pub(super) fn create(call: &mut Call<'_>, input: &ProfileInput) -> Result<Output, ApiError> {
    let name = &input.instance_profile_name;
    check_name("instanceProfileName", name, 128)?;
    tags::check(&input.tags)?;
    let path = input.path.clone().unwrap_or_else(|| "/".into());
    check_path(&path)?;
    let profile = InstanceProfile {
        arn: call.global_arn("iam", &format!("instance-profile{path}{name}")),
        id: unique_id("AIPA"),
        created: call.now,
        name: name.clone(),
        role: None,
        path,
        tags: input.tags.clone(),
    };
    let iam = &mut call.account().iam;
    if iam.profiles.keys().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(already_exists(format!("Instance Profile {name} already exists.")));
    }
    let answer = Output::of(&json!({ "InstanceProfile": profile.described(iam) }));
    iam.profiles.insert(name.clone(), profile);
    answer
}

pub(super) fn get(call: &mut Call<'_>, input: &ProfileInput) -> Result<Output, ApiError> {
    let iam = &call.account().iam;
    let name = &input.instance_profile_name;
    let profile = iam.profiles.get(name).ok_or_else(|| no_profile(name))?;
    Output::of(&json!({ "InstanceProfile": profile.described(iam) }))
}

pub(super) fn delete(call: &mut Call<'_>, input: &ProfileInput) -> Result<Output, ApiError> {
    let iam = &mut call.account().iam;
    let name = &input.instance_profile_name;
    let profile = iam.profiles.get(name).ok_or_else(|| no_profile(name))?;
    if profile.role.is_some() {
        return Err(delete_conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    iam.profiles.shift_remove(name);
    Ok(Output::empty())
}

pub(super) fn add_role(call: &mut Call<'_>, input: &ProfileInput) -> Result<Output, ApiError> {
    let iam = &mut call.account().iam;
    iam.role(input.role())?;
    let name = &input.instance_profile_name;
    let profile = iam.profiles.get_mut(name).ok_or_else(|| no_profile(name))?;
    if profile.role.is_some() {
        let message = "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1";
        return Err(ApiError::sender("LimitExceeded", message).with_status(http::StatusCode::CONFLICT));
    }
    profile.role = Some(input.role().to_owned());
    Ok(Output::empty())
}

pub(super) fn remove_role(call: &mut Call<'_>, input: &ProfileInput) -> Result<Output, ApiError> {
    let name = &input.instance_profile_name;
    let profile = call.account().iam.profiles.get_mut(name).ok_or_else(|| no_profile(name))?;
    if !profile.has_role(input.role()) {
        return Err(super::error::no_role(input.role()));
    }
    profile.role = None;
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInput {
    path_prefix: Option<String>,
    #[serde(flatten)]
    page: Page,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let iam = &call.account().iam;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let profiles = iam.profiles.values().filter(|profile| profile.path.starts_with(prefix));
    input.page.answer("InstanceProfiles", profiles.map(|profile| profile.described(iam)).collect())
}

pub(super) fn list_for_role(call: &mut Call<'_>, input: &RoleInput) -> Result<Output, ApiError> {
    let iam = &call.account().iam;
    iam.role(&input.role_name)?;
    let profiles = iam.profiles.values().filter(|profile| profile.has_role(&input.role_name));
    Page::default().answer("InstanceProfiles", profiles.map(|profile| profile.described(iam)).collect())
}
