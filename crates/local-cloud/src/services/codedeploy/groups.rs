//! Deployment groups.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::page::page;
use super::record::Deployment;
use super::shapes::{
    AlarmConfiguration, AutoRollbackConfiguration, BlueGreenDeploymentConfiguration, ComputePlatform,
    DeploymentStyle, EcsService, LoadBalancerInfo, RevisionLocation, Tag, TriggerConfig,
};
use super::state::{CodeDeployState, DeploymentGroup, ServerSettings};
use super::{checks, configs, group_checks, tags};
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};

/// What a group is made of or changed to. What is not given keeps its value, or gets the default.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Settings {
    deployment_config_name: Option<String>,
    service_role_arn: Option<String>,
    trigger_configurations: Option<Vec<TriggerConfig>>,
    alarm_configuration: Option<AlarmConfiguration>,
    auto_rollback_configuration: Option<AutoRollbackConfiguration>,
    outdated_instances_strategy: Option<String>,
    deployment_style: Option<DeploymentStyle>,
    blue_green_deployment_configuration: Option<BlueGreenDeploymentConfiguration>,
    load_balancer_info: Option<LoadBalancerInfo>,
    ecs_services: Option<Vec<EcsService>>,
    termination_hook_enabled: Option<bool>,
    ec2_tag_filters: Option<Vec<serde_json::Value>>,
    on_premises_instance_tag_filters: Option<Vec<serde_json::Value>>,
    auto_scaling_groups: Option<Vec<serde_json::Value>>,
    ec2_tag_set: Option<serde_json::Value>,
    on_premises_tag_set: Option<serde_json::Value>,
    ec2_deployment_options: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CreateInput {
    application_name: Option<String>,
    deployment_group_name: Option<String>,
    tags: Vec<Tag>,
    #[serde(flatten)]
    settings: Settings,
}

pub(super) fn create(call: &mut Call<'_>, input: CreateInput) -> Result<Output, ApiError> {
    let application = checks::application_name(input.application_name.as_deref())?;
    let name = checks::group_name(input.deployment_group_name.as_deref())?;
    tags::check(&input.tags)?;
    let region = call.region();
    let known = region.codedeploy.application(application)?;
    if known.groups.contains_key(name) {
        return Err(exists(name));
    }
    let platform = known.platform;
    if input.settings.service_role_arn.as_deref().unwrap_or_default().is_empty() {
        return Err(ApiError::sender("RoleRequiredException", "The role ID was not specified."));
    }
    let mut group = fresh(platform);
    group.tags = input.tags;
    change(&mut group, input.settings);
    group_checks::check(region, platform, &mut group)?;
    if let [service] = group.ecs_services.as_slice() {
        check_unmapped(&region.codedeploy, service, application, name)?;
    }
    let answer = json!({ "deploymentGroupId": group.id });
    region.codedeploy.application_mut(application)?.groups.insert(name.to_owned(), group);
    Output::of(&answer)
}

fn exists(name: &str) -> ApiError {
    ApiError::sender(
        "DeploymentGroupAlreadyExistsException",
        format!("Deployment group already exists: {name}"),
    )
}

fn fresh(platform: ComputePlatform) -> DeploymentGroup {
    let (kind, option) = match platform {
        // The only style that Lambda has.
        ComputePlatform::Lambda => ("BLUE_GREEN", "WITH_TRAFFIC_CONTROL"),
        // On ECS the style has to be given, and is checked.
        ComputePlatform::Server | ComputePlatform::Ecs => ("IN_PLACE", "WITHOUT_TRAFFIC_CONTROL"),
    };
    DeploymentGroup {
        id: Uuid::new_v4().to_string(),
        config_name: configs::default_of(platform).to_owned(),
        service_role_arn: String::new(),
        triggers: Vec::new(),
        alarms: None,
        auto_rollback: None,
        style: DeploymentStyle { deployment_type: kind.into(), deployment_option: option.into() },
        blue_green: None,
        load_balancer: None,
        ecs_services: Vec::new(),
        outdated_instances_strategy: "UPDATE".into(),
        termination_hook_enabled: false,
        server: ServerSettings::default(),
        tags: Vec::new(),
    }
}

