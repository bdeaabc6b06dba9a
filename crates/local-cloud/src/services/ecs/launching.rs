//! Whether tasks of a definition can be launched as asked: where, in which network, behind what.

use serde_json::{Map, Value};

use super::{Cluster, EcsState, Launch, LoadBalancer, Tag, TaskDefinition, clusters, errors};
use crate::services::elbv2;
use crate::wire::ApiError;
use crate::world::Region;

/// Fills in what a caller left out: the cluster's strategy or EC2, and Fargate's platform.
pub(super) fn complete(mut launch: Launch, cluster: &Cluster) -> Result<Launch, ApiError> {
    let strategy = launch.capacity_provider_strategy.take().filter(|strategy| !strategy.is_empty());
    match (&launch.launch_type, strategy) {
        (Some(_), Some(_)) => {
            return Err(errors::invalid_parameter(
                "Specifying both a launch type and capacity provider strategy is not supported. Remove one and \
                 try again.",
            ));
        }
        (Some(kind), None) if !["EC2", "FARGATE", "EXTERNAL"].contains(&kind.as_str()) => {
            return Err(errors::invalid_parameter(format!("Invalid launch type: {kind}")));
        }
        (Some(_), None) => {}
        (None, Some(strategy)) => {
            clusters::check_strategy(&strategy, &cluster.capacity_providers)?;
            launch.capacity_provider_strategy = Some(strategy);
        }
        (None, None) if !cluster.default_capacity_provider_strategy.is_empty() => {
            launch.capacity_provider_strategy = Some(cluster.default_capacity_provider_strategy.clone());
        }
        (None, None) => launch.launch_type = Some("EC2".into()),
    }
    if launch.is_fargate() {
        launch.platform_version.get_or_insert_with(|| "LATEST".into());
        launch.platform_family.get_or_insert_with(|| "Linux".into());
    } else if launch.platform_version.is_some() {
        return Err(errors::invalid_parameter(
            "The platform version must be null when specifying an EC2 launch type.",
        ));
    }
    check_values(&launch)?;
    Ok(launch)
}

/// Of Fargate, on Linux and on Windows.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/platform-fargate.html
const PLATFORM_VERSIONS: [&str; 6] = ["LATEST", "1.4.0", "1.3.0", "1.2.0", "1.1.0", "1.0.0"];

/// Refuses values that AWS does not have.
pub(super) fn check_values(launch: &Launch) -> Result<(), ApiError> {
    let network = launch.network_configuration.as_ref().and_then(|it| it.awsvpc_configuration.as_ref());
    let public_ip = network.map(|network| network.assign_public_ip.as_str());
    errors::one_of("assignPublicIp", public_ip, &["ENABLED", "DISABLED"])?;
    match launch.platform_version.as_deref() {
        Some(version) if !PLATFORM_VERSIONS.contains(&version) => Err(errors::platform_unknown()),
        _ => Ok(()),
    }
}

/// Checks `launch` against `definition` and what exists in `region`. An inert cloud takes networks that do
/// not exist: it never starts a task in them.
pub(super) fn check(
    region: &Region,
    definition: &TaskDefinition,
    launch: &Launch,
    inert: bool,
) -> Result<(), ApiError> {
    if launch.is_fargate() && !definition.compatibilities.iter().any(|kind| kind == "FARGATE") {
        return Err(errors::invalid_parameter("Task definition does not support launch_type FARGATE."));
    }
    check_network(region, definition, launch, inert)?;
    launch.load_balancers.iter().try_for_each(|balancer| check_balancer(region, definition, balancer))
}

