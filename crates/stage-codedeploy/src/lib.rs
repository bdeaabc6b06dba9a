//! The stage `codedeploy`: shifts traffic to a new task definition by CodeDeploy blue/green.
//!
//! It owns the application, the deployment group and the role, and one thing more: which task
//! definition the service's primary task set runs. Changing that is a deployment; undoing it is a
//! deployment back. It is one way to deploy: another stage that changes what is primary (ECS's own
//! blue/green) can stand in its place with the same inputs.

#![warn(missing_docs)]

mod application;
mod configuration;
mod deployment;
mod group;

use std::sync::Arc;

use pipeline_aws::{
    Aws, AwsStage, Kit, Known, ROLE_KIND, Reading, Resource, Role, RoleSpec, Tags, UserTags, names,
};
use pipeline_sdk::{
    Context, JsonSchema, Maybe, Mode, Recorded, ResourceId, StageError, StageKind, async_trait, schemars,
};
use serde::{Deserialize, Serialize};

use crate::application::Application;
use crate::configuration::{Configuration, Traffic};
use crate::deployment::{Deployment, Plan};
use crate::group::Group;

/// What a deployment may do to ECS, load balancing, alarms and hooks. AWS keeps it up to date:
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/codedeploy_IAM_role.html>.
const ROLE_POLICY: &str = "arn:aws:iam::aws:policy/AWSCodeDeployRoleForECS";

/// The stage kind `codedeploy`.
pub fn kind(aws: Arc<Aws>) -> StageKind {
    Kit::kind(CodeDeploy { aws })
}

/// The inputs of the stage `codedeploy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeDeployInputs {
    /// Name of the application and of its deployment group. Default: `{name}-{environment}`.
    #[serde(default)]
    pub name: Option<String>,
    /// Name of the ECS cluster.
    pub cluster: Maybe<String>,
    /// Name of the ECS service.
    pub service: Maybe<String>,
    /// ARN of the task definition that should get the traffic.
    #[schemars(extend("x-deployment" = true))]
    pub task_definition: Maybe<String>,
    /// Name of the container that gets the traffic.
    #[schemars(extend("x-deployment" = true))]
    pub container_name: Maybe<String>,
    /// Port of that container.
    #[schemars(extend("x-deployment" = true))]
    #[serde(default = "default_port")]
    pub container_port: Maybe<u16>,
    /// ARN of the listener whose traffic is shifted.
    pub production_listener_arn: Maybe<String>,
    /// ARN of a listener that gets the new version before production does.
    #[serde(default)]
    pub test_listener_arn: Option<Maybe<String>>,
    /// Names of the two target groups between which traffic moves.
    pub target_groups: [Maybe<String>; 2],
    /// How traffic is shifted.
    #[serde(default)]
    pub traffic: Traffic,
    /// How many minutes the old tasks are kept after the shift, for a rollback without a start; at most
    /// 2880.
    #[schemars(range(max = 2880))]
    #[serde(default = "default_termination")]
    pub termination_wait_minutes: u32,
    /// Names of CloudWatch alarms that stop and roll back a deployment, at most 10.
    #[schemars(length(max = 10))]
    #[serde(default)]
    pub alarms: Vec<String>,
    /// Subnets of the tasks. Default: those of the tasks before.
    #[serde(default)]
    pub subnets: Option<Maybe<Vec<String>>>,
    /// Security groups of the tasks. Default: those of the tasks before.
    #[serde(default)]
    pub security_groups: Option<Maybe<Vec<String>>>,
    /// Whether tasks get a public address. Default: as the tasks before.
    #[serde(default)]
    pub assign_public_ip: Option<bool>,
    /// Own AppSpec file (JSON or YAML). `${name}`, `${port}`, `${region}` and `${task_definition}` in it are replaced,
    /// `${image}` and `${log-group}` if the inputs `image` and `log_group` are set; `TaskDefinition` is set to the one
    /// that is deployed, whatever it says.
    #[serde(default)]
    pub app_spec: Option<String>,
    /// The image, for `${image}` in an own AppSpec file.
    #[schemars(extend("x-deployment" = true))]
    #[serde(default)]
    pub image: Option<Maybe<String>>,
    /// The log group, for `${log-group}` in an own AppSpec file.
    #[serde(default)]
    pub log_group: Option<Maybe<String>>,
    /// ARN of an own role for CodeDeploy. Default: one is made.
    #[serde(default)]
    pub role_arn: Option<Maybe<String>>,
    /// After how many minutes a deployment that has not ended is stopped and rolled back, besides the
    /// waits that it makes by `traffic` and `termination_wait_minutes`.
    #[serde(default = "default_timeout")]
    pub timeout_minutes: u32,
    /// Take over an application of this name that this pipeline did not make.
    #[serde(default)]
    pub adopt: bool,
    /// More tags.
    #[serde(default)]
    pub tags: UserTags,
}

fn default_port() -> Maybe<u16> {
    Maybe::Known(8080)
}

fn default_termination() -> u32 {
    5
}

fn default_timeout() -> u32 {
    120
}

