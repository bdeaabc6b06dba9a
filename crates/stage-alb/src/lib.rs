//! The stage `alb`: an application load balancer with two target groups.
//!
//! Traffic moves between the groups with every deployment, so the stage never says which of them is
//! live: it reads that from the listeners. A new listener forwards to the live group, and from then on
//! what it forwards to is not compared and not touched. What the stage owns of a listener is its port,
//! protocol, certificate and TLS policy.

#![warn(missing_docs)]

mod certificate;
mod inputs;
mod listener;
mod load_balancer;
mod settings;
mod target_group;

use std::sync::Arc;

use pipeline_aws::{Aws, AwsStage, Kit, Known, Reading, Resource, Tags, names};
use pipeline_sdk::{
    Context, JsonSchema, Maybe, Recorded, ResourceId, StageError, StageKind, async_trait, schemars,
};
use serde::{Deserialize, Serialize};

pub use crate::inputs::{AlbInputs, HealthCheck};
use crate::listener::{Forward, Listener, Role};
use crate::load_balancer::LoadBalancer;
use crate::target_group::TargetGroup;

/// The stage kind `alb`.
pub fn kind(aws: Arc<Aws>) -> StageKind {
    Kit::kind(Alb { aws })
}

/// The outputs of the stage `alb`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AlbOutputs {
    /// ARN of the load balancer.
    pub arn: Maybe<String>,
    /// Name of the load balancer.
    pub name: String,
    /// Its DNS name.
    pub dns_name: Maybe<String>,
    /// The hosted zone of its DNS name, for alias records.
    pub zone_id: Maybe<String>,
    /// ARN of the HTTP listener.
    pub http_listener_arn: Maybe<String>,
    /// ARN of the HTTPS listener, if there is a certificate.
    pub https_listener_arn: Option<Maybe<String>>,
    /// ARN of the listener whose traffic deployments shift: HTTPS if there is one, else HTTP.
    pub production_listener_arn: Maybe<String>,
    /// ARN of the test listener, if there is one.
    pub test_listener_arn: Option<Maybe<String>>,
    /// Names of the two target groups, for the stage that shifts traffic between them.
    pub target_groups: [String; 2],
    /// ARN of the target group that has the traffic, in which a new service starts.
    pub target_group_arn: Maybe<String>,
    /// ARN of the other one.
    pub other_target_group_arn: Maybe<String>,
    /// Where the app is reached by the load balancer's own name.
    pub url: Maybe<String>,
}

/// What is looked up before the resources are known.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The certificate of the HTTPS listener, where it is found by its domain.
    certificate: Option<String>,
    /// Which of the two target groups has the traffic; the first one before there is any.
    live: usize,
}

struct Alb {
    aws: Arc<Aws>,
}

/// What everything is called.
struct Names {
    load_balancer: String,
    groups: [String; 2],
}

impl Names {
    fn of(cx: &Context, inputs: &AlbInputs) -> Result<Self, StageError> {
        let canonical = cx.pipeline().canonical();
        let given = inputs.name.as_deref();
        let group = |suffix| names::fit(given, &canonical, suffix, names::TARGET_GROUP);
        Ok(Self {
            load_balancer: names::fit(given, &canonical, "", names::LOAD_BALANCER)?,
            groups: [group("-blue")?, group("-green")?],
        })
    }

    fn balancer_id(&self) -> ResourceId {
        ResourceId::new(load_balancer::KIND, &self.load_balancer)
    }

    fn group_id(&self, index: usize) -> ResourceId {
        ResourceId::new(target_group::KIND, &self.groups[index])
    }

    fn listener_id(&self, role: Role) -> ResourceId {
        ResourceId::new(listener::KIND, format!("{}/{}", self.load_balancer, role.name()))
    }
}

impl Alb {
    fn certificate(inputs: &AlbInputs, facts: &Facts) -> Option<Maybe<String>> {
        inputs.certificate_arn.clone().or_else(|| facts.certificate.clone().map(Maybe::Known))
    }

    fn listeners(&self, inputs: &AlbInputs, names: &Names, facts: &Facts, tags: &Tags) -> Vec<Listener> {
        let certificate = Self::certificate(inputs, facts);
        let listener = |role: Role, port, forward| {
            let id = names.listener_id(role);
            Listener::wanted(Arc::clone(&self.aws), id, names.balancer_id(), role, port, forward, tags)
        };
        let live = || Forward::To(names.group_id(facts.live));
        let http = match &certificate {
            Some(_) => listener(Role::Http, inputs.http_port, Forward::Redirect(inputs.https_port)),
            None => listener(Role::Http, inputs.http_port, live()),
        };
        let https =
            listener(Role::Https, inputs.https_port, live()).secured(certificate.clone(), &inputs.ssl_policy);
        // HTTPS first: from the moment on when HTTP redirects there, somebody has to listen.
        let mut listeners = vec![https, http];
        if let Some(port) = inputs.test_port {
            let test = listener(Role::Test, port, live());
            listeners.push(match certificate {
                Some(certificate) => test.secured(Some(certificate), &inputs.ssl_policy),
                None => test,
            });
        }
        listeners
    }
}

