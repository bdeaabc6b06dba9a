//! Deployments: begun and shown. The controller carries them out.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::page;
use super::record::{Deployment, DeploymentStatus, EventStatus, Requests, RollbackInfo};
use super::shapes::{
    AlarmConfiguration, AutoRollbackConfiguration, ComputePlatform, RevisionLocation, Routing,
};
use super::state::CodeDeployState;
use super::{AppSpec, checks, configs, group_checks, revisions};
use crate::controllers::codedeploy::Phase;
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};
use crate::world::Region;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CreateInput {
    application_name: Option<String>,
    deployment_group_name: Option<String>,
    revision: Option<RevisionLocation>,
    deployment_config_name: Option<String>,
    description: Option<String>,
    ignore_application_stop_failures: bool,
    update_outdated_instances_only: bool,
    file_exists_behavior: Option<String>,
    target_instances: Option<Value>,
    auto_rollback_configuration: Option<AutoRollbackConfiguration>,
    override_alarm_configuration: Option<AlarmConfiguration>,
}

pub(super) fn create(call: &mut Call<'_>, input: CreateInput) -> Result<Output, ApiError> {
    let now = call.now;
    let region = call.region();
    let deployment = prepare(region, input, now)?;
    let state = &mut region.codedeploy;
    let answer = json!({ "deploymentId": deployment.id });
    revisions::used(state, &deployment.application, &deployment.revision, now);
    state.deployments.insert(deployment.id.clone(), deployment);
    Output::of(&answer)
}

fn prepare(region: &Region, input: CreateInput, now: Timestamp) -> Result<Deployment, ApiError> {
    let state = &region.codedeploy;
    let application = checks::application_name(input.application_name.as_deref())?;
    let platform = state.application(application)?.platform;
    let name = checks::group_name(input.deployment_group_name.as_deref())?;
    let group = state.application(application)?.group(name)?;
    check_description(input.description.as_deref())?;
    let config_name = input.deployment_config_name.as_deref().unwrap_or(&group.config_name);
    let config = configs::find_for(state, config_name, platform)?;
    if let Some(balancer) = &group.load_balancer {
        group_checks::check_gradual(region, balancer, &config)?;
    }
    if let Some(rollback) = &input.auto_rollback_configuration {
        group_checks::check_rollback(rollback)?;
    }
    if let Some(alarms) = &input.override_alarm_configuration {
        group_checks::check_alarms(alarms)?;
    }
    check_server_flags(platform, &input)?;
    let revision =
        match input.revision.clone() {
            Some(revision) => revision,
            // Without a revision the last one that succeeded is deployed again.
            None => state.last_successful(application, name).map(|last| last.revision.clone()).ok_or_else(
                || ApiError::sender("RevisionRequiredException", "The revision ID was not specified."),
            )?,
        };
    let app_spec = read_revision(state, application, platform, &revision)?;
    let revision = revisions::complete(state, application, revision);
    check_idle(state, platform, application, name)?;
    let test = group
        .load_balancer
        .as_ref()
        .and_then(|info| info.target_group_pair_info_list.first()?.test_listener());
    Ok(Deployment {
        id: super::new_deployment_id(),
        application: application.to_owned(),
        group: name.to_owned(),
        config_name: config_name.to_owned(),
        platform,
        routing: config.routing.and_then(|routing| routing.routing()).unwrap_or(Routing::AllAtOnce),
        previous_revision: state.last_successful(application, name).map(|last| last.revision.clone()),
        revision,
        app_spec,
        description: input.description,
        creator: "user".into(),
        auto_rollback: input
            .auto_rollback_configuration
            .or_else(|| group.auto_rollback.clone())
            .unwrap_or_default(),
        style: group.style.clone(),
        blue_green: group.blue_green.clone(),
        load_balancer: group.load_balancer.clone(),
        ecs_service: group.ecs_services.first().cloned(),
        given: json!({
            "ignoreApplicationStopFailures": input.ignore_application_stop_failures,
            "updateOutdatedInstancesOnly": input.update_outdated_instances_only,
            "fileExistsBehavior": input.file_exists_behavior,
            "targetInstances": input.target_instances,
            "overrideAlarmConfiguration": input.override_alarm_configuration,
        }),
        status: DeploymentStatus::Created,
        error: None,
        rollback: None,
        created: now,
        started: None,
        completed: None,
        updated: now,
        phase: Phase::Created,
        phase_began: now,
        events: Deployment::fresh_events(test.is_some()),
        requests: Requests::default(),
        original: None,
        replacement: None,
    })
}

fn check_description(description: Option<&str>) -> Result<(), ApiError> {
    if description.is_some_and(|text| text.chars().count() > 1000) {
        return Err(ApiError::sender("DescriptionTooLongException", "The description is too long."));
    }
    Ok(())
}

