//! What a deployment group must be. Messages are those that users of AWS report, where known.
//!
//! Source: docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeploymentGroup.html

use super::configs;
use super::shapes::{
    AlarmConfiguration, AutoRollbackConfiguration, BlueGreenDeploymentConfiguration, ComputePlatform,
    EcsService, LoadBalancerInfo, TargetGroupPairInfo, TriggerConfig,
};
use super::state::{DeploymentConfig, DeploymentGroup};
use crate::services::ecs::{ControllerType, ServiceName, ServiceStatus};
use crate::services::elbv2::{self, LoadBalancerType};
use crate::wire::ApiError;
use crate::world::Region;

/// The longest wait before traffic shifts or the original ends: two days.
const LONGEST_WAIT: i64 = 2880;
const ALARMS: usize = 10;
const TRIGGERS: usize = 10;

const ROLLBACK_EVENTS: [&str; 3] =
    ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"];
const TRIGGER_EVENTS: [&str; 10] = [
    "DeploymentStart",
    "DeploymentSuccess",
    "DeploymentFailure",
    "DeploymentStop",
    "DeploymentRollback",
    "DeploymentReady",
    "InstanceStart",
    "InstanceSuccess",
    "InstanceFailure",
    "InstanceReady",
];

/// Checks a group and fills in what AWS fills in.
pub(super) fn check(
    region: &Region,
    platform: ComputePlatform,
    group: &mut DeploymentGroup,
) -> Result<(), ApiError> {
    check_role(&group.service_role_arn)?;
    let config = configs::find_for(&region.codedeploy, &group.config_name, platform)?;
    check_triggers(&group.triggers)?;
    if let Some(alarms) = &group.alarms {
        check_alarms(alarms)?;
    }
    if let Some(rollback) = &group.auto_rollback {
        check_rollback(rollback)?;
    }
    if platform != ComputePlatform::Ecs {
        return check_no_ecs(platform, group);
    }
    check_style(group)?;
    let blue_green = group.blue_green.as_mut().ok_or_else(|| {
        ApiError::sender(
            "InvalidBlueGreenDeploymentConfigurationException",
            "For ECS deployment group, blueGreenDeploymentConfiguration must be specified",
        )
    })?;
    check_blue_green(blue_green)?;
    let balancer = group
        .load_balancer
        .as_ref()
        .ok_or_else(|| load_balancer("For ECS deployment group, loadBalancerInfo must be specified"))?;
    check_load_balancer(balancer)?;
    check_gradual(region, balancer, &config)?;
    check_service(region, &group.ecs_services)
}

/// A network load balancer takes everything in one step only
/// (docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ecs.html).
pub(super) fn check_gradual(
    region: &Region,
    balancer: &LoadBalancerInfo,
    config: &DeploymentConfig,
) -> Result<(), ApiError> {
    let pair = balancer.target_group_pair_info_list.first();
    let listener = pair.and_then(|pair| pair.production_listener()).unwrap_or_default();
    let found = elbv2::load_balancer_of_listener(region, listener);
    let is_network = found.is_some_and(|found| found.kind == LoadBalancerType::Network);
    if is_network && config.routing.as_ref().is_some_and(|routing| routing.kind != "AllAtOnce") {
        return Err(ApiError::sender(
            "InvalidTrafficRoutingConfigurationException",
            "Only ALB supports gradual traffic routing, use AllAtOnce Traffic routing instead when you create/update \
             Deployment group.",
        ));
    }
    Ok(())
}

fn load_balancer(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidLoadBalancerInfoException", message)
}

fn check_role(arn: &str) -> Result<(), ApiError> {
    let role = crate::world::Arn::parse(arn).filter(|arn| arn.service == "iam");
    if role.is_some_and(|arn| arn.resource.starts_with("role/")) {
        return Ok(());
    }
    Err(ApiError::sender(
        "InvalidRoleException",
        format!("The service role ARN {arn} is not the ARN of a role"),
    ))
}

fn check_triggers(triggers: &[TriggerConfig]) -> Result<(), ApiError> {
    if triggers.len() > TRIGGERS {
        return Err(ApiError::sender(
            "TriggerTargetsLimitExceededException",
            format!("The maximum allowed number of triggers ({TRIGGERS}) was exceeded."),
        ));
    }
    let wrong = triggers.iter().find(|trigger| {
        trigger.trigger_name.is_empty()
            || !trigger.trigger_target_arn.starts_with("arn:")
            || trigger.trigger_events.is_empty()
            || trigger.trigger_events.iter().any(|event| !TRIGGER_EVENTS.contains(&event.as_str()))
    });
    match wrong {
        Some(trigger) => Err(ApiError::sender(
            "InvalidTriggerConfigException",
            format!(
                "The trigger {:?} was specified in an invalid format: it needs a name, the ARN of a topic, and \
                 events out of {}",
                trigger.trigger_name,
                TRIGGER_EVENTS.join(", ")
            ),
        )),
        None => Ok(()),
    }
}

