//! Applications.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checks;
use super::page::page;
use super::shapes::{ComputePlatform, Tag};
use super::state::Application;
use super::tags;
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct CreateInput {
    application_name: Option<String>,
    compute_platform: Option<String>,
    tags: Vec<Tag>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let name = checks::application_name(input.application_name.as_deref())?;
    let platform = checks::compute_platform(input.compute_platform.as_deref())?;
    tags::check(&input.tags)?;
    let created = call.now;
    let applications = &mut call.region().codedeploy.applications;
    if applications.contains_key(name) {
        return Err(exists(name));
    }
    let application = Application {
        id: Uuid::new_v4().to_string(),
        platform,
        created,
        tags: input.tags.clone(),
        groups: BTreeMap::new(),
        revisions: Vec::new(),
    };
    let answer = serde_json::json!({ "applicationId": application.id });
    applications.insert(name.to_owned(), application);
    Output::of(&answer)
}

fn exists(name: &str) -> ApiError {
    ApiError::sender("ApplicationAlreadyExistsException", format!("Application already exists: {name}"))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NameInput {
    application_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApplicationInfo<'a> {
    application_id: &'a str,
    application_name: &'a str,
    create_time: EpochSeconds,
    linked_to_git_hub: bool,
    compute_platform: ComputePlatform,
}

fn info<'a>(name: &'a str, application: &'a Application) -> ApplicationInfo<'a> {
    ApplicationInfo {
        application_id: &application.id,
        application_name: name,
        create_time: EpochSeconds(application.created),
        linked_to_git_hub: false,
        compute_platform: application.platform,
    }
}

pub(super) fn get(call: &mut Call<'_>, input: &NameInput) -> Result<Output, ApiError> {
    let name = checks::application_name(input.application_name.as_deref())?;
    let application = call.region().codedeploy.application(name)?;
    Output::of(&serde_json::json!({ "application": info(name, application) }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BatchInput {
    application_names: Vec<String>,
}

pub(super) fn batch_get(call: &mut Call<'_>, input: &BatchInput) -> Result<Output, ApiError> {
    if input.application_names.is_empty() {
        checks::application_name(None)?;
    }
    checks::batch(input.application_names.len(), 25)?;
    let state = &call.region().codedeploy;
    let infos: Result<Vec<_>, ApiError> = input
        .application_names
        .iter()
        .map(|name| Ok(info(name, state.application(checks::application_name(Some(name))?)?)))
        .collect();
    Output::of(&serde_json::json!({ "applicationsInfo": infos? }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListInput {
    next_token: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let names = call.region().codedeploy.applications.keys().cloned().collect();
    let (names, next) = page(names, input.next_token.as_deref())?;
    Output::of(&serde_json::json!({ "applications": names, "nextToken": next }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UpdateInput {
    application_name: Option<String>,
    new_application_name: Option<String>,
}

pub(super) fn update(call: &mut Call<'_>, input: &UpdateInput) -> Result<Output, ApiError> {
    let name = checks::application_name(input.application_name.as_deref())?;
    let new = checks::application_name(input.new_application_name.as_deref())?;
    let state = &mut call.region().codedeploy;
    state.application(name)?;
    if name == new {
        return Ok(Output::empty());
    }
    if state.applications.contains_key(new) {
        return Err(exists(new));
    }
    if let Some(application) = state.applications.remove(name) {
        state.applications.insert(new.to_owned(), application);
    }
    for deployment in state.deployments.values_mut().filter(|deployment| deployment.application == name) {
        deployment.application = new.to_owned();
    }
    Ok(Output::empty())
}

/// Deleting what is not there succeeds. Deployments that still run are stopped where they are.
pub(super) fn delete(call: &mut Call<'_>, input: &NameInput) -> Result<Output, ApiError> {
    let name = checks::application_name(input.application_name.as_deref())?;
    call.region().codedeploy.applications.remove(name);
    Ok(Output::empty())
}
