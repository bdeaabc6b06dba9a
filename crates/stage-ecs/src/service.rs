//! The service: Fargate tasks behind a target group, under CodeDeploy.
//!
//! What UpdateService may change under CodeDeploy is compared; what only CodeDeploy can change (the task
//! definition, where traffic goes) is left to it, so nothing here ever reverts a deployment. The list:
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, DeploymentController, DeploymentControllerType, LaunchType,
    LoadBalancer, NetworkConfiguration, PropagateTags, Service as Description, ServiceField, StabilityStatus,
    Task,
};
use jiff::Timestamp;
use pipeline_aws::wait::{self, WaitOptions};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Reading, Resource, Tags, tasks};
use pipeline_sdk::{Context, Link, Maybe, Mode, Recorded, ResourceId, StageError, Value, async_trait, json};
use serde::Deserialize;

use crate::cluster::{sdk_tags, tags_of, update_tags};
use crate::{EcsInputs, Names, is_refused, scaling};

pub(crate) const KIND: &str = "ecs:service";

/// So many stops of a task while the service starts are no accident.
const TOO_MANY_STOPS: usize = 3;

/// How long a service may take to go, with its tasks draining.
const REMOVAL: Duration = Duration::from_secs(900);

pub(crate) struct Service {
    aws: Arc<Aws>,
    id: ResourceId,
    wanted: Option<Wanted>,
    start_timeout: Duration,
}

struct Wanted {
    desired: Attributes,
    start: Start,
}

/// What a service is made with and UpdateService cannot change.
struct Start {
    task_definition: ResourceId,
    target_group: Maybe<String>,
    subnets: Maybe<Vec<String>>,
    security_groups: Maybe<Vec<String>>,
    assign_public_ip: bool,
    container: String,
    port: u16,
    platform_version: String,
    execute_command: bool,
    count: i32,
    log_group: String,
}

impl Service {
    pub(crate) fn wanted(aws: Arc<Aws>, names: &Names, inputs: &EcsInputs, tags: &Tags) -> Self {
        let first = inputs.first_count();
        let mut desired = Attributes::of(json!({
            "health_check_grace_seconds": inputs.health_check_grace_seconds,
            "tags": tags.to_value(),
        }));
        if inputs.scaling.is_none() {
            desired.set("desired_count", first);
        }
        let start = Start {
            task_definition: names.task_definition_id(),
            target_group: inputs.target_group_arn.clone(),
            subnets: inputs.subnets.clone(),
            security_groups: inputs.security_groups.clone(),
            assign_public_ip: inputs.assign_public_ip,
            container: names.container.clone(),
            port: inputs.port,
            platform_version: inputs.platform_version.clone(),
            execute_command: inputs.execute_command,
            count: i32::try_from(first).unwrap_or(i32::MAX),
            log_group: names.log_group.clone(),
        };
        Self {
            aws,
            id: names.service_id(),
            wanted: Some(Wanted { desired, start }),
            start_timeout: Duration::from_secs(inputs.start_timeout_seconds),
        }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), wanted: None, start_timeout: REMOVAL }
    }

    fn cluster(&self) -> &str {
        self.id.name.split_once('/').map_or("default", |(cluster, _)| cluster)
    }

    fn name(&self) -> &str {
        self.id.name.split_once('/').map_or(self.id.name.as_str(), |(_, name)| name)
    }

    /// The service in any status.
    async fn describe(&self) -> Result<Option<Description>, StageError> {
        let call = self.aws.ecs().describe_services().cluster(self.cluster()).services(self.name());
        let answer = call.include(ServiceField::Tags).send().await.if_found("ecs:DescribeServices")?;
        Ok(answer.and_then(|answer| answer.services).unwrap_or_default().into_iter().next())
    }

    /// Where the console shows it.
    fn link(&self) -> Option<Link> {
        let path = format!("ecs/v2/clusters/{}/services/{}/health", self.cluster(), self.name());
        self.aws.console("Open the service", &path)
    }

    async fn set_count(&self, count: i32) -> Result<(), StageError> {
        let call = self.aws.ecs().update_service().cluster(self.cluster()).service(self.name());
        call.desired_count(count).send().await.or_fail("ecs:UpdateService").map(|_| ())
    }

    async fn until_gone(&self, cx: &Context) -> Result<(), StageError> {
        wait::until(cx, &format!("{} to go", self.id), WaitOptions::within(REMOVAL), || async {
            let gone = self.describe().await?.is_none_or(|service| service.status() == Some("INACTIVE"));
            Ok(gone.then_some(()))
        })
        .await
    }

    /// Tasks of the service that stopped by themselves after `since`, newest first.
    async fn stopped(&self, since: Timestamp) -> Result<Vec<Task>, StageError> {
        let mut stopped = tasks::stopped(&self.aws, self.cluster(), self.name()).await?;
        stopped.retain(|task| task.created_at().is_some_and(|at| at.secs() >= since.as_second()));
        Ok(stopped)
    }

    /// Whether the primary task set is steady. DescribeServices has no deployments under CodeDeploy, so
    /// the SDK's waiter for stable services would wait for ever.
    fn is_steady(service: &Description) -> bool {
        let primary = service.task_sets().iter().find(|set| set.status() == Some("PRIMARY"));
        primary.is_some_and(|set| set.stability_status() == Some(&StabilityStatus::SteadyState))
            && service.running_count() >= service.desired_count()
    }

    async fn fail_if_tasks_stop(&self, tasks: i32, since: Timestamp) -> Result<(), StageError> {
        let stopped = self.stopped(since).await?;
        // Of every task so many: a role that is not known everywhere yet stops all of them once.
        if stopped.len() < TOO_MANY_STOPS * usize::try_from(tasks).unwrap_or_default().max(1) {
            return Ok(());
        }
        let last = stopped.first();
        let reason = last.map(tasks::why_stopped).unwrap_or_default();
        let message = format!("{} tasks of {} stopped while it started: {reason}", stopped.len(), self.id);
        let log = self.wanted.as_ref().map(|wanted| wanted.start.log_group.as_str()).unwrap_or_default();
        Err(StageError::failed(message).with_help(format!(
            "the health check has to answer. The app's log is the log group {log}; with `on_failure = \"keep\"` it \
             stays after a first run"
        )))
    }
}