pub(super) fn check_alarms(alarms: &AlarmConfiguration) -> Result<(), ApiError> {
    if alarms.alarms.len() > ALARMS {
        return Err(ApiError::sender(
            "AlarmsLimitExceededException",
            format!("The maximum number of alarms for a deployment group ({ALARMS}) was exceeded."),
        ));
    }
    let mut names: Vec<&str> = alarms.alarms.iter().map(|alarm| alarm.name.as_str()).collect();
    names.sort_unstable();
    let repeated = names.windows(2).any(|pair| pair[0] == pair[1]);
    if repeated || names.contains(&"") || (alarms.enabled && names.is_empty()) {
        return Err(ApiError::sender(
            "InvalidAlarmConfigException",
            "The format of the alarm configuration is invalid: alarms need different names, and there must be one \
             if they are enabled",
        ));
    }
    Ok(())
}

pub(super) fn check_rollback(rollback: &AutoRollbackConfiguration) -> Result<(), ApiError> {
    let unknown = rollback.events.iter().any(|event| !ROLLBACK_EVENTS.contains(&event.as_str()));
    if unknown || (rollback.enabled && rollback.events.is_empty()) {
        return Err(ApiError::sender(
            "InvalidAutoRollbackConfigException",
            format!(
                "The automatic rollback configuration was specified in an invalid format: if it is enabled it needs \
                 events out of {}",
                ROLLBACK_EVENTS.join(", ")
            ),
        ));
    }
    Ok(())
}

fn check_no_ecs(platform: ComputePlatform, group: &DeploymentGroup) -> Result<(), ApiError> {
    if !group.ecs_services.is_empty() {
        return Err(ApiError::sender(
            "InvalidECSServiceException",
            format!("Should not specify ECS services parameter for {platform:?} deployment group"),
        ));
    }
    let style = &group.style;
    let known_type = ["IN_PLACE", "BLUE_GREEN"].contains(&style.deployment_type.as_str());
    let known_option =
        ["WITH_TRAFFIC_CONTROL", "WITHOUT_TRAFFIC_CONTROL"].contains(&style.deployment_option.as_str());
    if !known_type || !known_option {
        return Err(ApiError::sender(
            "InvalidDeploymentStyleException",
            "An invalid deployment style was specified. Valid deployment types include \"IN_PLACE\" and \
             \"BLUE_GREEN.\" Valid deployment options include \"WITH_TRAFFIC_CONTROL\" and \
             \"WITHOUT_TRAFFIC_CONTROL.\"",
        ));
    }
    let balanced = group.load_balancer.as_ref().is_some_and(|balancer| {
        !balancer.elb_info_list.is_empty()
            || !balancer.target_group_info_list.is_empty()
            || !balancer.target_group_pair_info_list.is_empty()
    });
    if platform == ComputePlatform::Server && style.deployment_option == "WITH_TRAFFIC_CONTROL" && !balanced {
        return Err(load_balancer(
            "The specification for load balancing in the deployment group is invalid. The deploymentOption value is \
             set to WITH_TRAFFIC_CONTROL, but either no load balancer was specified in elbInfoList or no target group \
             was specified in targetGroupInfoList.",
        ));
    }
    Ok(())
}

fn check_style(group: &DeploymentGroup) -> Result<(), ApiError> {
    let style = &group.style;
    if style.deployment_type != "BLUE_GREEN" || style.deployment_option != "WITH_TRAFFIC_CONTROL" {
        return Err(ApiError::sender(
            "InvalidDeploymentStyleException",
            "For ECS deployment, the deployment type must be BLUE_GREEN, and deployment option must be \
             WITH_TRAFFIC_CONTROL.",
        ));
    }
    if !group.server.ec2_tag_filters.is_empty() || group.server.ec2_tag_set.is_some() {
        return Err(ApiError::sender(
            "InvalidEC2TagException",
            "For ECS deployment group, ec2TagFilters can not be specified",
        ));
    }
    if !group.server.auto_scaling_groups.is_empty() {
        return Err(ApiError::sender(
            "InvalidAutoScalingGroupException",
            "For ECS deployment group, autoScalingGroups can not be specified",
        ));
    }
    Ok(())
}