fn check_network(
    region: &Region,
    definition: &TaskDefinition,
    launch: &Launch,
    inert: bool,
) -> Result<(), ApiError> {
    let awsvpc = definition.network_mode.as_deref() == Some("awsvpc");
    let subnets = launch.network_configuration.as_ref().map_or(&[][..], |network| network.subnets());
    if awsvpc && subnets.is_empty() {
        return Err(errors::invalid_parameter(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ));
    }
    if !awsvpc && !subnets.is_empty() {
        return Err(errors::invalid_parameter(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ));
    }
    if inert {
        return Ok(());
    }
    if let Some(unknown) = subnets.iter().find(|id| region.ec2.subnet(id).is_none()) {
        return Err(errors::invalid_parameter(format!(
            "Error retrieving subnet information for [{unknown}]: The subnet ID '{unknown}' does not exist \
             (ErrorCode: InvalidSubnetID.NotFound)"
        )));
    }
    let network = launch.network_configuration.as_ref().and_then(|it| it.awsvpc_configuration.as_ref());
    let groups = network.map_or(&[][..], |network| network.security_groups.as_slice());
    if let Some(unknown) = groups.iter().find(|id| region.ec2.group(id).is_none()) {
        return Err(errors::invalid_parameter(format!(
            "Error retrieving security group information for [{unknown}]: The security group '{unknown}' does \
             not exist (ErrorCode: InvalidGroup.NotFound)"
        )));
    }
    Ok(())
}

fn check_balancer(
    region: &Region,
    definition: &TaskDefinition,
    balancer: &LoadBalancer,
) -> Result<(), ApiError> {
    let Some(arn) = &balancer.target_group_arn else {
        return Err(errors::invalid_parameter(
            "loadBalancers must name a target group: the embedded cloud has no Classic Load Balancers.",
        ));
    };
    let name = balancer.container_name.as_deref().unwrap_or_default();
    let Some(container) = definition.container(name) else {
        return Err(errors::invalid_parameter(format!(
            "The container {name} does not exist in the task definition."
        )));
    };
    let port = balancer.container_port.unwrap_or_default();
    let mappings = container.get("portMappings").and_then(Value::as_array);
    let has = |mapping: &Value| mapping.get("containerPort").and_then(Value::as_u64) == Some(u64::from(port));
    if !mappings.is_some_and(|mappings| mappings.iter().any(has)) {
        return Err(errors::invalid_parameter(format!(
            "The container {name} did not have a container port {port} defined."
        )));
    }
    check_target_group(region, definition, arn)
}

fn check_target_group(region: &Region, definition: &TaskDefinition, arn: &str) -> Result<(), ApiError> {
    let Some(group) = elbv2::target_group(region, arn) else {
        return Err(errors::invalid_parameter(format!("The specified target group {arn} does not exist.")));
    };
    let awsvpc = definition.network_mode.as_deref() == Some("awsvpc");
    if awsvpc && group.target_type != "ip" {
        return Err(errors::invalid_parameter(format!(
            "The provided target group {arn} has target type {}, which is incompatible with the awsvpc network \
             mode specified in the task definition.",
            group.target_type
        )));
    }
    Ok(())
}

/// Checks that every target group gets traffic from some listener, which services need from the start.
/// The groups of further task sets do not: their listener may come with the traffic shift.
pub(super) fn check_attached(region: &Region, launch: &Launch) -> Result<(), ApiError> {
    for arn in launch.load_balancers.iter().filter_map(|balancer| balancer.target_group_arn.as_ref()) {
        if elbv2::listeners_forwarding_to(region, arn).is_empty() {
            return Err(errors::invalid_parameter(format!(
                "The target group with targetGroupArn {arn} does not have an associated load balancer."
            )));
        }
    }
    Ok(())
}

/// Checks that overrides name containers of the definition.
pub(super) fn check_overrides(
    definition: &TaskDefinition,
    overrides: &Map<String, Value>,
) -> Result<(), ApiError> {
    let containers = overrides.get("containerOverrides").and_then(Value::as_array);
    for item in containers.into_iter().flatten() {
        let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
        if definition.container(name).is_none() {
            return Err(errors::invalid_parameter(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
    }
    Ok(())
}

/// The tags of a revision.
pub(crate) fn tags_of_definition(state: &EcsState, definition: &TaskDefinition) -> Vec<Tag> {
    let family = state.task_definitions.get(&definition.family);
    let entry = family.and_then(|family| family.revisions.get(&definition.revision));
    entry.map(|entry| entry.tags.clone()).unwrap_or_default()
}
