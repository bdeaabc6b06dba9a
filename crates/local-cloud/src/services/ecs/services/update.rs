//! UpdateService, and what each deployment controller refuses.

use serde::Deserialize;
use serde_json::{Value, json};

use super::creation::{check_configuration, desired_count};
use super::{
    Call, ControllerType, ServiceEntry, ServiceName, active_mut, begin_deployment, check_values, errors,
    set_desired_count, view,
};
use crate::services::ecs::{
    DeploymentConfigurationChange, DeploymentController, Launch, LoadBalancer, NetworkConfiguration,
    StrategyItem, active_task_definition, clusters, launching,
};
use crate::wire::{ApiError, Input, Output};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateInput {
    #[serde(default)]
    cluster: Option<String>,
    service: String,
    #[serde(default)]
    desired_count: Option<i64>,
    #[serde(default)]
    task_definition: Option<String>,
    #[serde(default)]
    capacity_provider_strategy: Option<Vec<StrategyItem>>,
    #[serde(default)]
    deployment_configuration: Option<DeploymentConfigurationChange>,
    #[serde(default)]
    deployment_controller: Option<DeploymentController>,
    #[serde(default)]
    network_configuration: Option<NetworkConfiguration>,
    #[serde(default)]
    platform_version: Option<String>,
    #[serde(default)]
    force_new_deployment: bool,
    #[serde(default)]
    health_check_grace_period_seconds: Option<u32>,
    #[serde(default)]
    enable_execute_command: Option<bool>,
    #[serde(default, rename = "enableECSManagedTags")]
    enable_ecs_managed_tags: Option<bool>,
    #[serde(default)]
    load_balancers: Option<Vec<LoadBalancer>>,
    #[serde(default)]
    propagate_tags: Option<String>,
    #[serde(default)]
    service_registries: Option<Vec<Value>>,
    #[serde(default)]
    placement_constraints: Option<Vec<Value>>,
    #[serde(default)]
    placement_strategy: Option<Vec<Value>>,
    #[serde(default)]
    availability_zone_rebalancing: Option<String>,
}

/// UpdateService. Under the ECS controller a change of what runs begins a rolling deployment.
pub(in crate::services::ecs) fn update(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: UpdateInput = input.parse()?;
    let name = ServiceName::of_call(input.cluster.as_deref(), &input.service)?;
    check_values(input.propagate_tags.as_deref(), input.availability_zone_rebalancing.as_deref())?;
    let (now, inert) = (call.now, call.settings.inert);
    let service = &active_mut(call, &name)?.service;
    let kind = service.deployment_controller.kind;
    check_controller(kind, &input)?;
    let change = input.deployment_configuration.clone();
    let known = service.deployment_configuration.clone().unwrap_or_default();
    let configuration = change.map(|change| change.over(known));
    check_configuration(kind, configuration.as_ref())?;
    let desired = input.desired_count.map(|count| desired_count(Some(count))).transpose()?;
    let region = call.region();
    let definition = input.task_definition.as_deref();
    let definition = definition.map(|name| active_task_definition(&region.ecs, name).cloned()).transpose()?;
    let launch = changed_launch(call, &name, &input)?;

    if kind == ControllerType::Ecs && (definition.is_some() || input.changes_launch()) {
        let region = call.region();
        let running = region.ecs.service(&name).and_then(|entry| entry.service.task_definition.clone());
        let known = running.and_then(|arn| super::super::task_definition(&region.ecs, &arn).cloned());
        if let Some(definition) = definition.as_ref().or(known.as_ref()) {
            launching::check(region, definition, &launch, inert)?;
            launching::check_attached(region, &launch)?;
        }
    }
    let entry = active_mut(call, &name)?;
    let arn = definition.map(|definition| definition.task_definition_arn);
    let changes = launch != entry.service.launch || (arn.is_some() && arn != entry.service.task_definition);
    entry.service.launch = launch;
    if arn.is_some() {
        entry.service.task_definition = arn;
    }
    if configuration.is_some() {
        entry.service.deployment_configuration = configuration;
    }
    change_rest(entry, &input);
    if kind == ControllerType::Ecs && (changes || input.force_new_deployment) {
        if let Some(desired) = desired {
            entry.service.desired_count = desired;
        }
        begin_deployment(entry, now);
    } else if let Some(desired) = desired {
        set_desired_count(entry, desired, now);
    }
    Output::of(&json!({ "service": view(entry, true) }))
}

