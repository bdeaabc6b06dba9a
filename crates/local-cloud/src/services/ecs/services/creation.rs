//! CreateService.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Call, ControllerType, EpochSeconds, Service, ServiceEntry, ServiceName, ServiceStatus, Tag,
    begin_deployment, check_values, clusters, errors, names, view,
};
use crate::services::ecs::{
    DeploymentConfiguration, DeploymentController, Launch, TaskDefinition, TaskSetSpec,
    active_task_definition, launching, set_primary_task_set, tags, task_sets,
};
use crate::wire::{ApiError, Input, Output};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateInput {
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    task_definition: Option<String>,
    #[serde(default)]
    desired_count: Option<i64>,
    #[serde(default)]
    client_token: Option<String>,
    #[serde(flatten)]
    launch: Launch,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    deployment_controller: DeploymentController,
    #[serde(default)]
    deployment_configuration: Option<DeploymentConfiguration>,
    #[serde(default)]
    scheduling_strategy: Option<String>,
    #[serde(default)]
    health_check_grace_period_seconds: Option<u32>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default, rename = "enableECSManagedTags")]
    enable_ecs_managed_tags: bool,
    #[serde(default)]
    propagate_tags: Option<String>,
    #[serde(default)]
    enable_execute_command: bool,
    #[serde(default)]
    availability_zone_rebalancing: Option<String>,
    #[serde(default)]
    placement_constraints: Vec<Value>,
    #[serde(default)]
    placement_strategy: Vec<Value>,
}

/// CreateService. Under CODE_DEPLOY the service begins with one task set, which is PRIMARY.
pub(in crate::services::ecs) fn create(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: CreateInput = input.parse()?;
    let name = ServiceName::new(input.cluster.as_deref(), &input.service_name);
    names::check("service", &input.service_name)?;
    tags::check(&input.tags)?;
    check_values(input.propagate_tags.as_deref(), input.availability_zone_rebalancing.as_deref())?;
    clusters::active(&call.region().ecs.clusters, Some(&name.cluster))?;
    if let Some(known) = call.region().ecs.service(&name)
        && let Some(answer) = answer_for(known, input.client_token.as_deref())?
    {
        return Ok(answer);
    }
    let desired = desired_count(input.desired_count)?;
    let (launch, definition) = checked(call, &name, &input)?;
    let entry = entry(call, &name, input, launch, desired, definition.as_ref());
    let kind = entry.service.deployment_controller.kind;
    let (place, now) = (call.place.clone(), call.now);
    let region = call.region();
    let cluster = region.ecs.clusters.get_mut(&name.cluster).ok_or_else(errors::cluster_not_found)?;
    cluster.services.insert(name.service.clone(), entry);
    match kind {
        ControllerType::Ecs => {
            if let Some(entry) = region.ecs.service_mut(&name) {
                begin_deployment(entry, now);
            }
        }
        ControllerType::CodeDeploy => {
            let entry = region.ecs.service_mut(&name).ok_or_else(errors::service_not_found)?;
            let spec = TaskSetSpec {
                task_definition: entry.service.task_definition.clone().unwrap_or_default(),
                launch: entry.service.launch.clone(),
                started_by: Some("CODE_DEPLOY".into()),
                ..TaskSetSpec::default()
            };
            let id = task_sets::add(entry, &place, now, &name, spec);
            set_primary_task_set(region, now, &name, &id)?;
        }
        ControllerType::External => {}
    }
    let entry = region.ecs.service(&name).ok_or_else(errors::service_not_found)?;
    Output::of(&json!({ "service": view(entry, true) }))
}

/// The answer if the name is taken: the service itself for a repeated call, else an error. A deleted
/// service gives its name away.
fn answer_for(known: &ServiceEntry, token: Option<&str>) -> Result<Option<Output>, ApiError> {
    match known.service.status {
        ServiceStatus::Inactive => Ok(None),
        ServiceStatus::Draining => {
            Err(errors::invalid_parameter("Unable to Start a service that is still Draining."))
        }
        ServiceStatus::Active if token.is_some() && known.client_token.as_deref() == token => {
            Output::of(&json!({ "service": view(known, true) })).map(Some)
        }
        ServiceStatus::Active => Err(errors::invalid_parameter("Creation of service was not idempotent.")),
    }
}

pub(super) fn desired_count(given: Option<i64>) -> Result<u32, ApiError> {
    // 5,000 tasks per service is the quota (docs.aws.amazon.com/general/latest/gr/ecs-service.html).
    let count = u32::try_from(given.unwrap_or(0)).ok().filter(|count| *count <= 5000);
    count.ok_or_else(|| errors::invalid_parameter("desiredCount must be between 0 and 5000."))
}

fn checked(
    call: &mut Call<'_>,
    name: &ServiceName,
    input: &CreateInput,
) -> Result<(Launch, Option<TaskDefinition>), ApiError> {
    let kind = input.deployment_controller.kind;
    let inert = call.settings.inert;
    let region = call.region();
    let cluster = clusters::active(&region.ecs.clusters, Some(&name.cluster))?;
    let launch = launching::complete(input.launch.clone(), &cluster.cluster)?;
    check_strategy(input, &launch)?;
    check_configuration(kind, input.deployment_configuration.as_ref())?;
    if kind == ControllerType::External {
        check_external(input)?;
        return Ok((launch, None));
    }
    let Some(task_definition) = &input.task_definition else {
        return Err(errors::client("TaskDefinition can not be blank."));
    };
    let definition = active_task_definition(&region.ecs, task_definition)?.clone();
    launching::check(region, &definition, &launch, inert)?;
    launching::check_attached(region, &launch)?;
    if kind == ControllerType::CodeDeploy && launch.load_balancers.len() != 1 {
        return Err(errors::invalid_parameter(
            "Exactly one load balancer must be given for a service with a CODE_DEPLOY deployment controller.",
        ));
    }
    if input.health_check_grace_period_seconds.is_some() && launch.load_balancers.is_empty() {
        return Err(errors::invalid_parameter(
            "Health check grace period is only valid for services configured to use load balancers",
        ));
    }
    Ok((launch, Some(definition)))
}

