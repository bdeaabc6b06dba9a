//! The deployment group: which service, which listeners, which target groups, and what to do when it
//! goes wrong.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_codedeploy::types::{
    Alarm, AlarmConfiguration, AutoRollbackConfiguration, AutoRollbackEvent,
    BlueGreenDeploymentConfiguration, BlueInstanceTerminationOption, DeploymentGroupInfo, DeploymentOption,
    DeploymentReadyAction, DeploymentReadyOption, DeploymentStyle, DeploymentType, EcsService,
    InstanceAction, LoadBalancerInfo, TargetGroupInfo, TargetGroupPairInfo, TrafficRoute,
};
use pipeline_aws::wait::{self, WaitOptions};
use pipeline_aws::{Attributes, Aws, AwsError, AwsResult, Known, Ownership, Reading, Resource};
use pipeline_sdk::{Context, Maybe, Recorded, ResourceId, StageError, Value, async_trait, json};
use serde::Deserialize;

use crate::CodeDeployInputs;

pub(crate) const KIND: &str = "codedeploy:deploymentgroup";

/// A role that was just made is not known everywhere in AWS yet; CodeDeploy then refuses it.
const ROLE_SPREADS: Duration = Duration::from_secs(60);

pub(crate) struct Group {
    aws: Arc<Aws>,
    id: ResourceId,
    role: ResourceId,
    desired: Option<Attributes>,
}

/// The attributes as they are sent.
#[derive(Deserialize)]
struct Shape {
    configuration: String,
    role_arn: String,
    cluster: String,
    service: String,
    production_listener: String,
    test_listener: Option<String>,
    target_groups: Vec<String>,
    termination_wait_minutes: i32,
    alarms: Vec<String>,
    /// Empty: deployments are never rolled back by CodeDeploy itself.
    #[serde(default)]
    rolls_back_on: Vec<String>,
}

impl Group {
    /// The group called `name`, as its application is. Without an own role in the inputs, `role` is
    /// the one that the stage makes.
    pub(crate) fn wanted(aws: Arc<Aws>, name: &str, inputs: &CodeDeployInputs, role: ResourceId) -> Self {
        let groups: Vec<_> = inputs.target_groups.iter().map(Maybe::to_value).collect();
        let desired = json!({
            "configuration": inputs.traffic.configuration_name(name),
            "role_arn": inputs.role_arn.as_ref().map(Maybe::to_value),
            "cluster": inputs.cluster.to_value(),
            "service": inputs.service.to_value(),
            "production_listener": inputs.production_listener_arn.to_value(),
            "test_listener": inputs.test_listener_arn.as_ref().map(Maybe::to_value),
            "target_groups": groups,
            "termination_wait_minutes": inputs.termination_wait_minutes,
            "alarms": inputs.alarms,
            "rolls_back_on": rolls_back_on(!inputs.alarms.is_empty()),
        });
        Self { aws, id: ResourceId::new(KIND, name), role, desired: Some(Attributes::of(desired)) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        let role = ResourceId::new(pipeline_aws::ROLE_KIND, "");
        Self { aws, id: recorded.id.clone(), role, desired: None }
    }

    fn name(&self) -> &str {
        &self.id.name
    }

    async fn send_create(&self, shape: &Shape) -> Result<(), StageError> {
        let call = self.aws.codedeploy().create_deployment_group();
        let call = call
            .application_name(self.name())
            .deployment_group_name(self.name())
            .deployment_config_name(&shape.configuration)
            .service_role_arn(&shape.role_arn)
            .ecs_services(ecs_service(shape))
            .load_balancer_info(load_balancer(shape))
            .deployment_style(style())
            .blue_green_deployment_configuration(blue_green(shape))
            .auto_rollback_configuration(auto_rollback(shape))
            .alarm_configuration(alarms(shape));
        call.send().await.or_fail("codedeploy:CreateDeploymentGroup").map(|_| ())
    }

    async fn send_update(&self, shape: &Shape) -> Result<(), StageError> {
        let call = self.aws.codedeploy().update_deployment_group();
        let call = call
            .application_name(self.name())
            .current_deployment_group_name(self.name())
            .deployment_config_name(&shape.configuration)
            .service_role_arn(&shape.role_arn)
            .ecs_services(ecs_service(shape))
            .load_balancer_info(load_balancer(shape))
            .deployment_style(style())
            .blue_green_deployment_configuration(blue_green(shape))
            .auto_rollback_configuration(auto_rollback(shape))
            .alarm_configuration(alarms(shape));
        call.send().await.or_fail("codedeploy:UpdateDeploymentGroup").map(|_| ())
    }
}

#[async_trait]
impl Resource for Group {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    /// It lies in the application, which carries the tags.
    fn ownership(&self) -> Ownership {
        Ownership::Parent
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["cluster", "service"]
    }

    fn desired(&self, known: &Known) -> Result<Option<Attributes>, StageError> {
        let mut desired = self.desired.clone();
        if let Some(attributes) = desired.as_mut().filter(|attributes| attributes.value("role_arn").is_null())
        {
            attributes.set("role_arn", known.value(&self.role, "arn"));
        }
        Ok(desired)
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let call = self.aws.codedeploy().get_deployment_group();
        let call = call.application_name(self.name()).deployment_group_name(self.name());
        let answer = call.send().await.if_found("codedeploy:GetDeploymentGroup")?;
        let found = answer.and_then(|answer| answer.deployment_group_info);
        Ok(found.map(|group| Attributes::of(described(&group))))
    }