fn change(group: &mut DeploymentGroup, settings: Settings) {
    fn set<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    set(&mut group.config_name, settings.deployment_config_name);
    set(&mut group.service_role_arn, settings.service_role_arn);
    set(&mut group.triggers, settings.trigger_configurations);
    set(&mut group.alarms, settings.alarm_configuration.map(Some));
    set(&mut group.auto_rollback, settings.auto_rollback_configuration.map(Some));
    set(&mut group.outdated_instances_strategy, settings.outdated_instances_strategy);
    set(&mut group.style, settings.deployment_style);
    set(&mut group.blue_green, settings.blue_green_deployment_configuration.map(Some));
    set(&mut group.load_balancer, settings.load_balancer_info.map(Some));
    set(&mut group.ecs_services, settings.ecs_services);
    set(&mut group.termination_hook_enabled, settings.termination_hook_enabled);
    let server = &mut group.server;
    set(&mut server.ec2_tag_filters, settings.ec2_tag_filters);
    set(&mut server.on_premises_instance_tag_filters, settings.on_premises_instance_tag_filters);
    let scaling = settings
        .auto_scaling_groups
        .map(|names| names.into_iter().map(|name| json!({ "name": name })).collect());
    set(&mut server.auto_scaling_groups, scaling);
    set(&mut server.ec2_tag_set, settings.ec2_tag_set.map(Some));
    set(&mut server.on_premises_tag_set, settings.on_premises_tag_set.map(Some));
    set(&mut server.ec2_deployment_options, settings.ec2_deployment_options.map(Some));
}

/// A service belongs to one group only.
fn check_unmapped(
    state: &CodeDeployState,
    service: &EcsService,
    application: &str,
    group: &str,
) -> Result<(), ApiError> {
    let same =
        |other: &EcsService| other.service() == service.service() && other.cluster() == service.cluster();
    for (application_name, known) in &state.applications {
        for (group_name, known) in &known.groups {
            let itself = application_name == application && group_name == group;
            if !itself && known.ecs_services.iter().any(same) {
                return Err(ApiError::sender(
                    "ECSServiceMappingLimitExceededException",
                    format!(
                        "The ECS service {} in cluster {} is already associated with the deployment group \
                         {group_name} of the application {application_name}. An ECS service can be \
                         associated with only one deployment group.",
                        service.service(),
                        service.cluster()
                    ),
                ));
            }
        }
    }
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NameInput {
    application_name: Option<String>,
    deployment_group_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupInfo<'a> {
    application_name: &'a str,
    deployment_group_id: &'a str,
    deployment_group_name: &'a str,
    deployment_config_name: &'a str,
    #[serde(flatten)]
    server: &'a ServerSettings,
    service_role_arn: &'a str,
    target_revision: Option<RevisionLocation>,
    trigger_configurations: &'a [TriggerConfig],
    alarm_configuration: Option<&'a AlarmConfiguration>,
    auto_rollback_configuration: Option<&'a AutoRollbackConfiguration>,
    deployment_style: &'a DeploymentStyle,
    outdated_instances_strategy: &'a str,
    blue_green_deployment_configuration: Option<&'a BlueGreenDeploymentConfiguration>,
    load_balancer_info: Option<&'a LoadBalancerInfo>,
    last_successful_deployment: Option<serde_json::Value>,
    last_attempted_deployment: Option<serde_json::Value>,
    compute_platform: ComputePlatform,
    ecs_services: Option<&'a [EcsService]>,
    termination_hook_enabled: bool,
}

fn last(deployment: &Deployment) -> serde_json::Value {
    json!({
        "deploymentId": deployment.id,
        "status": deployment.status,
        "endTime": deployment.completed.map(EpochSeconds),
        "createTime": EpochSeconds(deployment.created),
    })
}

fn info<'a>(
    state: &'a CodeDeployState,
    application: &'a str,
    name: &'a str,
) -> Result<GroupInfo<'a>, ApiError> {
    let known = state.application(application)?;
    let group = known.group(name)?;
    let successful = state.last_successful(application, name);
    Ok(GroupInfo {
        application_name: application,
        deployment_group_id: &group.id,
        deployment_group_name: name,
        deployment_config_name: &group.config_name,
        server: &group.server,
        service_role_arn: &group.service_role_arn,
        target_revision: successful.map(|deployment| deployment.revision.without_content()),
        trigger_configurations: &group.triggers,
        alarm_configuration: group.alarms.as_ref(),
        auto_rollback_configuration: group.auto_rollback.as_ref(),
        deployment_style: &group.style,
        outdated_instances_strategy: &group.outdated_instances_strategy,
        blue_green_deployment_configuration: group.blue_green.as_ref(),
        load_balancer_info: group.load_balancer.as_ref(),
        last_successful_deployment: successful.map(last),
        last_attempted_deployment: state.of_group(application, name).next_back().map(last),
        compute_platform: known.platform,
        ecs_services: (known.platform == ComputePlatform::Ecs).then_some(&group.ecs_services),
        termination_hook_enabled: group.termination_hook_enabled,
    })
}

