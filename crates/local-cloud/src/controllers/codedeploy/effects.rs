//! What a deployment does to the world. Everything here can be done again without harm.
//!
//! Traffic moves only by the listener modification that users call.

use jiff::Timestamp;

use super::machine::Action;
use super::sight;
use crate::services::codedeploy::{AppSpec, Deployment, ErrorInformation, TaskSetSnapshot};
use crate::services::ecs::{
    self, AwsVpc, Launch, LoadBalancer, NetworkConfiguration, Scale, ServiceName, StrategyItem, TaskSetSpec,
    TaskSetStatus,
};
use crate::services::elbv2;
use crate::wire::ApiError;
use crate::world::{Partition, Region};

type Effect = Result<(), ErrorInformation>;

/// Does `action` for `deployment`.
pub(super) fn carry_out(
    region: &mut Region,
    place: &Partition,
    now: Timestamp,
    deployment: &mut Deployment,
    action: &Action,
) -> Effect {
    let name = sight::service_name(deployment).ok_or_else(|| gone("The deployment has no ECS service"))?;
    match action {
        Action::Install => install(region, place, now, deployment, &name),
        Action::RouteTest => route_test(region, deployment, false),
        Action::Shift(percent) => shift(region, deployment, *percent),
        Action::Promote => promote(region, now, &name, deployment.replacement.as_ref()),
        Action::EmptyOriginal => empty(region, now, &name, deployment.original.as_ref()),
        Action::DeleteOriginal => delete(region, now, &name, deployment.original.as_ref()),
        Action::Restore => restore(region, now, deployment, &name),
        Action::EmptyReplacement => empty(region, now, &name, deployment.replacement.as_ref()),
        Action::DeleteReplacement => delete(region, now, &name, deployment.replacement.as_ref()),
        // The conductor starts the other deployment once this one's end is noted.
        Action::RollBack => Ok(()),
    }
}

fn gone(message: &str) -> ErrorInformation {
    ErrorInformation::new("INVALID_ECS_SERVICE", message)
}

fn ecs_error(error: &ApiError) -> ErrorInformation {
    let message = format!(
        "The ECS service cannot be updated due to an unexpected error: {} (Service: AmazonECS; Error Code: {}). \
         Check your ECS service status.",
        error.message, error.code
    );
    ErrorInformation::new("ECS_UPDATE_ERROR", message)
}

fn elb_error(error: &ApiError) -> ErrorInformation {
    let message = format!("The ELB could not be updated due to the following error: {}", error.message);
    ErrorInformation::new("ELASTIC_LOAD_BALANCING_INVALID", message)
}

/// Makes the replacement behind the idle group.
///
/// The idle group is put behind the listener with weight 0 first: only then are its targets checked
/// at all, and no traffic goes to what was never healthy. AWS does so for gradual routing only; with
/// AllAtOnce it may shift to targets that were not checked
/// (docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ecs.html).
fn install(
    region: &mut Region,
    place: &Partition,
    now: Timestamp,
    deployment: &mut Deployment,
    name: &ServiceName,
) -> Effect {
    let service = sight::service(region, deployment).ok_or_else(|| gone("The ECS service does not exist"))?;
    let primary =
        service.primary_task_set().ok_or_else(|| gone("The ECS service has no primary task set"))?;
    let service_launch = primary.launch.clone();
    let original = sight::snapshot(region, primary, 100.0);
    let leftovers: Vec<String> = service
        .task_sets
        .iter()
        .map(|entry| &entry.task_set)
        .filter(|set| set.status == TaskSetStatus::Active && set.external_id.as_ref() != Some(&deployment.id))
        .map(|set| set.id.clone())
        .collect();
    let idle = idle_group(region, deployment, &original.target_group)?;
    let spec = deployment.app_spec.clone().ok_or_else(|| {
        ErrorInformation::new("INVALID_REVISION", "The deployment has no AppSpec that could be read")
    })?;
    deployment.original = Some(original);
    weigh(region, deployment, &[(0, 100), (1, 0)], false)?;
    for id in leftovers {
        ecs::delete_task_set(region, now, name, &id, true).map_err(|error| ecs_error(&error))?;
    }
    let spec = TaskSetSpec {
        task_definition: spec.task_definition.clone(),
        launch: launch(&spec, service_launch, idle.clone()),
        scale: Scale::percent(100.0),
        external_id: Some(deployment.id.clone()),
        started_by: Some("CODE_DEPLOY".into()),
        tags: Vec::new(),
        client_token: Some(deployment.id.clone()),
    };
    // Deployments of an inert cloud never come this far.
    let id =
        ecs::create_task_set(region, place, now, name, spec, false).map_err(|error| ecs_error(&error))?;
    let set = region.ecs.task_set(name, &id).ok_or_else(|| gone("The replacement task set is gone"))?;
    deployment.replacement = Some(sight::snapshot(region, set, 0.0));
    Ok(())
}

/// ARN of the group of the pair that has no traffic.
fn idle_group(region: &Region, deployment: &Deployment, live: &str) -> Result<String, ErrorInformation> {
    let names = deployment.pair().map(|pair| pair.target_groups.as_slice()).unwrap_or_default();
    let idle = names.iter().find(|group| group.name != live);
    idle.and_then(|group| sight::group_arn(region, &group.name)).ok_or_else(|| {
        ErrorInformation::new(
            "ELASTIC_LOAD_BALANCING_INVALID",
            "The idle target group of the pair does not exist",
        )
    })
}