    async fn create(&self, cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let shape: Shape = desired.read()?;
        retry_role(cx, || self.send_create(&shape)).await
    }

    async fn update(&self, cx: &Context, _: &Attributes, desired: &Attributes) -> Result<(), StageError> {
        let shape: Shape = desired.read()?;
        retry_role(cx, || self.send_update(&shape)).await
    }

    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.codedeploy().delete_deployment_group();
        let call = call.application_name(self.name()).deployment_group_name(self.name());
        call.send().await.or_gone("codedeploy:DeleteDeploymentGroup")
    }
}

async fn retry_role<F>(cx: &Context, send: impl Fn() -> F) -> Result<(), StageError>
where
    F: Future<Output = Result<(), StageError>>,
{
    wait::until(cx, "the role to be known to CodeDeploy", WaitOptions::within(ROLE_SPREADS), || async {
        match send().await {
            Ok(()) => Ok(Some(())),
            Err(error) if AwsError::behind(&error).is_some_and(|aws| aws.is(&["InvalidRoleException"])) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    })
    .await
}

fn described(group: &DeploymentGroupInfo) -> Value {
    let service = group.ecs_services().first();
    let pair = group.load_balancer_info().and_then(|info| info.target_group_pair_info_list().first());
    let listener =
        |route: Option<&TrafficRoute>| route.and_then(|route| route.listener_arns().first().cloned());
    let names =
        pair.map(|pair| pair.target_groups().iter().filter_map(TargetGroupInfo::name).collect::<Vec<_>>());
    let wait = group
        .blue_green_deployment_configuration()
        .and_then(BlueGreenDeploymentConfiguration::terminate_blue_instances_on_deployment_success)
        .map(BlueInstanceTerminationOption::termination_wait_time_in_minutes);
    let alarms = group
        .alarm_configuration()
        .map(|alarms| alarms.alarms().iter().filter_map(Alarm::name).collect::<Vec<_>>());
    let rollback = group.auto_rollback_configuration().filter(|configuration| configuration.enabled());
    let mut events: Vec<_> = rollback
        .map(|rollback| rollback.events().iter().map(AutoRollbackEvent::as_str).collect())
        .unwrap_or_default();
    events.sort_unstable();
    json!({
        "configuration": group.deployment_config_name(),
        "role_arn": group.service_role_arn(),
        "cluster": service.and_then(EcsService::cluster_name),
        "service": service.and_then(EcsService::service_name),
        "production_listener": listener(pair.and_then(TargetGroupPairInfo::prod_traffic_route)),
        "test_listener": listener(pair.and_then(TargetGroupPairInfo::test_traffic_route)),
        "target_groups": names,
        "termination_wait_minutes": wait,
        "alarms": alarms.unwrap_or_default(),
        "rolls_back_on": events,
        "id": group.deployment_group_id(),
    })
}

fn ecs_service(shape: &Shape) -> EcsService {
    EcsService::builder().cluster_name(&shape.cluster).service_name(&shape.service).build()
}

fn load_balancer(shape: &Shape) -> LoadBalancerInfo {
    let route = |arn: &String| TrafficRoute::builder().listener_arns(arn).build();
    let groups = shape.target_groups.iter().map(|name| TargetGroupInfo::builder().name(name).build());
    let pair = TargetGroupPairInfo::builder()
        .set_target_groups(Some(groups.collect()))
        .prod_traffic_route(route(&shape.production_listener))
        .set_test_traffic_route(shape.test_listener.as_ref().map(route))
        .build();
    LoadBalancerInfo::builder().target_group_pair_info_list(pair).build()
}

fn style() -> DeploymentStyle {
    DeploymentStyle::builder()
        .deployment_type(DeploymentType::BlueGreen)
        .deployment_option(DeploymentOption::WithTrafficControl)
        .build()
}

fn blue_green(shape: &Shape) -> BlueGreenDeploymentConfiguration {
    let terminate = BlueInstanceTerminationOption::builder()
        .action(InstanceAction::Terminate)
        .termination_wait_time_in_minutes(shape.termination_wait_minutes)
        .build();
    let ready = DeploymentReadyOption::builder()
        .action_on_timeout(DeploymentReadyAction::ContinueDeployment)
        .wait_time_in_minutes(0)
        .build();
    BlueGreenDeploymentConfiguration::builder()
        .terminate_blue_instances_on_deployment_success(terminate)
        .deployment_ready_option(ready)
        .build()
}

/// A failure rolls back, and so does being stopped: by a person, a signal to the run, or an alarm. Sorted.
fn rolls_back_on(alarms: bool) -> Vec<&'static str> {
    let always = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"];
    let mut events: Vec<_> = always.into_iter().chain(alarms.then_some("DEPLOYMENT_STOP_ON_ALARM")).collect();
    events.sort_unstable();
    events
}

fn auto_rollback(shape: &Shape) -> AutoRollbackConfiguration {
    let events = shape.rolls_back_on.iter().map(|event| AutoRollbackEvent::from(event.as_str())).collect();
    let enabled = !shape.rolls_back_on.is_empty();
    AutoRollbackConfiguration::builder().enabled(enabled).set_events(Some(events)).build()
}

fn alarms(shape: &Shape) -> AlarmConfiguration {
    let alarms = shape.alarms.iter().map(|name| Alarm::builder().name(name).build()).collect();
    AlarmConfiguration::builder().enabled(!shape.alarms.is_empty()).set_alarms(Some(alarms)).build()
}
