//! Which task definition gets the traffic; changing it is a deployment.
//!
//! What is live is read from the service's primary task set, never from what was deployed last.

mod appspec;
mod follow;
mod scaling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use aws_sdk_ecs::types::{AssignPublicIp, Service, TaskDefinitionStatus, TaskSet};
use pipeline_aws::wait::{WaitOptions, until};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Ownership, Reading, Resource, template};
use pipeline_sdk::{Context, Maybe, Mode, Recorded, ResourceId, StageError, Value, async_trait, json};
use serde::{Deserialize, Serialize};

use crate::CodeDeployInputs;
use appspec::Target;
use follow::Deploying;

pub(crate) const KIND: &str = "codedeploy:deployment";

/// The attributes that say where tasks run.
const NETWORK: [&str; 3] = ["subnets", "security_groups", "assign_public_ip"];

/// How to deploy: all that is needed besides what is deployed. Recorded, so that a deployment can be
/// undone without the inputs it came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) application: String,
    pub(crate) cluster: String,
    pub(crate) service: String,
    pub(crate) timeout_minutes: u32,
    /// The waits that a deployment is told to make; they come on top of the timeout.
    #[serde(default)]
    pub(crate) waits_minutes: u32,
    /// The user's own AppSpec, with its variables filled in.
    #[serde(default)]
    pub(crate) app_spec: Option<String>,
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
            waits_minutes: inputs.traffic.minutes() + inputs.termination_wait_minutes,
            app_spec: app_spec(cx, aws, inputs)?,
        })
    }
}

/// Refuses an own AppSpec that cannot be deployed, also while the service is not there yet.
pub(crate) fn check_app_spec(cx: &Context, aws: &Aws, inputs: &CodeDeployInputs) -> Result<(), StageError> {
    let Some(text) = app_spec(cx, aws, inputs)? else { return Ok(()) };
    appspec::check(&text, inputs.container_name.known(), inputs.container_port.known().copied())
}