/// Checks the waits. Both are always there afterwards: `aws ecs deploy` adds them up unseen.
fn check_blue_green(configuration: &mut BlueGreenDeploymentConfiguration) -> Result<(), ApiError> {
    let invalid =
        |message: String| ApiError::sender("InvalidBlueGreenDeploymentConfigurationException", message);
    if configuration.green_fleet_provisioning_option.is_some() {
        return Err(invalid(
            "For ECS deployment group, greenFleetProvisioningOption can not be specified".into(),
        ));
    }
    let ready = configuration.deployment_ready_option.get_or_insert_default();
    let action = ready.action_on_timeout.get_or_insert_with(|| "CONTINUE_DEPLOYMENT".into());
    let wait = *ready.wait_time_in_minutes.get_or_insert(0);
    let valid = match action.as_str() {
        "CONTINUE_DEPLOYMENT" => wait == 0,
        "STOP_DEPLOYMENT" => (1..=LONGEST_WAIT).contains(&wait),
        _ => false,
    };
    if !valid {
        return Err(invalid(format!(
            "deploymentReadyOption is {action} with a wait of {wait} minutes: CONTINUE_DEPLOYMENT takes no wait, \
             STOP_DEPLOYMENT one of 1 to {LONGEST_WAIT}"
        )));
    }
    let ending = configuration.terminate_blue_instances_on_deployment_success.get_or_insert_default();
    let action = ending.action.get_or_insert_with(|| "TERMINATE".into());
    let wait = *ending.termination_wait_time_in_minutes.get_or_insert(0);
    if !["TERMINATE", "KEEP_ALIVE"].contains(&action.as_str()) || !(0..=LONGEST_WAIT).contains(&wait) {
        return Err(invalid(format!(
            "terminateBlueInstancesOnDeploymentSuccess is {action} after {wait} minutes: the action is TERMINATE or \
             KEEP_ALIVE, the wait 0 to {LONGEST_WAIT}"
        )));
    }
    Ok(())
}

fn check_load_balancer(balancer: &LoadBalancerInfo) -> Result<(), ApiError> {
    if !balancer.elb_info_list.is_empty() {
        return Err(load_balancer(
            "For ECS deployment group, loadBalancerInfo must not contain elbInfo list",
        ));
    }
    if !balancer.target_group_info_list.is_empty() {
        return Err(load_balancer(
            "For ECS deployment group, loadBalancerInfo must not contain targetGroupInfo list",
        ));
    }
    match balancer.target_group_pair_info_list.as_slice() {
        [pair] => check_pair(pair),
        _ => Err(ApiError::sender(
            "InvalidTargetGroupPairException",
            "For ECS deployment group, loadBalancerInfo must contain exactly one targetGroupPairInfo",
        )),
    }
}

fn check_pair(pair: &TargetGroupPairInfo) -> Result<(), ApiError> {
    match pair.target_groups.as_slice() {
        [one, other] if one != other && !one.name.is_empty() && !other.name.is_empty() => {}
        _ => {
            return Err(ApiError::sender(
                "InvalidTargetGroupPairException",
                "A deployment group associated with an application that uses the ECS compute platform must contain a \
                 valid pair of target groups: exactly two, with different names",
            ));
        }
    }
    let routing = |message: &str| ApiError::sender("InvalidTrafficRoutingConfigurationException", message);
    let production = pair.prod_traffic_route.as_ref().map_or(&[][..], |route| &route.listener_arns);
    if production.len() != 1 {
        return Err(routing("Production traffic route must have exactly one listener Arn"));
    }
    let test = pair.test_traffic_route.as_ref().map_or(&[][..], |route| &route.listener_arns);
    if test.len() > 1 {
        return Err(routing("Test traffic route must have at most one listener Arn"));
    }
    if test == production {
        return Err(routing("Production and test traffic routes must have different listeners"));
    }
    let mut listeners = production.iter().chain(test);
    match listeners.find(|arn| !arn.contains(":listener/")) {
        Some(arn) => Err(routing(&format!("{arn} is not the ARN of a listener"))),
        None => Ok(()),
    }
}

fn check_service(region: &Region, services: &[EcsService]) -> Result<(), ApiError> {
    let invalid = |message: String| ApiError::sender("InvalidECSServiceException", message);
    let [service] = services else {
        return Err(invalid("For ECS deployment group, exactly one ECS service must be specified".into()));
    };
    if service.service_name.is_empty() || service.cluster_name.is_empty() {
        return Err(invalid(
            "For ECS deployment group, the ECS service needs serviceName and clusterName".into(),
        ));
    }
    let name = ServiceName::new(Some(&service.cluster_name), &service.service_name);
    let known = region.ecs.service(&name).filter(|known| known.service.status == ServiceStatus::Active);
    let Some(known) = known else {
        return Err(invalid(format!(
            "Could not load ECS service information for cluster: {}, service: {}. Cause: the service does not exist, \
             or is not active",
            name.cluster, name.service
        )));
    };
    if known.service.deployment_controller.kind != ControllerType::CodeDeploy {
        return Err(invalid(
            "Deployment group's ECS service must be configured for a CODE_DEPLOY deployment controller."
                .into(),
        ));
    }
    Ok(())
}
