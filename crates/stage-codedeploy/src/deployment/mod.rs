//! Which task definition gets the traffic; changing it is a deployment.
//!
//! What is live is read from the service's primary task set, never from what was deployed last.

mod appspec;
mod follow;
mod scaling;

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_ecs::types::Service;
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Ownership, Reading, Resource, template};
use pipeline_sdk::{Context, Maybe, Mode, Recorded, ResourceId, StageError, async_trait, json};
use serde::{Deserialize, Serialize};

use crate::CodeDeployInputs;
use follow::Deploying;

pub(crate) const KIND: &str = "codedeploy:deployment";

/// How to deploy: all that is needed besides the task definition. Recorded, so that a deployment can be
/// undone without the inputs it came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) application: String,
    pub(crate) cluster: String,
    pub(crate) service: String,
    pub(crate) timeout_minutes: u32,
    /// The AppSpec with `${task_definition}` still in it.
    pub(crate) app_spec: String,
}

impl Plan {
    /// How `inputs` want to deploy. The service is known to exist, so its names are known.
    pub(crate) fn of(
        cx: &Context,
        aws: &Aws,
        name: &str,
        inputs: &CodeDeployInputs,
    ) -> Result<Self, StageError> {
        let known = |field: &str, value: &Maybe<String>| {
            let missing = || StageError::input(field, "has to be known once the service exists");
            value.known().cloned().ok_or_else(missing)
        };
        Ok(Self {
            application: name.to_owned(),
            cluster: known("cluster", &inputs.cluster)?,
            service: known("service", &inputs.service)?,
            timeout_minutes: inputs.timeout_minutes,
            app_spec: app_spec(cx, aws, inputs)?,
        })
    }
}

/// The user's AppSpec with everything but the task definition filled in, or ours.
fn app_spec(cx: &Context, aws: &Aws, inputs: &CodeDeployInputs) -> Result<String, StageError> {
    let text = |value: &Maybe<String>| value.known().cloned();
    let (Some(container), Some(port)) = (text(&inputs.container_name), inputs.container_port.known()) else {
        // Planned again with everything known before it is applied.
        return Ok(String::new());
    };
    let Some(path) = &inputs.app_spec else { return Ok(appspec::default(&container, *port)) };
    let optional = |value: &Option<Maybe<String>>| value.as_ref().and_then(text).unwrap_or_default();
    let values = BTreeMap::from([
        ("task_definition", format!("${{{}}}", appspec::TASK_DEFINITION)),
        ("image", optional(&inputs.image)),
        ("name", container),
        ("port", port.to_string()),
        ("region", aws.region().unwrap_or_default().to_owned()),
        ("log-group", optional(&inputs.log_group)),
    ]);
    template::fill("app_spec", &template::read(cx, "app_spec", path)?, &values)
}

/// The service `name` of `cluster`, if it is there and not on its way out.
pub(crate) async fn primary(
    aws: &Arc<Aws>,
    reading: &Reading<'_>,
    cluster: &str,
    name: &str,
) -> Result<Option<Service>, StageError> {
    let key = format!("ecs:DescribeServices {cluster} {name}");
    let answer = reading.once(&key, || async {
        let call = aws.ecs().describe_services().cluster(cluster).services(name);
        call.send().await.if_found("ecs:DescribeServices")
    });
    let services =
        answer.await?.as_ref().as_ref().map(|answer| answer.services().to_vec()).unwrap_or_default();
    Ok(services.into_iter().find(|service| service.status() == Some("ACTIVE")))
}

/// The primary task set of a service as a resource: its attribute is the task definition.
pub(crate) struct Deployment {
    aws: Arc<Aws>,
    id: ResourceId,
    plan: Plan,
    desired: Option<Attributes>,
}

impl Deployment {
    pub(crate) fn wanted(aws: Arc<Aws>, plan: Plan, task_definition: &Maybe<String>) -> Self {
        let desired = Attributes::of(json!({ "task_definition": task_definition.to_value() }));
        Self { aws, id: ResourceId::new(KIND, &plan.service), plan, desired: Some(desired) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Result<Self, StageError> {
        let plan = serde_json::from_value(recorded.attributes["plan"].clone()).map_err(|error| {
            StageError::failed(format!("what was recorded of a deployment cannot be read: {error}"))
        })?;
        Ok(Self { aws, id: recorded.id.clone(), plan, desired: None })
    }
}

#[async_trait]
impl Resource for Deployment {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn ownership(&self) -> Ownership {
        Ownership::Parent
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, reading: &Reading<'_>, _: &Known) -> Result<Option<Attributes>, StageError> {
        if reading.context().mode() == Mode::Destroy {
            // The service goes, and what is deployed on it goes with it.
            return Ok(None);
        }
        let service = primary(&self.aws, reading, &self.plan.cluster, &self.plan.service).await?;
        Ok(service.map(|service| {
            let sets = service.task_sets();
            let primary = sets.iter().find(|set| set.status() == Some("PRIMARY"));
            Attributes::of(json!({
                "task_definition": primary.and_then(|set| set.task_definition()),
                "plan": self.plan,
            }))
        }))
    }

    async fn create(&self, _cx: &Context, _desired: &Attributes) -> Result<(), StageError> {
        Err(StageError::failed(format!("the service {} does not exist", self.plan.service)))
    }

    /// Deploys the task definition of `desired`. Undoing it is the same with the one before.
    async fn update(
        &self,
        cx: &Context,
        _observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let deploying = Deploying { aws: &self.aws, cx, plan: &self.plan };
        deploying.deploy(desired.need("task_definition")?).await
    }

    /// The service goes by the stage that made it.
    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        Ok(())
    }
}

/// Where the console shows a deployment.
pub(crate) fn console_url(region: &str, deployment: &str) -> String {
    format!(
        "https://{region}.console.aws.amazon.com/codesuite/codedeploy/deployments/{deployment}?region={region}"
    )
}

/// The name at the end of an ARN: `hello:7` of a task definition's.
pub(crate) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// JSON or YAML text as CodeDeploy takes it, with the digest that proves it arrived whole.
pub(crate) fn content(app_spec: &str, task_definition: &str) -> Result<(String, String), StageError> {
    let values = BTreeMap::from([(appspec::TASK_DEFINITION, task_definition.to_owned())]);
    let text = template::fill("app_spec", app_spec, &values)?;
    let digest = appspec::sha256(&text);
    Ok((text, digest))
}