/// What the AppSpec says, else what the primary task set has.
fn launch(spec: &AppSpec, of_primary: Launch, group: String) -> Launch {
    let network = spec.network.as_ref().map(|network| NetworkConfiguration {
        awsvpc_configuration: Some(AwsVpc {
            subnets: network.subnets.clone(),
            security_groups: network.security_groups.clone(),
            assign_public_ip: network.assign_public_ip.clone(),
        }),
    });
    let strategy: Vec<StrategyItem> = spec
        .capacity_providers
        .iter()
        .map(|item| StrategyItem {
            capacity_provider: item.name.clone(),
            weight: item.weight,
            base: item.base,
        })
        .collect();
    let balancer = LoadBalancer {
        target_group_arn: Some(group),
        container_name: Some(spec.container_name.clone()),
        container_port: Some(spec.container_port),
        ..LoadBalancer::default()
    };
    let (launch_type, capacity_provider_strategy) = if strategy.is_empty() {
        (of_primary.launch_type, of_primary.capacity_provider_strategy)
    } else {
        (None, Some(strategy))
    };
    Launch {
        launch_type,
        capacity_provider_strategy,
        platform_version: spec.platform_version.clone().or(of_primary.platform_version),
        platform_family: of_primary.platform_family,
        network_configuration: network.or(of_primary.network_configuration),
        load_balancers: vec![balancer],
        service_registries: of_primary.service_registries,
    }
}

/// Sets the weights of the production (or the test) listener: `(0, w)` is the original's group,
/// `(1, w)` the replacement's.
fn weigh(region: &mut Region, deployment: &Deployment, weights: &[(usize, u32)], test: bool) -> Effect {
    let Some(pair) = deployment.pair() else { return Ok(()) };
    let listener = if test { pair.test_listener() } else { pair.production_listener() };
    let (Some(listener), Some(original)) = (listener, deployment.original.as_ref()) else { return Ok(()) };
    let idle = pair.target_groups.iter().find(|group| group.name != original.target_group);
    let names = [Some(original.target_group.as_str()), idle.map(|group| group.name.as_str())];
    let mut groups = Vec::new();
    for (which, weight) in weights {
        let name = names.get(*which).copied().flatten().unwrap_or_default();
        let arn = sight::group_arn(region, name).ok_or_else(|| {
            let message = format!("The target group {name} does not exist");
            ErrorInformation::new("ELASTIC_LOAD_BALANCING_INVALID", message)
        })?;
        groups.push((arn, *weight));
    }
    elbv2::set_forward_weights(region, listener, &groups).map_err(|error| elb_error(&error))
}

fn route_test(region: &mut Region, deployment: &Deployment, back: bool) -> Effect {
    let weights = if back { [(0, 100), (1, 0)] } else { [(0, 0), (1, 100)] };
    weigh(region, deployment, &weights, true)
}

fn shift(region: &mut Region, deployment: &mut Deployment, percent: u32) -> Effect {
    weigh(region, deployment, &[(0, 100 - percent.min(100)), (1, percent)], false)?;
    note_shares(deployment, percent);
    Ok(())
}

fn note_shares(deployment: &mut Deployment, percent: u32) {
    if let Some(original) = &mut deployment.original {
        original.weight = f64::from(100 - percent.min(100));
    }
    if let Some(replacement) = &mut deployment.replacement {
        replacement.weight = f64::from(percent);
    }
}

fn promote(region: &mut Region, now: Timestamp, name: &ServiceName, set: Option<&TaskSetSnapshot>) -> Effect {
    let set = set.ok_or_else(|| gone("The deployment has no task set to make the primary one"))?;
    ecs::set_primary_task_set(region, now, name, &set.id).map_err(|error| ecs_error(&error))
}

/// Gives everything back to the original. What was never taken from it stays as it is.
fn restore(region: &mut Region, now: Timestamp, deployment: &mut Deployment, name: &ServiceName) -> Effect {
    if deployment.original.is_none() {
        return Ok(());
    }
    shift(region, deployment, 0)?;
    route_test(region, deployment, true)?;
    promote(region, now, name, deployment.original.as_ref())
}

fn empty(region: &mut Region, now: Timestamp, name: &ServiceName, set: Option<&TaskSetSnapshot>) -> Effect {
    match set.filter(|set| region.ecs.task_set(name, &set.id).is_some()) {
        Some(set) => ecs::set_task_set_scale(region, now, name, &set.id, Scale::percent(0.0))
            .map_err(|error| ecs_error(&error)),
        None => Ok(()),
    }
}

fn delete(region: &mut Region, now: Timestamp, name: &ServiceName, set: Option<&TaskSetSnapshot>) -> Effect {
    let known = set.and_then(|set| region.ecs.task_set(name, &set.id));
    match known.filter(|set| set.status != TaskSetStatus::Draining).map(|set| set.id.clone()) {
        Some(id) => ecs::delete_task_set(region, now, name, &id, true).map_err(|error| ecs_error(&error)),
        None => Ok(()),
    }
}