#[async_trait]
impl AwsStage for Alb {
    const KIND: &'static str = "alb";
    const SUMMARY: &'static str =
        "A load balancer with blue and green target groups (Elastic Load Balancing)";
    type Inputs = AlbInputs;
    type Facts = Facts;
    type Outputs = AlbOutputs;

    fn adopts(&self, inputs: &AlbInputs) -> bool {
        inputs.adopt
    }

    async fn look_up(&self, reading: &Reading<'_>, inputs: &AlbInputs) -> Result<Facts, StageError> {
        inputs.check()?;
        let names = Names::of(reading.context(), inputs)?;
        let certificate = async {
            match &inputs.certificate_domain {
                Some(domain) => certificate::look_up(&self.aws, domain).await.map(Some),
                None => Ok(None),
            }
        };
        let ports = [inputs.https_port, inputs.http_port];
        let (balancer, test) = (&names.load_balancer, inputs.test_port);
        let live = listener::live_group(&self.aws, reading, balancer, ports, test, &names.groups);
        let (certificate, live) = futures::try_join!(certificate, live)?;
        Ok(Facts { certificate, live: live.unwrap_or_default() })
    }

    fn resources(
        &self,
        cx: &Context,
        inputs: &AlbInputs,
        facts: &Facts,
    ) -> Result<Vec<Box<dyn Resource>>, StageError> {
        let names = Names::of(cx, inputs)?;
        let tags = Tags::of(cx, &inputs.tags)?;
        let aws = || Arc::clone(&self.aws);
        let mut resources: Vec<Box<dyn Resource>> = Vec::new();
        for group in &names.groups {
            resources.push(Box::new(TargetGroup::wanted(aws(), group, inputs, &tags)));
        }
        resources.push(Box::new(LoadBalancer::wanted(aws(), &names.load_balancer, inputs, &tags)));
        for listener in self.listeners(inputs, &names, facts, &tags) {
            resources.push(Box::new(listener));
        }
        Ok(resources)
    }

    fn recorded(&self, recorded: &Recorded) -> Result<Box<dyn Resource>, StageError> {
        let aws = Arc::clone(&self.aws);
        Ok(match recorded.id.kind.as_str() {
            load_balancer::KIND => Box::new(LoadBalancer::recorded(aws, recorded)),
            target_group::KIND => Box::new(TargetGroup::recorded(aws, recorded)),
            listener::KIND => Box::new(Listener::recorded(aws, recorded)),
            other => return Err(StageError::failed(format!("this stage does not know `{other}`"))),
        })
    }

    fn outputs(
        &self,
        cx: &Context,
        inputs: &AlbInputs,
        facts: &Facts,
        known: &Known,
    ) -> Result<AlbOutputs, StageError> {
        let names = Names::of(cx, inputs)?;
        let balancer = names.balancer_id();
        let listener = |role| known.maybe::<String>(&names.listener_id(role), "arn");
        let secure = Self::certificate(inputs, facts).is_some();
        let dns_name: Maybe<String> = known.maybe(&balancer, "dns_name");
        let (scheme, port, usual) =
            if secure { ("https", inputs.https_port, 443) } else { ("http", inputs.http_port, 80) };
        let port = if port == usual { String::new() } else { format!(":{port}") };
        Ok(AlbOutputs {
            arn: known.maybe(&balancer, "arn"),
            zone_id: known.maybe(&balancer, "zone_id"),
            http_listener_arn: listener(Role::Http),
            https_listener_arn: secure.then(|| listener(Role::Https)),
            production_listener_arn: listener(if secure { Role::Https } else { Role::Http }),
            test_listener_arn: inputs.test_port.map(|_| listener(Role::Test)),
            target_group_arn: known.maybe(&names.group_id(facts.live), "arn"),
            other_target_group_arn: known.maybe(&names.group_id(1 - facts.live), "arn"),
            url: dns_name.clone().map(|name| format!("{scheme}://{name}{port}")),
            dns_name,
            name: names.load_balancer,
            target_groups: names.groups,
        })
    }
}