pub(super) fn get(call: &mut Call<'_>, input: &NameInput) -> Result<Output, ApiError> {
    let application = checks::application_name(input.application_name.as_deref())?;
    let state = &call.region().codedeploy;
    state.application(application)?;
    let name = checks::group_name(input.deployment_group_name.as_deref())?;
    Output::of(&json!({ "deploymentGroupInfo": info(state, application, name)? }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BatchInput {
    application_name: Option<String>,
    deployment_group_names: Vec<String>,
}

/// Groups that do not exist are left out, and named in `errorMessage`.
pub(super) fn batch_get(call: &mut Call<'_>, input: &BatchInput) -> Result<Output, ApiError> {
    let application = checks::application_name(input.application_name.as_deref())?;
    if input.deployment_group_names.is_empty() {
        checks::group_name(None)?;
    }
    checks::batch(input.deployment_group_names.len(), 100)?;
    let state = &call.region().codedeploy;
    state.application(application)?;
    let mut found = Vec::new();
    let mut errors = Vec::new();
    for name in &input.deployment_group_names {
        match info(state, application, name) {
            Ok(info) => found.push(info),
            Err(error) => errors.push(error.message),
        }
    }
    let message = (!errors.is_empty()).then(|| errors.join("; "));
    Output::of(&json!({ "deploymentGroupsInfo": found, "errorMessage": message }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListInput {
    application_name: Option<String>,
    next_token: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let application = checks::application_name(input.application_name.as_deref())?;
    let names = call.region().codedeploy.application(application)?.groups.keys().cloned().collect();
    let (names, next) = page(names, input.next_token.as_deref())?;
    Output::of(&json!({ "applicationName": application, "deploymentGroups": names, "nextToken": next }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UpdateInput {
    application_name: Option<String>,
    current_deployment_group_name: Option<String>,
    new_deployment_group_name: Option<String>,
    #[serde(flatten)]
    settings: Settings,
}

pub(super) fn update(call: &mut Call<'_>, input: UpdateInput) -> Result<Output, ApiError> {
    let application = checks::application_name(input.application_name.as_deref())?;
    let name = checks::group_name(input.current_deployment_group_name.as_deref())?;
    let region = call.region();
    let known = region.codedeploy.application(application)?;
    let platform = known.platform;
    let mut group = known.group(name)?.clone();
    let new = match input.new_deployment_group_name.as_deref() {
        Some(new) => checks::group_name(Some(new))?,
        None => name,
    };
    if new != name && known.groups.contains_key(new) {
        return Err(exists(new));
    }
    change(&mut group, input.settings);
    group_checks::check(region, platform, &mut group)?;
    if let [service] = group.ecs_services.as_slice() {
        check_unmapped(&region.codedeploy, service, application, name)?;
    }
    let state = &mut region.codedeploy;
    let groups = &mut state.application_mut(application)?.groups;
    groups.remove(name);
    groups.insert(new.to_owned(), group);
    let of_group =
        |deployment: &&mut Deployment| deployment.application == application && deployment.group == name;
    for deployment in state.deployments.values_mut().filter(of_group) {
        deployment.group = new.to_owned();
    }
    Output::of(&json!({ "hooksNotCleanedUp": [] }))
}

/// Deleting what is not there succeeds. A deployment that runs in it fails.
pub(super) fn delete(call: &mut Call<'_>, input: &NameInput) -> Result<Output, ApiError> {
    let application = checks::application_name(input.application_name.as_deref())?;
    let name = checks::group_name(input.deployment_group_name.as_deref())?;
    if let Some(known) = call.region().codedeploy.applications.get_mut(application) {
        known.groups.remove(name);
    }
    Output::of(&json!({ "hooksNotCleanedUp": [] }))
}
