//! Revisions: where what is deployed comes from.
//!
//! Deployments on ECS take their AppSpec from the call. One in S3 is refused: there is no S3 here.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::checks;
use super::page::page;
use super::shapes::{ComputePlatform, Content, RevisionLocation};
use super::state::{CodeDeployState, Revision};
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidRevisionException", message)
}

/// Checks that a revision has what its type needs and fits the platform.
pub(super) fn check(platform: ComputePlatform, revision: &RevisionLocation) -> Result<(), ApiError> {
    let needs = |present: bool, field: &str| {
        if present { Ok(()) } else { Err(invalid(format!("the revision has no {field}"))) }
    };
    match revision.revision_type.as_deref() {
        Some("AppSpecContent") => {
            needs(revision.app_spec_content.is_some(), "appSpecContent")?;
            check_content(revision.app_spec_content.as_ref(), platform)
        }
        Some("String") => {
            needs(revision.string.is_some(), "string")?;
            check_content(revision.string.as_ref(), platform)
        }
        Some("S3") if platform == ComputePlatform::Ecs => Err(invalid(
            "the embedded cloud has no S3, so it cannot read the AppSpec there; send it as revision type \
             AppSpecContent",
        )),
        Some("S3") => needs(revision.s3_location.is_some(), "s3Location"),
        Some("GitHub") if platform != ComputePlatform::Server => {
            Err(invalid("a revision in GitHub is for the Server compute platform only"))
        }
        Some("GitHub") => needs(revision.git_hub_location.is_some(), "gitHubLocation"),
        Some(other) => Err(invalid(format!(
            "the revision type is {other}, it must be AppSpecContent, String, S3 or GitHub"
        ))),
        None => Err(invalid("the revision has no revisionType")),
    }
}

/// The sha256 has to be that of the content. Other platforms' contents are data here.
fn check_content(content: Option<&Content>, platform: ComputePlatform) -> Result<(), ApiError> {
    let Some(Content { content, sha256 }) = content else { return Ok(()) };
    match (content, sha256) {
        (None, None) => Err(invalid("the revision has neither content nor sha256")),
        (Some(text), Some(claimed)) if platform == ComputePlatform::Ecs => {
            let actual = digest(text);
            if actual.eq_ignore_ascii_case(claimed) {
                Ok(())
            } else {
                Err(invalid(format!("the sha256 of the content is {actual}, not {claimed}")))
            }
        }
        _ => Ok(()),
    }
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

impl RevisionLocation {
    /// The AppSpec's text.
    pub(super) fn text(&self) -> Option<&str> {
        let content = self.app_spec_content.as_ref().or(self.string.as_ref())?;
        content.content.as_deref()
    }

    /// As deployments show it: "The content property of the appSpecContent object in the returned
    /// revision is always null" (API_GetDeployment).
    pub(super) fn without_content(&self) -> Self {
        let mut shown = self.clone();
        if let Some(content) = &mut shown.app_spec_content {
            content.content = None;
        }
        shown
    }

    fn sha256(&self) -> Option<&str> {
        self.app_spec_content.as_ref().or(self.string.as_ref())?.sha256.as_deref()
    }

    /// Whether both are the same revision; contents are told apart by their sha256.
    fn is(&self, other: &Self) -> bool {
        match (self.sha256(), other.sha256()) {
            (Some(one), Some(two)) => {
                self.revision_type == other.revision_type && one.eq_ignore_ascii_case(two)
            }
            _ => self == other,
        }
    }
}

/// Adds the sha256 to a content, and the content to a sha256 that is registered.
pub(super) fn complete(
    state: &CodeDeployState,
    application: &str,
    mut revision: RevisionLocation,
) -> RevisionLocation {
    for content in [&mut revision.app_spec_content, &mut revision.string].into_iter().flatten() {
        if let (Some(text), None) = (&content.content, &content.sha256) {
            content.sha256 = Some(digest(text));
        }
    }
    if revision.text().is_none()
        && let Some(application) = state.applications.get(application)
        && let Some(known) = application.revisions.iter().find(|known| known.location.is(&revision))
    {
        return known.location.clone();
    }
    revision
}

/// Registers the revision of a deployment.
pub(super) fn used(
    state: &mut CodeDeployState,
    application: &str,
    revision: &RevisionLocation,
    now: Timestamp,
) {
    let Some(application) = state.applications.get_mut(application) else { return };
    let known = registered(&mut application.revisions, revision, now);
    known.first_used.get_or_insert(now);
    known.last_used = Some(now);
}

fn registered<'a>(
    revisions: &'a mut Vec<Revision>,
    location: &RevisionLocation,
    now: Timestamp,
) -> &'a mut Revision {
    let position = revisions.iter().position(|known| known.location.is(location)).unwrap_or_else(|| {
        revisions.push(Revision {
            location: location.clone(),
            description: None,
            registered: now,
            first_used: None,
            last_used: None,
            groups: Vec::new(),
        });
        revisions.len() - 1
    });
    &mut revisions[position]
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RevisionInput {
    application_name: Option<String>,
    description: Option<String>,
    revision: Option<RevisionLocation>,
}