#[derive(Deserialize)]
struct Changeable {
    #[serde(default)]
    desired_count: Option<i32>,
    health_check_grace_seconds: i32,
}

/// What CreateService says while one of the same name is on its way out.
fn is_still_draining(error: &StageError) -> bool {
    is_refused(error, "InvalidParameterException", "still Draining")
}

#[async_trait]
impl Resource for Service {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn desired(&self, known: &Known) -> Result<Option<Attributes>, StageError> {
        let Some(wanted) = &self.wanted else { return Ok(None) };
        let mut desired = wanted.desired.clone();
        if known.existing(&self.id).is_none() {
            // Only where the service is made: later, CodeDeploy says what runs.
            desired.set("task_definition", known.value(&wanted.start.task_definition, "arn"));
            desired.set("target_group_arn", wanted.start.target_group.to_value());
        }
        let scales =
            ResourceId::new(scaling::KIND, pipeline_aws::scaling::resource_id(self.cluster(), self.name()));
        if known.existing(&scales).is_some() {
            // How many tasks there are is not ours to say, whoever set up the scaling.
            desired.remove("desired_count");
        }
        Ok(Some(desired))
    }

    fn is_leaving(&self, found: &Attributes) -> bool {
        self.wanted.is_some() && found.value("draining") == &Value::Bool(true)
    }

    async fn read(&self, reading: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        // One that is to be removed is there until it is gone: a run that was killed may have left it on its way.
        let goes = self.wanted.is_none() || reading.context().mode() == Mode::Destroy;
        let is_there = |service: &Description| match service.status() {
            Some("DRAINING") => goes,
            status => status == Some("ACTIVE"),
        };
        Ok(self.describe().await?.filter(is_there).map(|service| {
            let mut attributes = Attributes::of(json!({
                "desired_count": service.desired_count(),
                "health_check_grace_seconds": service.health_check_grace_period_seconds().unwrap_or(0),
                "tags": tags_of(service.tags()),
                "arn": service.service_arn(),
            }));
            if service.status() == Some("DRAINING") {
                attributes.set("draining", Value::Bool(true));
            }
            attributes
        }))
    }

