//! The stage `ecs`: a Fargate service and everything it needs to run.
//!
//! Cluster, execution role and task role (two, because the agent that pulls the image and the app
//! itself need different things), log group, task definition, the service under CodeDeploy, and auto
//! scaling. The first run starts the service with the real image; from then on the stage registers
//! revisions, and the stage `codedeploy` gives them the traffic.

#![warn(missing_docs)]

mod cluster;
mod inputs;
mod log_group;
mod roles;
mod scaling;
mod service;
mod task_definition;

use std::sync::Arc;

use pipeline_aws::{Aws, AwsError, AwsStage, Kit, Known, ROLE_KIND, Reading, Resource, Role, Tags, names};
use pipeline_sdk::{
    Context, JsonSchema, Maybe, Recorded, ResourceId, StageError, StageKind, async_trait, schemars,
};
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
pub use crate::inputs::{EcsInputs, Scaling};
use crate::log_group::LogGroup;
use crate::scaling::ScalableTarget;
use crate::service::Service;
use crate::task_definition::TaskDefinition;

/// The stage kind `ecs`.
pub fn kind(aws: Arc<Aws>) -> StageKind {
    Kit::kind(Ecs { aws })
}

/// The outputs of the stage `ecs`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EcsOutputs {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the service.
    pub service: String,
    /// The service as Application Auto Scaling names it: `service/{cluster}/{service}`.
    pub resource_id: String,
    /// ARN of the cluster.
    pub cluster_arn: Maybe<String>,
    /// ARN of the service.
    pub service_arn: Maybe<String>,
    /// ARN of the revision that should get the traffic. A service that exists goes on with the one before until a
    /// `codedeploy` stage deploys it.
    #[schemars(extend(
        "x-if-unused" = "a service that exists goes on with what it has until a `codedeploy` stage deploys it"
    ))]
    pub task_definition: Maybe<String>,
    /// Name of the container that gets the traffic.
    pub container_name: String,
    /// Port of that container.
    pub container_port: u16,
    /// Whether its tasks are to have a public address: for the stage that deploys.
    pub assign_public_ip: bool,
    /// Name of the log group.
    pub log_group: String,
    /// ARN of the log group.
    pub log_group_arn: Maybe<String>,
    /// Name of the role that the app runs with.
    pub task_role_name: Maybe<String>,
    /// ARN of the role that the app runs with.
    pub task_role_arn: Maybe<String>,
    /// ARN of the role that pulls the image and writes the logs.
    pub execution_role_arn: Maybe<String>,
    /// Name of that role.
    pub execution_role_name: Maybe<String>,
}

/// What is looked up before the resources are known.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The ARN of the cluster that the inputs name, which the stage does not own.
    cluster_arn: Option<String>,
}

/// Whether ECS refused with `code` and said `text`: it has no code of its own for each reason.
pub(crate) fn is_refused(error: &StageError, code: &str, text: &str) -> bool {
    AwsError::behind(error).is_some_and(|aws| aws.is(&[code]) && aws.message.contains(text))
}

/// The name of a role: of a given one the last part of its ARN, which may have a path.
fn role_name(given: &Option<Maybe<String>>, own: String) -> Maybe<String> {
    match given {
        Some(arn) => arn.clone().map(|arn| arn.rsplit('/').next().unwrap_or_default().to_owned()),
        None => Maybe::Known(own),
    }
}

struct Ecs {
    aws: Arc<Aws>,
}

/// What everything is called.
pub(crate) struct Names {
    pub(crate) cluster: String,
    pub(crate) service: String,
    pub(crate) family: String,
    pub(crate) container: String,
    pub(crate) log_group: String,
    pub(crate) execution_role: String,
    pub(crate) task_role: String,
}

impl Names {
    fn of(cx: &Context, inputs: &EcsInputs) -> Result<Self, StageError> {
        let canonical = cx.pipeline().canonical();
        let given = inputs.name.as_deref();
        let fit = |suffix, rule| names::fit(given, &canonical, suffix, rule);
        let log_group = inputs.log_group.clone();
        let log_group = log_group.unwrap_or_else(|| format!("/ecs/{}", given.unwrap_or(&canonical)));
        names::LOG_GROUP.check("log_group", &log_group)?;
        let container = inputs.container_name.clone().unwrap_or_else(|| cx.pipeline().name.clone());
        names::CONTAINER.check("container_name", &container)?;
        Ok(Self {
            cluster: match &inputs.cluster {
                Some(cluster) => cluster.clone(),
                None => fit("", names::CLUSTER)?,
            },
            service: fit("", names::SERVICE)?,
            family: fit("", names::TASK_FAMILY)?,
            container,
            log_group,
            execution_role: fit("-execution", names::ROLE)?,
            task_role: fit("-task", names::ROLE)?,
        })
    }

    /// The id of the execution role's resource, for references to its ARN.
    pub(crate) fn execution_role_id(&self) -> ResourceId {
        ResourceId::new(ROLE_KIND, &self.execution_role)
    }

    /// The id of the task role's resource.
    pub(crate) fn task_role_id(&self) -> ResourceId {
        ResourceId::new(ROLE_KIND, &self.task_role)
    }

