//! The stage `network`: where the app runs, and who may talk to whom.
//!
//! VPC and subnets are looked up, never made: they belong to whoever owns the network. Two security
//! groups are made: the load balancer takes HTTP and HTTPS from the world, tasks take the app's port from
//! the load balancer, and nothing else is open. There is no SSH.

#![warn(missing_docs)]

mod ec2;
mod security_group;
mod subnets;

use std::sync::Arc;

use pipeline_aws::{Aws, AwsStage, Kit, Known, Reading, Resource, Tags, UserTags, names};
use pipeline_sdk::{
    Context, JsonSchema, Maybe, Recorded, ResourceId, StageError, StageKind, async_trait, schemars,
};
use serde::{Deserialize, Serialize};

use crate::security_group::{Allow, SecurityGroup};
use crate::subnets::Place;

/// The stage kind `network`.
pub fn kind(aws: Arc<Aws>) -> StageKind {
    Kit::kind(Network { aws })
}

/// The inputs of the stage `network`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkInputs {
    /// Name of the security groups, before `-load-balancer` and `-tasks`. Default: `{name}-{environment}`.
    #[serde(default)]
    pub name: Option<String>,
    /// The VPC. Default: the region's default VPC.
    #[serde(default)]
    pub vpc_id: Option<String>,
    /// Subnets of the load balancer, in at least two availability zones. Default: the default subnets of
    /// the VPC, or all of its subnets if it has none.
    #[serde(default)]
    pub load_balancer_subnets: Vec<String>,
    /// Subnets of the tasks. Default: those of the load balancer.
    #[serde(default)]
    pub task_subnets: Vec<String>,
    /// Port of the app: open on tasks, and only for the load balancer. When it changes, the old one stays
    /// open, for the tasks that still serve, until the next change.
    #[serde(default = "port")]
    pub port: u16,
    /// Ports of the load balancer.
    #[serde(default = "public_ports")]
    pub public_ports: Vec<u16>,
    /// Who may reach the load balancer, as IPv4 blocks.
    #[serde(default = "everyone")]
    pub allow_from: Vec<String>,
    /// Take over security groups of these names that were not made by this pipeline.
    #[serde(default)]
    pub adopt: bool,
    /// More tags.
    #[serde(default)]
    pub tags: UserTags,
}

fn port() -> u16 {
    8080
}

fn public_ports() -> Vec<u16> {
    vec![80, 443]
}

fn everyone() -> Vec<String> {
    vec!["0.0.0.0/0".into()]
}

/// The outputs of the stage `network`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NetworkOutputs {
    /// Id of the VPC.
    pub vpc_id: String,
    /// Ids of the load balancer's subnets.
    pub load_balancer_subnets: Vec<String>,
    /// Ids of the tasks' subnets.
    pub task_subnets: Vec<String>,
    /// Id of the load balancer's security group.
    pub load_balancer_security_group: Maybe<String>,
    /// Name of the load balancer's security group.
    pub load_balancer_security_group_name: String,
    /// Id of the tasks' security group.
    pub task_security_group: Maybe<String>,
    /// ARN of the tasks' security group.
    pub task_security_group_arn: Maybe<String>,
    /// Name of the tasks' security group.
    pub task_security_group_name: String,
    /// Ports of tasks that the load balancer may reach: the app's, and the one it had before.
    pub task_ports: Vec<u16>,
}

struct Network {
    aws: Arc<Aws>,
}

struct Names {
    load_balancer: String,
    tasks: String,
}

impl Names {
    fn of(cx: &Context, inputs: &NetworkInputs) -> Result<Self, StageError> {
        let canonical = cx.pipeline().canonical();
        let fit = |suffix| names::fit(inputs.name.as_deref(), &canonical, suffix, names::SECURITY_GROUP);
        Ok(Self { load_balancer: fit("-load-balancer")?, tasks: fit("-tasks")? })
    }

    fn load_balancer_id(&self) -> ResourceId {
        ResourceId::new(security_group::KIND, &self.load_balancer)
    }

    fn tasks_id(&self) -> ResourceId {
        ResourceId::new(security_group::KIND, &self.tasks)
    }
}

/// The app's port, and the one before it: closing that in the run that changes it would cut off the tasks
/// that serve until the deployment has moved the traffic. Afterwards nothing listens there.
fn task_ports(cx: &Context, port: u16) -> Vec<u16> {
    let known = cx.prior().and_then(|prior| prior.outputs.values.get("task_ports"));
    let known: Vec<u16> =
        known.and_then(|ports| serde_json::from_value(ports.clone()).ok()).unwrap_or_default();
    let older = if known.first() == Some(&port) { known.get(1) } else { known.first() };
    std::iter::once(port).chain(older.copied()).collect()
}

