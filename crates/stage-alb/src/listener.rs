//! A listener: a port of the load balancer.
//!
//! What it forwards to is said once, when it is made. From then on it moves with every deployment, and
//! comparing it would revert what CodeDeploy shifted.

use std::sync::Arc;

use aws_sdk_elasticloadbalancingv2::types::{
    Action as ListenerAction, ActionTypeEnum, Certificate, ForwardActionConfig, Listener as Description,
    LoadBalancer, ProtocolEnum, RedirectActionConfig, RedirectActionStatusCodeEnum, TargetGroupTuple,
};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Reading, Resource, Tags};
use pipeline_sdk::{Context, Maybe, Recorded, ResourceId, StageError, Value, async_trait, json};

use crate::load_balancer::{self, sdk_tags, tags, update_tags};

pub(crate) const KIND: &str = "elbv2:listener";

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Http,
    Https,
    Test,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Test => "test",
        }
    }
}

/// What a listener does with a request when it is made.
pub(crate) enum Forward {
    /// Sends it to a target group.
    To(ResourceId),
    /// Redirects it to HTTPS on this port.
    Redirect(u16),
}

pub(crate) struct Listener {
    aws: Arc<Aws>,
    id: ResourceId,
    balancer: ResourceId,
    /// What a recorded listener was called by AWS.
    arn: Option<String>,
    port: u16,
    wanted: Option<Wanted>,
}

struct Wanted {
    /// An HTTPS listener without a certificate should not exist.
    exists: bool,
    desired: Attributes,
    forward: Forward,
}

impl Listener {
    pub(crate) fn wanted(
        aws: Arc<Aws>,
        id: ResourceId,
        balancer: ResourceId,
        role: Role,
        port: u16,
        forward: Forward,
        tags: &Tags,
    ) -> Self {
        let redirect = match forward {
            Forward::Redirect(port) => json!(port),
            Forward::To(_) => Value::Null,
        };
        let mut desired = Attributes::of(json!({
            "port": port,
            "protocol": "HTTP",
            "redirect_to_port": redirect,
            "tags": tags.to_value(),
        }));
        if let Forward::Redirect(_) = forward {
            // Said, so that undoing the redirect knows where traffic went before.
            desired.set("forward_to", Value::Null);
        }
        let wanted = Wanted { exists: role != Role::Https, desired, forward };
        Self { aws, id, balancer, arn: None, port, wanted: Some(wanted) }
    }

    /// The same listener with TLS; without a certificate it should not exist.
    pub(crate) fn secured(mut self, certificate: Option<Maybe<String>>, policy: &str) -> Self {
        if let Some(wanted) = &mut self.wanted {
            wanted.exists = certificate.is_some();
            wanted.desired.set("protocol", "HTTPS");
            wanted.desired.set("certificate_arn", certificate.as_ref().map(Maybe::to_value));
            wanted.desired.set("ssl_policy", policy);
        }
        self
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        let balancer = recorded.id.name.rsplit_once('/').map_or("", |(balancer, _)| balancer);
        let port = recorded.attributes["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Self {
            aws,
            balancer: ResourceId::new(load_balancer::KIND, balancer),
            id: recorded.id.clone(),
            arn: recorded.attributes["arn"].as_str().map(str::to_owned),
            port: port.unwrap_or_default(),
            wanted: None,
        }
    }

    /// A recorded listener is the one with its ARN, also when its port is to change; another one that
    /// on its port.
    async fn find(&self, reading: &Reading<'_>) -> Result<Option<Description>, StageError> {
        let all = all(&self.aws, reading, &self.balancer.name).await?;
        let is_it = |listener: &&Description| match &self.arn {
            Some(arn) => listener.listener_arn() == Some(arn),
            None => listener.port() == Some(i32::from(self.port)),
        };
        Ok(all.iter().find(is_it).cloned())
    }

    fn action(&self, desired: &Attributes) -> Result<ListenerAction, StageError> {
        if let Some(port) = desired.value("redirect_to_port").as_u64() {
            return Ok(redirect(port));
        }
        let builder = ListenerAction::builder().r#type(ActionTypeEnum::Forward);
        Ok(builder.target_group_arn(desired.need("forward_to")?).build())
    }
}

