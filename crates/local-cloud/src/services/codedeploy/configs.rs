//! Deployment configurations: how traffic moves. Predefined ones and the account's own.
//!
//! Source: docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::checks;
use super::page::page;
use super::shapes::{ComputePlatform, TimeBasedCanary, TimeBasedLinear, TrafficRoutingConfig};
use super::state::{CodeDeployState, DeploymentConfig};
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};

const PREFIX: &str = "CodeDeployDefault.";

/// The predefined gradual configurations of ECS and Lambda: platform, name, percent, minutes.
const CANARIES: [(ComputePlatform, &str, i64, i64); 6] = [
    (ComputePlatform::Ecs, "ECSCanary10Percent5Minutes", 10, 5),
    (ComputePlatform::Ecs, "ECSCanary10Percent15Minutes", 10, 15),
    (ComputePlatform::Lambda, "LambdaCanary10Percent5Minutes", 10, 5),
    (ComputePlatform::Lambda, "LambdaCanary10Percent10Minutes", 10, 10),
    (ComputePlatform::Lambda, "LambdaCanary10Percent15Minutes", 10, 15),
    (ComputePlatform::Lambda, "LambdaCanary10Percent30Minutes", 10, 30),
];
const LINEARS: [(ComputePlatform, &str, i64, i64); 6] = [
    (ComputePlatform::Ecs, "ECSLinear10PercentEvery1Minutes", 10, 1),
    (ComputePlatform::Ecs, "ECSLinear10PercentEvery3Minutes", 10, 3),
    (ComputePlatform::Lambda, "LambdaLinear10PercentEvery1Minute", 10, 1),
    (ComputePlatform::Lambda, "LambdaLinear10PercentEvery2Minutes", 10, 2),
    (ComputePlatform::Lambda, "LambdaLinear10PercentEvery3Minutes", 10, 3),
    (ComputePlatform::Lambda, "LambdaLinear10PercentEvery10Minutes", 10, 10),
];
/// Those of the Server platform: name, type and value of the minimum of healthy hosts.
const SERVER: [(&str, &str, i64); 3] =
    [("AllAtOnce", "HOST_COUNT", 0), ("HalfAtATime", "FLEET_PERCENT", 50), ("OneAtATime", "HOST_COUNT", -1)];

/// The configuration of a group that names none.
pub(super) fn default_of(platform: ComputePlatform) -> &'static str {
    match platform {
        ComputePlatform::Ecs => "CodeDeployDefault.ECSAllAtOnce",
        ComputePlatform::Lambda => "CodeDeployDefault.LambdaAllAtOnce",
        ComputePlatform::Server => "CodeDeployDefault.OneAtATime",
    }
}

/// The configuration of this name, own or predefined.
pub(super) fn find(state: &CodeDeployState, name: &str) -> Result<DeploymentConfig, ApiError> {
    if let Some(own) = state.configs.get(name) {
        return Ok(own.clone());
    }
    name.strip_prefix(PREFIX).and_then(predefined).ok_or_else(|| {
        ApiError::sender(
            "DeploymentConfigDoesNotExistException",
            format!("No Deployment Configuration found for name: {name}"),
        )
    })
}

/// The configuration of this name, if it is one of `platform`.
pub(super) fn find_for(
    state: &CodeDeployState,
    name: &str,
    platform: ComputePlatform,
) -> Result<DeploymentConfig, ApiError> {
    let config = find(state, checks::config_name(Some(name))?)?;
    if config.platform != platform {
        return Err(ApiError::sender(
            "InvalidDeploymentConfigNameException",
            format!(
                "The deployment configuration {name} is of another compute platform than the application"
            ),
        ));
    }
    Ok(config)
}

fn predefined(name: &str) -> Option<DeploymentConfig> {
    let config = |platform, routing| DeploymentConfig {
        // The same on every call, and unlike any other.
        id: Uuid::from_u128(
            name.bytes().fold(1_u128, |id, byte| id.wrapping_mul(131).wrapping_add(byte.into())),
        )
        .to_string(),
        created: Timestamp::UNIX_EPOCH,
        platform,
        minimum_healthy_hosts: None,
        routing: Some(routing),
        zonal: None,
    };
    if name == "ECSAllAtOnce" {
        return Some(config(ComputePlatform::Ecs, TrafficRoutingConfig::all_at_once()));
    }
    if name == "LambdaAllAtOnce" {
        return Some(config(ComputePlatform::Lambda, TrafficRoutingConfig::all_at_once()));
    }
    let canary = CANARIES.iter().find(|row| row.1 == name).map(|&(platform, _, percent, minutes)| {
        let canary = TimeBasedCanary { canary_percentage: percent, canary_interval: minutes };
        let all = TrafficRoutingConfig::all_at_once();
        config(
            platform,
            TrafficRoutingConfig { kind: "TimeBasedCanary".into(), time_based_canary: Some(canary), ..all },
        )
    });
    let linear = LINEARS.iter().find(|row| row.1 == name).map(|&(platform, _, percent, minutes)| {
        let linear = TimeBasedLinear { linear_percentage: percent, linear_interval: minutes };
        let all = TrafficRoutingConfig::all_at_once();
        config(
            platform,
            TrafficRoutingConfig { kind: "TimeBasedLinear".into(), time_based_linear: Some(linear), ..all },
        )
    });
    let server = SERVER.iter().find(|row| row.0 == name).map(|&(_, kind, value)| {
        let mut config = config(ComputePlatform::Server, TrafficRoutingConfig::all_at_once());
        config.routing = None;
        config.minimum_healthy_hosts = Some(json!({ "type": kind, "value": value }));
        config
    });
    canary.or(linear).or(server)
}