    async fn create(&self, cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let Some(Wanted { start, .. }) = &self.wanted else {
            return Err(StageError::failed(
                "a service that was removed cannot be made again from its record",
            ));
        };
        let (Some(subnets), Some(groups)) = (start.subnets.known(), start.security_groups.known()) else {
            return Err(StageError::failed("subnets and security groups of the service are not known"));
        };
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(subnets.clone()))
            .set_security_groups(Some(groups.clone()))
            .assign_public_ip(if start.assign_public_ip {
                AssignPublicIp::Enabled
            } else {
                AssignPublicIp::Disabled
            })
            .build()
            .map_err(|error| StageError::failed(error.to_string()))?;
        let balancer = LoadBalancer::builder()
            .target_group_arn(desired.need("target_group_arn")?)
            .container_name(&start.container)
            .container_port(i32::from(start.port))
            .build();
        let controller = DeploymentController::builder()
            .r#type(DeploymentControllerType::CodeDeploy)
            .build()
            .map_err(|error| StageError::failed(error.to_string()))?;
        let changeable: Changeable = desired.read()?;
        let call = self.aws.ecs().create_service().cluster(self.cluster()).service_name(self.name());
        let call = call
            .task_definition(desired.need("task_definition")?)
            .desired_count(start.count)
            .launch_type(LaunchType::Fargate)
            .platform_version(&start.platform_version)
            .deployment_controller(controller)
            .load_balancers(balancer)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .health_check_grace_period_seconds(changeable.health_check_grace_seconds)
            .enable_execute_command(start.execute_command)
            .propagate_tags(PropagateTags::Service)
            .client_token(cx.idempotency_key("service"))
            .set_tags(Some(sdk_tags(&Tags::from(desired.value("tags")))));
        match call.clone().send().await.or_fail("ecs:CreateService") {
            Err(error) if is_still_draining(&error) => {
                self.until_gone(cx).await?;
                call.send().await.or_fail("ecs:CreateService").map(|_| ())
            }
            created => created.map(|_| ()),
        }
    }

    async fn update(
        &self,
        _: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let changed = |key| !desired.value(key).is_null() && observed.value(key) != desired.value(key);
        if changed("desired_count") || changed("health_check_grace_seconds") {
            let changeable: Changeable = desired.read()?;
            let call = self.aws.ecs().update_service().cluster(self.cluster()).service(self.name());
            let call = call
                .set_desired_count(changeable.desired_count)
                .health_check_grace_period_seconds(changeable.health_check_grace_seconds);
            call.send().await.or_fail("ecs:UpdateService")?;
        }
        update_tags(&self.aws, observed, desired).await
    }

    /// Scales to nothing, deletes, and waits until it is gone: what its tasks use can only be removed
    /// then.
    async fn delete(&self, cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        if observed.value("draining") == &Value::Bool(true) {
            return self.until_gone(cx).await;
        }
        if observed.value("desired_count") != &Value::from(0) {
            self.set_count(0).await?;
        }
        let call = self.aws.ecs().delete_service().cluster(self.cluster()).service(self.name()).force(true);
        call.send().await.or_gone("ecs:DeleteService")?;
        self.until_gone(cx).await
    }

    async fn settle(&self, cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        let began = cx.now();
        let what = format!("{} to be steady", self.id);
        let options =
            WaitOptions { longest: Duration::from_secs(1), ..WaitOptions::within(self.start_timeout) };
        wait::until(cx, &what, options, || async {
            match self.describe().await? {
                Some(service) if Self::is_steady(&service) => Ok(Some(())),
                Some(service) => self.fail_if_tasks_stop(service.desired_count(), began).await.map(|()| None),
                None => Err(StageError::failed(format!("{} was removed while it started", self.id))),
            }
        })
        .await?;
        cx.milestone(format!("{} runs", self.name()), self.link());
        Ok(())
    }
}