/// All listeners of a load balancer; the resources of one look share the answer.
async fn all(aws: &Aws, reading: &Reading<'_>, balancer: &str) -> Result<Arc<Vec<Description>>, StageError> {
    let of = |arn: String| async move {
        let call = aws.elbv2().describe_listeners().load_balancer_arn(arn);
        let answer = call.send().await.if_found("elasticloadbalancing:DescribeListeners")?;
        Ok(answer.and_then(|answer| answer.listeners).unwrap_or_default())
    };
    let ask = || async {
        let id = ResourceId::new(load_balancer::KIND, balancer);
        let find = load_balancer::find_once(aws, reading, balancer);
        let described = reading.described(&id, find, LoadBalancer::load_balancer_arn, of).await?;
        Ok(described.map(|(_, listeners)| listeners).unwrap_or_default())
    };
    reading.once(&format!("listeners of {balancer}"), ask).await
}

/// Which of `groups` has the traffic of the load balancer called `balancer`: by the first of `ports` that
/// forwards, or by any other listener but that on `test_port`, or, where none is left that forwards, by
/// where the targets are. None if there is nothing to tell by.
pub(crate) async fn live_group(
    aws: &Aws,
    reading: &Reading<'_>,
    balancer: &str,
    ports: [u16; 2],
    test_port: Option<u16>,
    groups: &[String; 2],
) -> Result<Option<usize>, StageError> {
    let listeners = all(aws, reading, balancer).await?;
    let on = |port: u16| listeners.iter().find(|listener| listener.port() == Some(i32::from(port)));
    let others = listeners.iter().filter(|listener| listener.port() != test_port.map(i32::from));
    let said = ports.into_iter().filter_map(on).chain(others).find_map(|listener| busiest(listener, groups));
    let exists = load_balancer::find_once(aws, reading, balancer).await?.is_some();
    if said.is_some() || !exists { Ok(said) } else { with_targets(aws, groups).await }
}

/// The group that has more targets.
async fn with_targets(aws: &Aws, groups: &[String; 2]) -> Result<Option<usize>, StageError> {
    let call = aws.elbv2().describe_target_groups().set_names(Some(groups.to_vec()));
    let found = call.send().await.if_found("elasticloadbalancing:DescribeTargetGroups")?;
    let mut most = None;
    for group in found.and_then(|found| found.target_groups).unwrap_or_default() {
        let call = aws
            .elbv2()
            .describe_target_health()
            .target_group_arn(group.target_group_arn().unwrap_or_default());
        let health = call.send().await.if_found("elasticloadbalancing:DescribeTargetHealth")?;
        let targets = health.and_then(|health| health.target_health_descriptions).unwrap_or_default().len();
        let place = groups.iter().position(|name| Some(name.as_str()) == group.target_group_name());
        most = most.max(place.filter(|_| targets > 0).map(|place| (targets, place)));
    }
    Ok(most.map(|(_, place)| place))
}

/// The group with the highest weight in a listener's forward.
fn busiest(listener: &Description, groups: &[String; 2]) -> Option<usize> {
    let forwards = |action: &&ListenerAction| action.r#type() == Some(&ActionTypeEnum::Forward);
    let action = listener.default_actions().iter().find(forwards)?;
    let weighted = action.forward_config().map(ForwardActionConfig::target_groups).unwrap_or_default();
    let heaviest = weighted.iter().max_by_key(|group| group.weight().unwrap_or(1));
    let arn = heaviest.and_then(TargetGroupTuple::target_group_arn).or(action.target_group_arn())?;
    groups.iter().position(|name| group_name(arn) == Some(name))
}

/// `hello-blue` of `arn:aws:elasticloadbalancing:…:targetgroup/hello-blue/0123456789abcdef`.
fn group_name(arn: &str) -> Option<&str> {
    arn.split(":targetgroup/").nth(1)?.split('/').next()
}

fn redirect(port: u64) -> ListenerAction {
    let config = RedirectActionConfig::builder()
        .protocol("HTTPS")
        .port(port.to_string())
        .status_code(RedirectActionStatusCodeEnum::Http301)
        .build();
    ListenerAction::builder().r#type(ActionTypeEnum::Redirect).redirect_config(config).build()
}

fn redirects_to(listener: &Description) -> Value {
    let config = listener.default_actions().iter().find_map(ListenerAction::redirect_config);
    config.and_then(|config| config.port()?.parse::<u16>().ok()).map_or(Value::Null, Value::from)
}

/// The one group that a listener forwards to; none where it divides its traffic.
fn forwards_to(listener: &Description) -> Option<&str> {
    listener.default_actions().iter().find_map(ListenerAction::target_group_arn)
}