impl UpdateInput {
    fn changes_launch(&self) -> bool {
        self.capacity_provider_strategy.is_some()
            || self.network_configuration.is_some()
            || self.platform_version.is_some()
            || self.load_balancers.is_some()
            || self.service_registries.is_some()
    }
}

/// Only the ECS controller lets a service's tasks be changed here. What is given is refused even if it is
/// what the service has already (hashicorp/terraform-provider-aws#13658, kayac/ecspresso#393).
fn check_controller(kind: ControllerType, input: &UpdateInput) -> Result<(), ApiError> {
    if let Some(wanted) = &input.deployment_controller
        && wanted.kind != kind
    {
        return Err(errors::invalid_parameter(
            "the embedded cloud does not implement changing a service's deployment controller",
        ));
    }
    let (controller, advice) = match kind {
        ControllerType::Ecs => return Ok(()),
        ControllerType::CodeDeploy => ("CODE_DEPLOY", "Use AWS CodeDeploy to trigger a new deployment."),
        ControllerType::External => ("EXTERNAL", "Use CreateTaskSet to trigger a new deployment."),
    };
    let parts = [
        (input.task_definition.is_some(), "task definition"),
        (input.network_configuration.is_some(), "network parameters"),
        (input.load_balancers.is_some(), "load balancers"),
        (input.platform_version.is_some(), "platform version"),
        (input.capacity_provider_strategy.is_some(), "capacity provider strategy"),
        (input.service_registries.is_some(), "service registries"),
    ];
    if let Some((_, part)) = parts.iter().find(|(given, _)| *given) {
        return Err(errors::invalid_parameter(format!(
            "Unable to update {part} on services with a {controller} deployment controller. {advice}"
        )));
    }
    if input.force_new_deployment {
        return Err(errors::invalid_parameter(format!(
            "Cannot force a new deployment on services with a {controller} deployment controller. {advice}"
        )));
    }
    Ok(())
}

fn changed_launch(call: &mut Call<'_>, name: &ServiceName, input: &UpdateInput) -> Result<Launch, ApiError> {
    let region = call.region();
    let cluster = clusters::active(&region.ecs.clusters, Some(&name.cluster))?;
    let known = cluster.services.get(&name.service).ok_or_else(errors::service_not_found)?;
    let mut launch = known.service.launch.clone();
    if let Some(network) = &input.network_configuration {
        launch.network_configuration = Some(network.clone());
    }
    if let Some(balancers) = &input.load_balancers {
        launch.load_balancers = balancers.clone();
    }
    if let Some(registries) = &input.service_registries {
        launch.service_registries = registries.clone();
    }
    if let Some(version) = &input.platform_version {
        launch.platform_version = Some(version.clone());
    }
    if let Some(strategy) = &input.capacity_provider_strategy {
        clusters::check_strategy(strategy, &cluster.cluster.capacity_providers)?;
        launch.launch_type = None;
        launch.capacity_provider_strategy = Some(strategy.clone());
    }
    launching::check_values(&launch)?;
    Ok(launch)
}

fn change_rest(entry: &mut ServiceEntry, input: &UpdateInput) {
    let service = &mut entry.service;
    if let Some(seconds) = input.health_check_grace_period_seconds {
        service.health_check_grace_period_seconds = Some(seconds);
    }
    if let Some(enable) = input.enable_execute_command {
        service.enable_execute_command = enable;
    }
    if let Some(enable) = input.enable_ecs_managed_tags {
        service.enable_ecs_managed_tags = enable;
    }
    if let Some(propagate) = &input.propagate_tags {
        service.propagate_tags = propagate.clone();
    }
    if let Some(constraints) = &input.placement_constraints {
        service.placement_constraints = constraints.clone();
    }
    if let Some(strategy) = &input.placement_strategy {
        service.placement_strategy = strategy.clone();
    }
    if let Some(rebalancing) = &input.availability_zone_rebalancing {
        service.availability_zone_rebalancing = rebalancing.clone();
    }
}