fn required(revision: Option<RevisionLocation>) -> Result<RevisionLocation, ApiError> {
    revision
        .ok_or_else(|| ApiError::sender("RevisionRequiredException", "The revision ID was not specified."))
}

pub(super) fn register(call: &mut Call<'_>, input: RevisionInput) -> Result<Output, ApiError> {
    let now = call.now;
    let name = checks::application_name(input.application_name.as_deref())?;
    let state = &mut call.region().codedeploy;
    let platform = state.application(name)?.platform;
    let revision = required(input.revision)?;
    check(platform, &revision)?;
    let revision = complete(state, name, revision);
    let known = registered(&mut state.application_mut(name)?.revisions, &revision, now);
    if input.description.is_some() {
        known.description = input.description;
    }
    Ok(Output::empty())
}

fn generic(revision: &Revision) -> Value {
    json!({
        "description": revision.description,
        "deploymentGroups": revision.groups,
        "firstUsedTime": revision.first_used.map(EpochSeconds),
        "lastUsedTime": revision.last_used.map(EpochSeconds),
        "registerTime": EpochSeconds(revision.registered),
    })
}

pub(super) fn get(call: &mut Call<'_>, input: RevisionInput) -> Result<Output, ApiError> {
    let name = checks::application_name(input.application_name.as_deref())?;
    let state = &call.region().codedeploy;
    let application = state.application(name)?;
    let wanted = complete(state, name, required(input.revision)?);
    let known = application.revisions.iter().find(|known| known.location.is(&wanted)).ok_or_else(|| {
        ApiError::sender(
            "RevisionDoesNotExistException",
            "The named revision does not exist in the application.",
        )
    })?;
    Output::of(&json!({
        "applicationName": name,
        "revision": known.location,
        "revisionInfo": generic(known),
    }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BatchInput {
    application_name: Option<String>,
    revisions: Vec<RevisionLocation>,
}

pub(super) fn batch_get(call: &mut Call<'_>, input: BatchInput) -> Result<Output, ApiError> {
    let name = checks::application_name(input.application_name.as_deref())?;
    checks::batch(input.revisions.len(), 25)?;
    let state = &call.region().codedeploy;
    let application = state.application(name)?;
    let mut found = Vec::new();
    for wanted in input.revisions {
        let wanted = complete(state, name, wanted);
        let known = application.revisions.iter().find(|known| known.location.is(&wanted));
        found.extend(known.map(
            |known| json!({ "revisionLocation": known.location, "genericRevisionInfo": generic(known) }),
        ));
    }
    Output::of(&json!({ "applicationName": name, "revisions": found }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListInput {
    application_name: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    deployed: Option<String>,
    s3_bucket: Option<String>,
    next_token: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let name = checks::application_name(input.application_name.as_deref())?;
    let mut revisions: Vec<&Revision> =
        call.region().codedeploy.application(name)?.revisions.iter().collect();
    match input.deployed.as_deref() {
        None | Some("ignore") => {}
        Some("include") => revisions.retain(|revision| !revision.groups.is_empty()),
        Some("exclude") => revisions.retain(|revision| revision.groups.is_empty()),
        Some(other) => {
            return Err(ApiError::sender(
                "InvalidDeployedStateFilterException",
                format!("deployed is {other}"),
            ));
        }
    }
    if let Some(bucket) = &input.s3_bucket {
        revisions.retain(|revision| {
            let location = revision.location.s3_location.as_ref();
            location.and_then(|location| location.get("bucket")).and_then(Value::as_str) == Some(bucket)
        });
    }
    match input.sort_by.as_deref() {
        None => {}
        Some("registerTime") => revisions.sort_by_key(|revision| revision.registered),
        Some("firstUsedTime") => revisions.sort_by_key(|revision| revision.first_used),
        Some("lastUsedTime") => revisions.sort_by_key(|revision| revision.last_used),
        Some(other) => return Err(ApiError::sender("InvalidSortByException", format!("sortBy is {other}"))),
    }
    match input.sort_order.as_deref() {
        None | Some("ascending") => {}
        Some("descending") => revisions.reverse(),
        Some(other) => {
            return Err(ApiError::sender("InvalidSortOrderException", format!("sortOrder is {other}")));
        }
    }
    // Positions serve as names for the pages.
    let positions = (0..revisions.len()).map(|position| position.to_string()).collect();
    let (shown, next) = page(positions, input.next_token.as_deref())?;
    let shown: Vec<_> = shown
        .iter()
        .filter_map(|position| revisions.get(position.parse::<usize>().ok()?))
        .map(|revision| revision.location.without_content())
        .collect();
    Output::of(&json!({ "revisions": shown, "nextToken": next }))
}