/// The outputs of the stage `codedeploy`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CodeDeployOutputs {
    /// Name of the application.
    pub application: String,
    /// Name of the deployment group.
    pub deployment_group: String,
    /// Name of the deployment configuration.
    pub deployment_config: String,
    /// ARN of CodeDeploy's role.
    pub role_arn: Maybe<String>,
    /// ARN of the task definition that gets the traffic.
    pub task_definition: Maybe<String>,
}

/// What has to be looked up before the resources are known.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Whether the service exists. A service that does not will start with the task definition it
    /// is made with: nothing is to be deployed.
    service_exists: bool,
}

struct CodeDeploy {
    aws: Arc<Aws>,
}

impl CodeDeploy {
    fn name(cx: &Context, inputs: &CodeDeployInputs) -> Result<String, StageError> {
        names::fit(inputs.name.as_deref(), &cx.pipeline().canonical(), "", names::CODEDEPLOY)
    }

    fn role(&self, cx: &Context, inputs: &CodeDeployInputs, tags: &Tags) -> Result<Role, StageError> {
        let name = role_name(cx, inputs)?;
        let spec = RoleSpec {
            service: "codedeploy.amazonaws.com",
            managed_policies: vec![ROLE_POLICY.to_owned()],
            policies: Default::default(),
        };
        let wanted = inputs.role_arn.is_none().then_some(&spec);
        Ok(Role::wanted(Arc::clone(&self.aws), &name, wanted, tags))
    }
}

fn role_name(cx: &Context, inputs: &CodeDeployInputs) -> Result<String, StageError> {
    names::fit(inputs.name.as_deref(), &cx.pipeline().canonical(), "-codedeploy", names::ROLE)
}

#[async_trait]
impl AwsStage for CodeDeploy {
    const KIND: &'static str = "codedeploy";
    const SUMMARY: &'static str = "Blue/green deployments of an ECS service (AWS CodeDeploy)";
    type Inputs = CodeDeployInputs;
    type Facts = Facts;
    type Outputs = CodeDeployOutputs;

    fn adopts(&self, inputs: &CodeDeployInputs) -> bool {
        inputs.adopt
    }

    async fn look_up(&self, reading: &Reading<'_>, inputs: &CodeDeployInputs) -> Result<Facts, StageError> {
        let (Some(cluster), Some(service)) = (inputs.cluster.known(), inputs.service.known()) else {
            return Ok(Facts::default());
        };
        let found = deployment::primary(&self.aws, reading, cluster, service).await?;
        // What is only removed or compared is not deployed.
        if reading.context().mode() == Mode::Converge
            && let (Some(service), Some(wanted)) = (&found, inputs.task_definition.known())
        {
            deployment::check_deployable(reading.context(), &self.aws, service, wanted).await?;
        }
        Ok(Facts { service_exists: found.is_some() })
    }

    fn resources(
        &self,
        cx: &Context,
        inputs: &CodeDeployInputs,
        facts: &Facts,
    ) -> Result<Vec<Box<dyn Resource>>, StageError> {
        let name = Self::name(cx, inputs)?;
        let tags = Tags::of(cx, &inputs.tags)?;
        let aws = || Arc::clone(&self.aws);
        let role_id = ResourceId::new(ROLE_KIND, role_name(cx, inputs)?);
        let mut resources: Vec<Box<dyn Resource>> = vec![
            Box::new(self.role(cx, inputs, &tags)?),
            Box::new(Configuration::wanted(aws(), &name, &inputs.traffic)),
            Box::new(Application::wanted(aws(), &name, &tags)),
            Box::new(Group::wanted(aws(), &name, inputs, role_id)),
        ];
        if cx.mode() == Mode::Converge {
            // Also where it is not deployed yet: a first run would find it out at its very end.
            deployment::check_app_spec(cx, &self.aws, inputs)?;
        }
        if facts.service_exists && cx.mode() != Mode::Destroy {
            let plan = Plan::of(cx, &self.aws, &name, inputs)?;
            resources.push(Box::new(Deployment::wanted(aws(), plan, inputs)));
        }
        Ok(resources)
    }

    fn recorded(&self, recorded: &Recorded) -> Result<Box<dyn Resource>, StageError> {
        let aws = Arc::clone(&self.aws);
        Ok(match recorded.id.kind.as_str() {
            ROLE_KIND => Box::new(Role::recorded(aws, recorded)),
            configuration::KIND => Box::new(Configuration::recorded(aws, recorded)),
            application::KIND => Box::new(Application::recorded(aws, recorded)),
            group::KIND => Box::new(Group::recorded(aws, recorded)),
            deployment::KIND => Box::new(Deployment::recorded(aws, recorded)?),
            other => return Err(StageError::failed(format!("this stage does not know `{other}`"))),
        })
    }

    fn outputs(
        &self,
        cx: &Context,
        inputs: &CodeDeployInputs,
        _facts: &Facts,
        known: &Known,
    ) -> Result<CodeDeployOutputs, StageError> {
        let name = Self::name(cx, inputs)?;
        let role = ResourceId::new(ROLE_KIND, role_name(cx, inputs)?);
        Ok(CodeDeployOutputs {
            deployment_config: inputs.traffic.configuration_name(&name),
            role_arn: inputs.role_arn.clone().unwrap_or_else(|| known.maybe(&role, "arn")),
            task_definition: inputs.task_definition.clone(),
            application: name.clone(),
            deployment_group: name,
        })
    }
}