#[async_trait]
impl Resource for Listener {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn desired(&self, known: &Known) -> Result<Option<Attributes>, StageError> {
        let Some(wanted) = self.wanted.as_ref().filter(|wanted| wanted.exists) else { return Ok(None) };
        let mut desired = wanted.desired.clone();
        let existing = known.existing(&self.id);
        let redirected = existing.is_some_and(|listener| !listener.value("redirect_to_port").is_null());
        if let Forward::To(group) = &wanted.forward
            && (existing.is_none() || redirected)
        {
            // Only where it does not forward yet: later, deployments say where traffic goes.
            desired.set("forward_to", known.value(group, "arn"));
        }
        if existing.is_none() {
            desired.set("load_balancer_arn", known.value(&self.balancer, "arn"));
        }
        Ok(Some(desired))
    }

    async fn read(&self, reading: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let tags = |arn: String| async move { tags(&self.aws, &arn).await };
        let described = reading.described(&self.id, self.find(reading), Description::listener_arn, tags);
        let Some((found, tags)) = described.await? else { return Ok(None) };
        Ok(Some(Attributes::of(json!({
            "port": found.port(),
            "protocol": found.protocol().map(ProtocolEnum::as_str),
            "redirect_to_port": redirects_to(&found),
            "forward_to": forwards_to(&found),
            "certificate_arn": found.certificates().first().and_then(Certificate::certificate_arn),
            "ssl_policy": found.ssl_policy(),
            "load_balancer_arn": found.load_balancer_arn(),
            "tags": tags,
            "arn": found.listener_arn(),
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let call = self.aws.elbv2().create_listener().load_balancer_arn(desired.need("load_balancer_arn")?);
        let call = call
            .port(i32::from(self.port))
            .protocol(ProtocolEnum::from(desired.need("protocol")?))
            .set_certificates(certificates(desired))
            .set_ssl_policy(desired.text("ssl_policy").map(str::to_owned))
            .default_actions(self.action(desired)?)
            .set_tags(Some(sdk_tags(&Tags::from(desired.value("tags")))));
        call.send().await.or_fail("elasticloadbalancing:CreateListener").map(|_| ())
    }

    async fn update(
        &self,
        _: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let changed = |key| desired.contains_key(key) && observed.value(key) != desired.value(key);
        let actions = changed("redirect_to_port") || changed("forward_to");
        if actions || ["port", "protocol", "certificate_arn", "ssl_policy"].into_iter().any(changed) {
            let call = self.aws.elbv2().modify_listener().listener_arn(observed.need("arn")?);
            let port = desired.value("port").as_i64().and_then(|port| i32::try_from(port).ok());
            let call = call
                .set_port(port)
                .protocol(ProtocolEnum::from(desired.need("protocol")?))
                .set_certificates(certificates(desired))
                .set_ssl_policy(desired.text("ssl_policy").map(str::to_owned));
            let call = if actions { call.default_actions(self.action(desired)?) } else { call };
            call.send().await.or_fail("elasticloadbalancing:ModifyListener")?;
        }
        update_tags(&self.aws, observed, desired).await
    }

    async fn delete(&self, _cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.elbv2().delete_listener().listener_arn(observed.need("arn")?);
        // It may have gone with its load balancer.
        call.send().await.or_gone("elasticloadbalancing:DeleteListener")
    }
}

fn certificates(desired: &Attributes) -> Option<Vec<Certificate>> {
    let arn = desired.text("certificate_arn")?;
    Some(vec![Certificate::builder().certificate_arn(arn).build()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> [String; 2] {
        ["hello-blue".into(), "hello-green".into()]
    }

    fn arn(name: &str) -> String {
        format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/0123456789abcdef")
    }

    fn forwarding(weights: &[(&str, i32)]) -> Description {
        let tuple = |(name, weight): &(&str, i32)| {
            TargetGroupTuple::builder().target_group_arn(arn(name)).weight(*weight).build()
        };
        let config = ForwardActionConfig::builder()
            .set_target_groups(Some(weights.iter().map(tuple).collect()))
            .build();
        let action = ListenerAction::builder().r#type(ActionTypeEnum::Forward).forward_config(config);
        Description::builder().default_actions(action.build()).build()
    }

    #[test]
    fn the_group_with_most_traffic_is_live() {
        assert_eq!(busiest(&forwarding(&[("hello-blue", 10), ("hello-green", 90)]), &groups()), Some(1));
        assert_eq!(busiest(&forwarding(&[("hello-blue", 100), ("hello-green", 0)]), &groups()), Some(0));
        assert_eq!(busiest(&forwarding(&[("hello-green", 1)]), &groups()), Some(1));
        assert_eq!(busiest(&forwarding(&[("another", 1)]), &groups()), None);
    }

    #[test]
    fn a_redirect_says_nothing_of_what_is_live() {
        let listener = Description::builder().default_actions(redirect(443)).build();
        assert_eq!(busiest(&listener, &groups()), None);
    }
}