    /// The id of the task definition's resource.
    pub(crate) fn task_definition_id(&self) -> ResourceId {
        ResourceId::new(task_definition::KIND, &self.family)
    }

    /// The id of the service's resource: unique also where a cluster is shared.
    pub(crate) fn service_id(&self) -> ResourceId {
        ResourceId::new(service::KIND, format!("{}/{}", self.cluster, self.service))
    }
}

#[async_trait]
impl AwsStage for Ecs {
    const KIND: &'static str = "ecs";
    const SUMMARY: &'static str = "A Fargate service with its cluster, roles, logs and scaling (Amazon ECS)";
    type Inputs = EcsInputs;
    type Facts = Facts;
    type Outputs = EcsOutputs;

    fn adopts(&self, inputs: &EcsInputs) -> bool {
        inputs.adopt
    }

    async fn look_up(&self, _reading: &Reading<'_>, inputs: &EcsInputs) -> Result<Facts, StageError> {
        inputs.check()?;
        let Some(name) = &inputs.cluster else { return Ok(Facts::default()) };
        let cluster_arn = cluster::arn_of(&self.aws, name).await?;
        let missing = || StageError::input("cluster", format!("there is no active cluster `{name}`"));
        Ok(Facts { cluster_arn: Some(cluster_arn.ok_or_else(missing)?) })
    }

    fn resources(
        &self,
        cx: &Context,
        inputs: &EcsInputs,
        _facts: &Facts,
    ) -> Result<Vec<Box<dyn Resource>>, StageError> {
        let names = Names::of(cx, inputs)?;
        let tags = Tags::of(cx, &inputs.tags)?;
        let aws = || Arc::clone(&self.aws);
        let mut resources: Vec<Box<dyn Resource>> = Vec::new();
        if inputs.cluster.is_none() {
            resources.push(Box::new(Cluster::wanted(aws(), &names.cluster, inputs, &tags)));
        }
        let execution = inputs.execution_role_arn.is_none().then(|| roles::execution(inputs));
        let task = inputs.task_role_arn.is_none().then(|| roles::task(inputs));
        resources.push(Box::new(Role::wanted(aws(), &names.execution_role, execution.as_ref(), &tags)));
        resources.push(Box::new(Role::wanted(aws(), &names.task_role, task.as_ref(), &tags)));
        resources.push(Box::new(LogGroup::wanted(aws(), &names.log_group, inputs, &tags)));
        resources.push(Box::new(TaskDefinition::wanted(cx, aws(), &names, inputs, &tags)?));
        let service = Box::new(Service::wanted(aws(), &names, inputs, &tags));
        let target = Box::new(ScalableTarget::wanted(aws(), &names, inputs.scaling.as_ref()));
        // Scaling needs the service. Where it is no longer wanted it has to go first, or it would still say how
        // many tasks there are.
        resources.extend(match inputs.scaling {
            Some(_) => [service as Box<dyn Resource>, target],
            None => [target as Box<dyn Resource>, service],
        });
        Ok(resources)
    }

    fn recorded(&self, recorded: &Recorded) -> Result<Box<dyn Resource>, StageError> {
        let aws = Arc::clone(&self.aws);
        Ok(match recorded.id.kind.as_str() {
            ROLE_KIND => Box::new(Role::recorded(aws, recorded)),
            cluster::KIND => Box::new(Cluster::recorded(aws, recorded)),
            log_group::KIND => Box::new(LogGroup::recorded(aws, recorded)),
            task_definition::KIND => Box::new(TaskDefinition::recorded(aws, recorded)),
            service::KIND => Box::new(Service::recorded(aws, recorded)),
            scaling::KIND => Box::new(ScalableTarget::recorded(aws, recorded)),
            other => return Err(StageError::failed(format!("this stage does not know `{other}`"))),
        })
    }

    fn outputs(
        &self,
        cx: &Context,
        inputs: &EcsInputs,
        facts: &Facts,
        known: &Known,
    ) -> Result<EcsOutputs, StageError> {
        let names = Names::of(cx, inputs)?;
        let own = |role: &Option<Maybe<String>>, id| role.clone().unwrap_or_else(|| known.maybe(&id, "arn"));
        let task_definition = known.maybe(&names.task_definition_id(), "arn");
        Ok(EcsOutputs {
            resource_id: pipeline_aws::scaling::resource_id(&names.cluster, &names.service),
            cluster_arn: match &facts.cluster_arn {
                Some(given) => Maybe::Known(given.clone()),
                None => known.maybe(&ResourceId::new(cluster::KIND, &names.cluster), "arn"),
            },
            service_arn: known.maybe(&names.service_id(), "arn"),
            task_definition,
            container_port: inputs.port,
            assign_public_ip: inputs.assign_public_ip,
            log_group_arn: known.maybe(&ResourceId::new(log_group::KIND, &names.log_group), "arn"),
            task_role_arn: own(&inputs.task_role_arn, names.task_role_id()),
            execution_role_arn: own(&inputs.execution_role_arn, names.execution_role_id()),
            task_role_name: role_name(&inputs.task_role_arn, names.task_role),
            execution_role_name: role_name(&inputs.execution_role_arn, names.execution_role),
            cluster: names.cluster,
            service: names.service,
            container_name: names.container,
            log_group: names.log_group,
        })
    }
}