/// Flags that only the Server platform has.
fn check_server_flags(platform: ComputePlatform, input: &CreateInput) -> Result<(), ApiError> {
    let behaviors = ["DISALLOW", "OVERWRITE", "RETAIN"];
    let behavior = input.file_exists_behavior.as_deref();
    let refused = if behavior.is_some_and(|behavior| !behaviors.contains(&behavior)) {
        Some(("InvalidFileExistsBehaviorException", "fileExistsBehavior is DISALLOW, OVERWRITE or RETAIN"))
    } else if platform == ComputePlatform::Server {
        None
    } else if input.ignore_application_stop_failures {
        Some((
            "InvalidIgnoreApplicationStopFailuresValueException",
            "ignoreApplicationStopFailures must be false",
        ))
    } else if input.update_outdated_instances_only {
        Some((
            "InvalidUpdateOutdatedInstancesOnlyValueException",
            "updateOutdatedInstancesOnly must be false",
        ))
    } else if input.target_instances.is_some() {
        Some(("InvalidTargetInstancesException", "targetInstances are for the Server platform only"))
    } else {
        None
    };
    match refused {
        Some((code, message)) => Err(ApiError::sender(code, message)),
        None => Ok(()),
    }
}

fn read_revision(
    state: &CodeDeployState,
    application: &str,
    platform: ComputePlatform,
    revision: &RevisionLocation,
) -> Result<Option<AppSpec>, ApiError> {
    revisions::check(platform, revision)?;
    if platform != ComputePlatform::Ecs {
        return Ok(None);
    }
    let revision = revisions::complete(state, application, revision.clone());
    let Some(text) = revision.text() else {
        return Err(ApiError::sender(
            "RevisionDoesNotExistException",
            "No revision with this sha256 is registered, and the call has no content",
        ));
    };
    super::appspec::parse(text).map(Some)
}