/// The user's AppSpec with its variables filled in. `${task_definition}` stays: a deployment puts the
/// task definition in, whatever stands there.
fn app_spec(cx: &Context, aws: &Aws, inputs: &CodeDeployInputs) -> Result<Option<String>, StageError> {
    let Some(path) = &inputs.app_spec else { return Ok(None) };
    let mut values = BTreeMap::from([
        ("task_definition", "${task_definition}".to_owned()),
        ("region", aws.region().unwrap_or_default().to_owned()),
    ]);
    let texts = [
        ("name", Some(&inputs.container_name)),
        ("image", inputs.image.as_ref()),
        ("log-group", inputs.log_group.as_ref()),
    ];
    // What is not known yet is filled in when the stage is planned again, before it is applied. A name
    // whose input is not set is none that the file may use.
    let given = texts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    values.extend(given.map(|(name, value)| (name, value.known().cloned().unwrap_or_default())));
    values.insert("port", inputs.container_port.known().map(u16::to_string).unwrap_or_default());
    template::fill("app_spec", &template::read(cx, "app_spec", path)?, &values).map(Some)
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

fn primary_set(service: &Service) -> Option<&TaskSet> {
    service.task_sets().iter().find(|set| set.status() == Some("PRIMARY"))
}

/// How long a task definition that was registered a moment ago may not be there yet for a reader.
const SETTLES: Duration = Duration::from_secs(5);

/// Fails if the task definition `wanted` is not live on `service` and was deregistered or deleted. A service goes on with
/// one that was, but CodeDeploy would refuse to deploy it only after everything else was changed.
pub(crate) async fn check_deployable(
    cx: &Context,
    aws: &Aws,
    service: &Service,
    wanted: &str,
) -> Result<(), StageError> {
    if primary_set(service).and_then(|set| set.task_definition()) == Some(wanted) {
        return Ok(());
    }
    let refused = |what: &str| {
        Err(StageError::failed(format!("the task definition {} {what}", short(wanted)))
            .with_help("`pipeline run` registers it anew and deploys it"))
    };
    let found = until(cx, "the task definition", WaitOptions::within(SETTLES), || status(aws, wanted));
    match found.await {
        Ok(TaskDefinitionStatus::Active) => Ok(()),
        Ok(_) => refused("was deregistered"),
        Err(StageError::Cancelled) => Err(StageError::Cancelled),
        Err(_) => refused("is not there any more"),
    }
}

/// The status of a task definition; nothing if it is not there. One that may not be looked at is left to CodeDeploy.
async fn status(aws: &Aws, name: &str) -> Result<Option<TaskDefinitionStatus>, StageError> {
    match aws.ecs().describe_task_definition().task_definition(name).send().await {
        Ok(answer) => Ok(answer.task_definition().and_then(|found| found.status().cloned())),
        // AWS says so of one that is not there (ECS, DescribeTaskDefinition).
        Err(error) if error.code() == Some("ClientException") => Ok(None),
        Err(_) => Ok(Some(TaskDefinitionStatus::Active)),
    }
}

/// The primary task set of a service as a resource: what only a deployment can change.
pub(crate) struct Deployment {
    aws: Arc<Aws>,
    id: ResourceId,
    plan: Plan,
    desired: Option<Attributes>,
}

impl Deployment {
    pub(crate) fn wanted(aws: Arc<Aws>, plan: Plan, inputs: &CodeDeployInputs) -> Self {
        let mut desired = Attributes::of(json!({ "task_definition": inputs.task_definition.to_value() }));
        if inputs.app_spec.is_none() {
            // An own AppSpec says it itself.
            desired.set("container_name", inputs.container_name.to_value());
            desired.set("container_port", inputs.container_port.to_value());
        }
        // What is not given stays as it is.
        for (name, given) in [("subnets", &inputs.subnets), ("security_groups", &inputs.security_groups)] {
            if let Some(list) = given {
                desired.set(name, list.clone().map(sorted).to_value());
            }
        }
        if let Some(assign) = inputs.assign_public_ip {
            desired.set("assign_public_ip", assign);
        }
        Self { aws, id: ResourceId::new(KIND, &plan.service), plan, desired: Some(desired) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Result<Self, StageError> {
        let plan = serde_json::from_value(recorded.attributes["plan"].clone()).map_err(|error| {
            StageError::failed(format!("what was recorded of a deployment cannot be read: {error}"))
        })?;
        Ok(Self { aws, id: recorded.id.clone(), plan, desired: None })
    }

    fn deploying<'a>(&'a self, cx: &'a Context) -> Deploying<'a> {
        Deploying { aws: &self.aws, cx, plan: &self.plan }
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// What a task set runs and where.
fn attributes(set: &TaskSet) -> Attributes {
    let balancer = set.load_balancers().first();
    let network = set.network_configuration().and_then(|network| network.awsvpc_configuration());
    Attributes::of(json!({
        "task_definition": set.task_definition(),
        "container_name": balancer.and_then(|balancer| balancer.container_name()),
        "container_port": balancer.and_then(|balancer| balancer.container_port()),
        "subnets": network.map(|network| sorted(network.subnets().to_vec())),
        "security_groups": network.map(|network| sorted(network.security_groups().to_vec())),
        "assign_public_ip": network.map(|network| network.assign_public_ip() == Some(&AssignPublicIp::Enabled)),
    }))
}

/// What to deploy to come from `observed` to `desired`; what is not desired stays as it is.
fn target<'a>(
    plan: &Plan,
    observed: &'a Attributes,
    desired: &'a Attributes,
) -> Result<Target<'a>, StageError> {
    let value = |key: &str| if desired.contains_key(key) { desired.value(key) } else { observed.value(key) };
    let container = match (value("container_name").as_str(), value("container_port").as_u64()) {
        (Some(name), Some(port)) if plan.app_spec.is_none() => Some((name, port)),
        _ => None,
    };
    let moved = NETWORK.iter().any(|key| value(key) != observed.value(key));
    let network = moved.then(|| {
        let public = if value("assign_public_ip") == &Value::Bool(true) { "ENABLED" } else { "DISABLED" };
        json!({
            "Subnets": value("subnets"),
            "SecurityGroups": value("security_groups"),
            "AssignPublicIp": public,
        })
    });
    Ok(Target { task_definition: desired.need("task_definition")?, container, network })
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

    fn notes(&self) -> Attributes {
        Attributes::of(json!({ "plan": self.plan }))
    }

    async fn read(&self, reading: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        if reading.context().mode() == Mode::Destroy {
            // The service goes, and what is deployed on it goes with it.
            return Ok(None);
        }
        let service = primary(&self.aws, reading, &self.plan.cluster, &self.plan.service).await?;
        Ok(service.map(|service| primary_set(&service).map(attributes).unwrap_or_default()))
    }

    async fn create(&self, _cx: &Context, _desired: &Attributes) -> Result<(), StageError> {
        Err(StageError::failed(format!("the service {} does not exist", self.plan.service)))
    }

    /// Deploys what is desired. Undoing it is the same with what was there before.
    async fn update(
        &self,
        cx: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        self.deploying(cx).deploy(&target(&self.plan, observed, desired)?).await
    }

    /// A deployment that nobody watches any more, of this run or of one that was killed, would shift traffic after all.
    async fn before_undo(&self, cx: &Context) -> Result<(), StageError> {
        self.deploying(cx).stop_abandoned().await
    }

    /// The service goes by the stage that made it.
    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        Ok(())
    }
}

/// The name at the end of an ARN: `hello:7` of a task definition's.
pub(crate) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let name = || "shop".to_owned();
        let (timeout_minutes, waits_minutes) = (1, 0);
        Plan {
            application: name(),
            cluster: name(),
            service: name(),
            timeout_minutes,
            waits_minutes,
            app_spec: None,
        }
    }

    fn observed() -> Attributes {
        Attributes::of(json!({
            "task_definition": "shop:1",
            "container_name": "shop",
            "container_port": 8080,
            "subnets": ["subnet-a", "subnet-b"],
            "security_groups": ["sg-1"],
            "assign_public_ip": true,
        }))
    }

    #[test]
    fn only_a_network_that_moves_is_said() {
        let (observed, mut desired) = (observed(), Attributes::of(json!({ "task_definition": "shop:2" })));
        desired.set("security_groups", json!(["sg-1"]));
        assert!(target(&plan(), &observed, &desired).expect("a target").network.is_none());
        desired.set("security_groups", json!(["sg-2"]));
        let network = target(&plan(), &observed, &desired).expect("a target").network;
        let wanted = json!({
            "Subnets": ["subnet-a", "subnet-b"],
            "SecurityGroups": ["sg-2"],
            "AssignPublicIp": "ENABLED",
        });
        assert_eq!(network, Some(wanted));
    }

    #[test]
    fn a_way_back_names_the_container_that_was_there() {
        let now = Attributes::of(
            json!({ "task_definition": "shop:2", "container_name": "web", "container_port": 9090 }),
        );
        let before = observed();
        let target = target(&plan(), &now, &before).expect("a target");
        assert_eq!((target.task_definition, target.container), ("shop:1", Some(("shop", 8080))));
    }
}