fn check_external(input: &CreateInput) -> Result<(), ApiError> {
    let refuse = |what: &str| Err(errors::invalid_parameter(format!("{what} must be empty or null.")));
    if !input.launch.load_balancers.is_empty() {
        return refuse("LoadBalancers");
    }
    if input.task_definition.is_some() {
        return refuse("TaskDefinition");
    }
    if !input.launch.service_registries.is_empty() {
        return refuse("ServiceRegistries");
    }
    Ok(())
}

fn check_strategy(input: &CreateInput, launch: &Launch) -> Result<(), ApiError> {
    match input.scheduling_strategy.as_deref() {
        None | Some("REPLICA") => Ok(()),
        Some("DAEMON") if launch.is_fargate() => Err(errors::invalid_parameter(
            "The daemon scheduling strategy is not supported for the Fargate launch type.",
        )),
        Some("DAEMON") if input.deployment_controller.kind != ControllerType::Ecs => {
            Err(errors::invalid_parameter(
                "The daemon scheduling strategy is only supported with an ECS deployment controller.",
            ))
        }
        Some("DAEMON") if input.desired_count.is_some() => Err(errors::invalid_parameter(
            "The daemon scheduling strategy does not support a desired count for services.",
        )),
        Some("DAEMON") => Ok(()),
        Some(other) => Err(errors::invalid_parameter(format!("{other} is not a valid scheduling strategy."))),
    }
}

/// Checks bounds, and what only the ECS controller has.
pub(super) fn check_configuration(
    kind: ControllerType,
    configuration: Option<&DeploymentConfiguration>,
) -> Result<(), ApiError> {
    let Some(configuration) = configuration else { return Ok(()) };
    let (least, most) = (configuration.minimum_healthy_percent, configuration.maximum_percent);
    if most <= least || most == 0 {
        return Err(errors::invalid_parameter(
            "Invalid deployment configuration. The maximum percent must be greater than the minimum healthy \
             percent.",
        ));
    }
    if kind != ControllerType::Ecs {
        // A disabled circuit breaker or alarm list says nothing, and some clients send it.
        if configuration.deployment_circuit_breaker.is_some_and(|breaker| breaker.enable) {
            return Err(errors::invalid_parameter(
                "Deployment circuit breaker is only supported with an ECS deployment controller.",
            ));
        }
        if configuration.alarms.as_ref().is_some_and(|alarms| alarms["enable"] == true) {
            return Err(errors::invalid_parameter(
                "Deployment alarms are only supported with an ECS deployment controller.",
            ));
        }
    }
    match configuration.strategy.as_deref() {
        None | Some("ROLLING") => Ok(()),
        Some(other) => Err(errors::invalid_parameter(format!(
            "the embedded cloud does not implement the deployment strategy {other}; use ROLLING, or the \
             CODE_DEPLOY deployment controller for blue/green"
        ))),
    }
}

fn entry(
    call: &Call<'_>,
    name: &ServiceName,
    input: CreateInput,
    launch: Launch,
    desired: u32,
    definition: Option<&TaskDefinition>,
) -> ServiceEntry {
    let role = input.role.or_else(|| {
        let linked = "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS";
        let needed = !launch.load_balancers.is_empty() || launch.network_configuration.is_some();
        needed.then(|| call.global_arn("iam", linked))
    });
    let service = Service {
        service_arn: names::arn(&call.place, &name.resource()),
        service_name: name.service.clone(),
        cluster_arn: names::arn(&call.place, &format!("cluster/{}", name.cluster)),
        status: ServiceStatus::Active,
        desired_count: desired,
        running_count: 0,
        pending_count: desired,
        task_definition: definition.map(|definition| definition.task_definition_arn.clone()),
        launch,
        deployment_configuration: match input.deployment_controller.kind {
            ControllerType::External => input.deployment_configuration,
            ControllerType::CodeDeploy => Some(input.deployment_configuration.unwrap_or_default()),
            ControllerType::Ecs => {
                let mut configuration = input.deployment_configuration.unwrap_or_default();
                configuration.deployment_circuit_breaker.get_or_insert_default();
                Some(configuration)
            }
        },
        deployment_controller: input.deployment_controller,
        scheduling_strategy: input.scheduling_strategy.unwrap_or_else(|| "REPLICA".into()),
        health_check_grace_period_seconds: input.health_check_grace_period_seconds,
        created_at: EpochSeconds(call.now),
        created_by: call.global_arn("iam", "root"),
        role_arn: role,
        enable_ecs_managed_tags: input.enable_ecs_managed_tags,
        propagate_tags: input.propagate_tags.unwrap_or_else(|| "NONE".into()),
        enable_execute_command: input.enable_execute_command,
        availability_zone_rebalancing: input
            .availability_zone_rebalancing
            .unwrap_or_else(|| "DISABLED".into()),
        placement_constraints: input.placement_constraints,
        placement_strategy: input.placement_strategy,
    };
    ServiceEntry {
        service,
        tags: input.tags,
        client_token: input.client_token,
        task_sets: Vec::new(),
        deployments: Vec::new(),
        events: Vec::new(),
        said_steady: false,
    }
}