/// One deployment at a time. Those of other platforms never end here, so they do not count.
fn check_idle(
    state: &CodeDeployState,
    platform: ComputePlatform,
    application: &str,
    group: &str,
) -> Result<(), ApiError> {
    match state.active(application, group) {
        Some(active) if platform == ComputePlatform::Ecs => Err(ApiError::sender(
            "DeploymentLimitExceededException",
            format!("The Deployment Group '{group}' already has an active Deployment '{}'", active.id),
        )),
        _ => Ok(()),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct IdInput {
    deployment_id: Option<String>,
}

pub(super) fn get(call: &mut Call<'_>, input: &IdInput) -> Result<Output, ApiError> {
    let id = checks::deployment_id(input.deployment_id.as_deref())?;
    let deployment = call.region().codedeploy.deployment(id)?;
    Output::of(&json!({ "deploymentInfo": info(deployment) }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BatchInput {
    deployment_ids: Vec<String>,
}

/// Deployments that do not exist are left out.
pub(super) fn batch_get(call: &mut Call<'_>, input: &BatchInput) -> Result<Output, ApiError> {
    if input.deployment_ids.is_empty() {
        checks::deployment_id(None)?;
    }
    checks::batch(input.deployment_ids.len(), 25)?;
    for id in &input.deployment_ids {
        checks::deployment_id(Some(id))?;
    }
    let state = &call.region().codedeploy;
    let found = input.deployment_ids.iter().filter_map(|id| state.deployments.get(id)).map(info);
    Output::of(&json!({ "deploymentsInfo": found.collect::<Vec<_>>() }))
}

/// A deployment as API_DeploymentInfo.
fn info(deployment: &Deployment) -> Value {
    let given = |field: &str| deployment.given.get(field).cloned();
    let waiting = matches!(deployment.phase, Phase::TerminationWait | Phase::Termination);
    json!({
        "applicationName": deployment.application,
        "deploymentGroupName": deployment.group,
        "deploymentConfigName": deployment.config_name,
        "deploymentId": deployment.id,
        "previousRevision": deployment.previous_revision.as_ref().map(RevisionLocation::without_content),
        "revision": deployment.revision.without_content(),
        "status": deployment.status,
        "errorInformation": deployment.error.as_ref()
            .map(|error| json!({ "code": error.code, "message": error.message })),
        "createTime": EpochSeconds(deployment.created),
        "startTime": deployment.started.map(EpochSeconds),
        "completeTime": deployment.completed.map(EpochSeconds),
        "deploymentOverview": deployment.started.map(|_| overview(deployment)),
        "description": deployment.description,
        "creator": deployment.creator,
        "ignoreApplicationStopFailures": given("ignoreApplicationStopFailures"),
        "autoRollbackConfiguration": deployment.auto_rollback,
        "updateOutdatedInstancesOnly": given("updateOutdatedInstancesOnly"),
        "rollbackInfo": rollback_info(deployment.rollback.as_ref()),
        "deploymentStyle": deployment.style,
        "targetInstances": given("targetInstances"),
        "instanceTerminationWaitTimeStarted":
            waiting || deployment.status == DeploymentStatus::Succeeded && deployment.platform == ComputePlatform::Ecs,
        "blueGreenDeploymentConfiguration": deployment.blue_green,
        "loadBalancerInfo": deployment.load_balancer,
        "fileExistsBehavior": given("fileExistsBehavior").filter(|value| !value.is_null()).unwrap_or_else(|| json!("DISALLOW")),
        "deploymentStatusMessages": [],
        "computePlatform": deployment.platform,
        "overrideAlarmConfiguration": given("overrideAlarmConfiguration"),
    })
}

/// AWS shows an empty structure where there was no rollback.
fn rollback_info(info: Option<&RollbackInfo>) -> Value {
    serde_json::to_value(info).ok().filter(|value| !value.is_null()).unwrap_or_else(|| json!({}))
}

/// One target, counted by its status.
fn overview(deployment: &Deployment) -> Value {
    let mut counts = json!({
        "Pending": 0, "InProgress": 0, "Succeeded": 0, "Failed": 0, "Skipped": 0, "Ready": 0
    });
    counts[deployment.target_status()] = json!(1);
    counts
}

impl Deployment {
    /// The status of its one target.
    pub(super) fn target_status(&self) -> &'static str {
        match self.status {
            DeploymentStatus::Created | DeploymentStatus::Queued => "Pending",
            DeploymentStatus::InProgress => "InProgress",
            DeploymentStatus::Ready => "Ready",
            DeploymentStatus::Succeeded => "Succeeded",
            DeploymentStatus::Failed => "Failed",
            DeploymentStatus::Stopped
                if self.events.iter().any(|event| event.status == EventStatus::Failed) =>
            {
                "Failed"
            }
            DeploymentStatus::Stopped => "Skipped",
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListInput {
    application_name: Option<String>,
    deployment_group_name: Option<String>,
    external_id: Option<String>,
    include_only_statuses: Vec<String>,
    create_time_range: Option<TimeRange>,
    next_token: Option<String>,
}

/// Seconds since 1970.
#[derive(Deserialize, Default)]
#[serde(default)]
struct TimeRange {
    start: Option<f64>,
    end: Option<f64>,
}

/// The newest first. Deployments for an external id are those of CloudFormation: there are none.
pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let application = input.application_name.as_deref().filter(|name| !name.is_empty());
    let group = input.deployment_group_name.as_deref().filter(|name| !name.is_empty());
    match (application, group) {
        (Some(_), None) if input.external_id.is_none() => drop(checks::group_name(None)?),
        (None, Some(_)) => drop(checks::application_name(None)?),
        _ => {}
    }
    check_statuses(&input.include_only_statuses)?;
    let range = input.create_time_range.as_ref();
    if let Some(TimeRange { start: Some(start), end: Some(end) }) = range
        && start > end
    {
        return Err(ApiError::sender(
            "InvalidTimeRangeException",
            "The specified time range was specified in an invalid format: it ends before it starts.",
        ));
    }
    let state = &call.region().codedeploy;
    if let (Some(application), Some(group)) = (application, group) {
        state.application(application)?.group(group)?;
    }
    let shown = |deployment: &&Deployment| {
        let status = json!(deployment.status);
        let created = EpochSeconds(deployment.created).0.as_millisecond() as f64 / 1000.0;
        application.is_none_or(|name| deployment.application == name)
            && group.is_none_or(|name| deployment.group == name)
            && input.external_id.is_none()
            && (input.include_only_statuses.is_empty()
                || input.include_only_statuses.iter().any(|name| status == name.as_str()))
            && range.is_none_or(|range| {
                range.start.is_none_or(|start| created >= start) && range.end.is_none_or(|end| created <= end)
            })
    };
    let ids =
        state.deployments.values().rev().filter(shown).map(|deployment| deployment.id.clone()).collect();
    let (ids, next) = page(ids, input.next_token.as_deref())?;
    Output::of(&json!({ "deployments": ids, "nextToken": next }))
}

fn check_statuses(statuses: &[String]) -> Result<(), ApiError> {
    let known = ["Created", "Queued", "InProgress", "Baking", "Succeeded", "Failed", "Stopped", "Ready"];
    match statuses.iter().find(|status| !known.contains(&status.as_str())) {
        Some(status) => Err(ApiError::sender(
            "InvalidDeploymentStatusException",
            format!("The specified deployment status {status} doesn't exist or cannot be determined."),
        )),
        None => Ok(()),
    }
}