impl NetworkInputs {
    fn check(&self) -> Result<(), StageError> {
        if self.public_ports.is_empty() {
            return Err(StageError::input("public_ports", "the load balancer needs a port"));
        }
        match self.allow_from.iter().find(|block| !is_block(block)) {
            Some(bad) => {
                Err(StageError::input("allow_from", format!("`{bad}` is no IPv4 block: write `10.0.0.0/8`")))
            }
            None => Ok(()),
        }
    }
}

fn is_block(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    address.parse::<std::net::Ipv4Addr>().is_ok() && length.parse::<u8>().is_ok_and(|length| length <= 32)
}

#[async_trait]
impl AwsStage for Network {
    const KIND: &'static str = "network";
    const SUMMARY: &'static str =
        "VPC and subnets, and security groups for load balancer and tasks (Amazon EC2)";
    type Inputs = NetworkInputs;
    type Facts = Place;
    type Outputs = NetworkOutputs;

    fn adopts(&self, inputs: &NetworkInputs) -> bool {
        inputs.adopt
    }

    async fn look_up(&self, reading: &Reading<'_>, inputs: &NetworkInputs) -> Result<Place, StageError> {
        inputs.check()?;
        let prior = reading.context().prior();
        let remembered = prior.and_then(|prior| prior.outputs.values.get("vpc_id")?.as_str());
        subnets::look_up(&self.aws, inputs, remembered).await
    }

    fn resources(
        &self,
        cx: &Context,
        inputs: &NetworkInputs,
        place: &Place,
    ) -> Result<Vec<Box<dyn Resource>>, StageError> {
        let names = Names::of(cx, inputs)?;
        let tags = Tags::of(cx, &inputs.tags)?;
        let public = Allow::Blocks { ports: inputs.public_ports.clone(), blocks: inputs.allow_from.clone() };
        let inside = Allow::Group { ports: task_ports(cx, inputs.port), group: names.load_balancer_id() };
        let group = |id, description, allow| {
            Box::new(SecurityGroup::wanted(
                Arc::clone(&self.aws),
                id,
                &place.vpc_id,
                description,
                allow,
                &tags,
            ))
        };
        Ok(vec![
            group(names.load_balancer_id(), "Load balancer of the pipeline", public),
            group(names.tasks_id(), "Tasks of the pipeline", inside),
        ])
    }

    fn recorded(&self, recorded: &Recorded) -> Result<Box<dyn Resource>, StageError> {
        Ok(Box::new(SecurityGroup::recorded(Arc::clone(&self.aws), recorded)))
    }

    fn outputs(
        &self,
        cx: &Context,
        inputs: &NetworkInputs,
        place: &Place,
        known: &Known,
    ) -> Result<NetworkOutputs, StageError> {
        let names = Names::of(cx, inputs)?;
        Ok(NetworkOutputs {
            vpc_id: place.vpc_id.clone(),
            load_balancer_subnets: place.load_balancer_subnets.clone(),
            task_subnets: place.task_subnets.clone(),
            load_balancer_security_group: known.maybe(&names.load_balancer_id(), "id"),
            task_security_group: known.maybe(&names.tasks_id(), "id"),
            task_security_group_arn: known.maybe(&names.tasks_id(), "arn"),
            load_balancer_security_group_name: names.load_balancer,
            task_security_group_name: names.tasks,
            task_ports: task_ports(cx, inputs.port),
        })
    }
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{
        CancellationToken, ContextParts, Mode, NullSink, PipelineId, Prior, RunId, StageName,
    };
    use pipeline_sdk::{Outputs, json};

    use super::*;

    fn after(task_ports: &[u16]) -> Context {
        let values = [("task_ports".to_owned(), json!(task_ports))].into_iter().collect();
        Context::from(ContextParts {
            stage: StageName::new("network").expect("a name"),
            run: RunId::generate(),
            pipeline: PipelineId { name: "hello".into(), environment: "local".into() },
            directory: ".".into(),
            mode: Mode::Converge,
            prior: Some(Prior { outputs: Outputs { values, resources: vec![] } }),
            cancel: CancellationToken::new(),
            sink: Arc::new(NullSink),
            recorder: Arc::new(NullSink),
            services: None,
            inputs: None,
        })
    }

    #[test]
    fn the_old_port_stays_open_until_the_next_change() {
        assert_eq!(task_ports(&after(&[]), 8080), [8080]);
        assert_eq!(task_ports(&after(&[8080]), 9090), [9090, 8080]);
        assert_eq!(task_ports(&after(&[9090, 8080]), 9090), [9090, 8080], "no change afterwards");
        assert_eq!(task_ports(&after(&[9090, 8080]), 7070), [7070, 9090]);
        assert_eq!(task_ports(&after(&[9090, 8080]), 8080), [8080, 9090], "back again");
    }

    #[test]
    fn blocks_are_checked() {
        assert!(is_block("0.0.0.0/0") && is_block("10.1.2.0/24"));
        assert!(!is_block("10.0.0.0") && !is_block("10.0.0.0/33") && !is_block("example.com/8"));
    }
}