fn predefined_names() -> impl Iterator<Item = String> {
    let gradual = CANARIES.iter().chain(&LINEARS).map(|row| row.1);
    let server = SERVER.iter().map(|row| row.0);
    let all = ["ECSAllAtOnce", "LambdaAllAtOnce"].into_iter().chain(gradual).chain(server);
    all.map(|name| format!("{PREFIX}{name}"))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CreateInput {
    deployment_config_name: Option<String>,
    compute_platform: Option<String>,
    minimum_healthy_hosts: Option<Value>,
    traffic_routing_config: Option<TrafficRoutingConfig>,
    zonal_config: Option<Value>,
}

pub(super) fn create(call: &mut Call<'_>, input: CreateInput) -> Result<Output, ApiError> {
    let name = checks::config_name(input.deployment_config_name.as_deref())?;
    if name.starts_with(PREFIX) {
        return Err(ApiError::sender(
            "InvalidDeploymentConfigNameException",
            format!("The deployment configuration name may not start with {PREFIX}"),
        ));
    }
    let platform = checks::compute_platform(input.compute_platform.as_deref())?;
    let (hosts, routing) = match platform {
        ComputePlatform::Server => {
            check_hosts(input.minimum_healthy_hosts.as_ref())?;
            (input.minimum_healthy_hosts, None)
        }
        _ => {
            if input.minimum_healthy_hosts.is_some() {
                return Err(ApiError::sender(
                    "InvalidMinimumHealthyHostValueException",
                    "minimumHealthyHosts can be given for the Server compute platform only",
                ));
            }
            (None, Some(check_routing(input.traffic_routing_config)?))
        }
    };
    let created = call.now;
    let configs = &mut call.region().codedeploy.configs;
    if configs.contains_key(name) {
        return Err(ApiError::sender(
            "DeploymentConfigAlreadyExistsException",
            format!("Deployment Configuration already exists: {name}"),
        ));
    }
    let config = DeploymentConfig {
        id: Uuid::new_v4().to_string(),
        created,
        platform,
        minimum_healthy_hosts: hosts,
        routing,
        zonal: input.zonal_config,
    };
    let answer = json!({ "deploymentConfigId": config.id });
    configs.insert(name.to_owned(), config);
    Output::of(&answer)
}

fn check_hosts(hosts: Option<&Value>) -> Result<(), ApiError> {
    let kind = hosts.and_then(|hosts| hosts.get("type")).and_then(Value::as_str);
    let value = hosts.and_then(|hosts| hosts.get("value")).and_then(Value::as_i64);
    match (kind, value) {
        (Some("HOST_COUNT"), Some(0..)) | (Some("FLEET_PERCENT"), Some(0..=100)) => Ok(()),
        _ => Err(ApiError::sender(
            "InvalidMinimumHealthyHostValueException",
            "The minimum healthy instance value was specified in an invalid format.",
        )),
    }
}

fn check_routing(routing: Option<TrafficRoutingConfig>) -> Result<TrafficRoutingConfig, ApiError> {
    let invalid = |message: &str| ApiError::sender("InvalidTrafficRoutingConfigurationException", message);
    let routing = routing.ok_or_else(|| {
        invalid("The trafficRoutingConfig must be specified for the ECS and Lambda compute platforms")
    })?;
    if routing.routing().is_none() {
        return Err(invalid(
            "The configuration that specifies how traffic is routed during a deployment is invalid: \
             its type is AllAtOnce, TimeBasedCanary or TimeBasedLinear, with a percentage of 1 to 99 \
             and an interval in minutes that belong to it",
        ));
    }
    Ok(routing)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NameInput {
    deployment_config_name: Option<String>,
}

pub(super) fn get(call: &mut Call<'_>, input: &NameInput) -> Result<Output, ApiError> {
    let name = checks::config_name(input.deployment_config_name.as_deref())?;
    let config = find(&call.region().codedeploy, name)?;
    Output::of(&json!({ "deploymentConfigInfo": {
        "deploymentConfigId": config.id,
        "deploymentConfigName": name,
        "minimumHealthyHosts": config.minimum_healthy_hosts,
        "createTime": EpochSeconds(config.created),
        "computePlatform": config.platform,
        "trafficRoutingConfig": config.routing,
        "zonalConfig": config.zonal,
    }}))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListInput {
    next_token: Option<String>,
}

pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let mut names: Vec<String> = predefined_names().collect();
    names.extend(call.region().codedeploy.configs.keys().cloned());
    let (names, next) = page(names, input.next_token.as_deref())?;
    Output::of(&json!({ "deploymentConfigsList": names, "nextToken": next }))
}

pub(super) fn delete(call: &mut Call<'_>, input: &NameInput) -> Result<Output, ApiError> {
    let name = checks::config_name(input.deployment_config_name.as_deref())?;
    if name.starts_with(PREFIX) {
        return Err(ApiError::sender(
            "InvalidOperationException",
            "Predefined deployment configurations can not be deleted",
        ));
    }
    let state = &mut call.region().codedeploy;
    let mut groups = state.applications.values().flat_map(|application| application.groups.values());
    if groups.any(|group| group.config_name == name) {
        return Err(ApiError::sender(
            "DeploymentConfigInUseException",
            format!("The deployment configuration {name} is still in use."),
        ));
    }
    state.configs.remove(name);
    Ok(Output::empty())
}
