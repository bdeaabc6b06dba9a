//! Target groups.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attributes::{self, Attribute, Attributes};
use super::error::{in_range, no_target_groups, one_of, validation};
use super::health_check::{Asked, Matcher};
use super::load_balancers::AttributesOutput;
use super::page::page;
use super::{Elbv2State, HealthCheck, Target, names, tags};
use crate::services::Call;
use crate::services::tag::{Tag, Tags};
use crate::wire::{ApiError, Output};

/// A target group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TargetGroup {
    pub(crate) arn: String,
    pub(crate) name: String,
    /// HTTP, HTTPS, TCP, …; nothing for Lambda functions.
    pub(crate) protocol: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) vpc_id: Option<String>,
    /// `instance`, `ip`, `lambda` or `alb`.
    pub(crate) target_type: String,
    protocol_version: Option<String>,
    ip_address_type: Option<String>,
    pub(crate) health_check: HealthCheck,
    attributes: Attributes,
    pub(super) tags: Tags,
    /// Those that are registered, and those that drain.
    pub(crate) targets: Vec<Target>,
}

impl TargetGroup {
    fn known(&self) -> &'static [attributes::Known] {
        match (self.target_type.as_str(), self.protocol.as_deref()) {
            ("lambda", _) => attributes::LAMBDA_GROUP,
            (_, Some("HTTP" | "HTTPS")) => attributes::HTTP_GROUP,
            _ => attributes::TCP_GROUP,
        }
    }

    /// The value of an attribute, such as `stickiness.enabled`.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        attributes::value(self.known(), &self.attributes, key)
    }

    fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.attribute(key).parse().unwrap_or_default())
    }

    /// How long requests in flight may take once their target is deregistered.
    pub(crate) fn deregistration_delay(&self) -> Duration {
        self.seconds("deregistration_delay.timeout_seconds")
    }

    /// How long a target's share grows after it became healthy; zero if it does not.
    pub(crate) fn slow_start(&self) -> Duration {
        self.seconds("slow_start.duration_seconds")
    }

    /// How long a client stays with its target, if it does.
    pub(crate) fn stickiness(&self) -> Option<Duration> {
        let kind = self.attribute("stickiness.type").to_owned();
        (self.attribute("stickiness.enabled") == "true")
            .then(|| self.seconds(&format!("stickiness.{kind}.duration_seconds")))
    }

    /// Whether an application load balancer can send to it.
    pub(crate) fn speaks_http(&self) -> bool {
        matches!(self.protocol.as_deref(), Some("HTTP" | "HTTPS"))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    target_group_arn: String,
    target_group_name: String,
    protocol: Option<String>,
    port: Option<u16>,
    vpc_id: Option<String>,
    health_check_protocol: Option<String>,
    health_check_port: Option<String>,
    health_check_enabled: bool,
    health_check_interval_seconds: i64,
    health_check_timeout_seconds: i64,
    healthy_threshold_count: i64,
    unhealthy_threshold_count: i64,
    health_check_path: Option<String>,
    matcher: Option<Matcher>,
    load_balancer_arns: Vec<String>,
    target_type: String,
    protocol_version: Option<String>,
    ip_address_type: Option<String>,
}

fn shown(elbv2: &Elbv2State, group: &TargetGroup) -> Shown {
    let check = &group.health_check;
    Shown {
        target_group_arn: group.arn.clone(),
        target_group_name: group.name.clone(),
        protocol: group.protocol.clone(),
        port: group.port,
        vpc_id: group.vpc_id.clone(),
        health_check_protocol: check.protocol.clone(),
        health_check_port: check.port.clone(),
        health_check_enabled: check.enabled,
        health_check_interval_seconds: check.interval_seconds(),
        health_check_timeout_seconds: check.timeout_seconds(),
        healthy_threshold_count: check.healthy_threshold,
        unhealthy_threshold_count: check.unhealthy_threshold,
        health_check_path: check.path.clone(),
        matcher: check.matcher.clone(),
        load_balancer_arns: elbv2.users_of_group(&group.arn),
        target_type: group.target_type.clone(),
        protocol_version: group.protocol_version.clone(),
        ip_address_type: group.ip_address_type.clone(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SettingsInput {
    #[serde(default)]
    name: String,
    #[serde(default)]
    target_group_arn: String,
    protocol: Option<String>,
    protocol_version: Option<String>,
    port: Option<i64>,
    vpc_id: Option<String>,
    health_check_protocol: Option<String>,
    health_check_port: Option<String>,
    health_check_enabled: Option<bool>,
    health_check_path: Option<String>,
    health_check_interval_seconds: Option<i64>,
    health_check_timeout_seconds: Option<i64>,
    healthy_threshold_count: Option<i64>,
    unhealthy_threshold_count: Option<i64>,
    matcher: Option<Matcher>,
    target_type: Option<String>,
    ip_address_type: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl SettingsInput {
    fn asked(&self, protocol: Option<&str>) -> Asked<'_> {
        Asked {
            protocol: self.health_check_protocol.as_deref(),
            port: self.health_check_port.as_deref(),
            enabled: self.health_check_enabled,
            path: self.health_check_path.as_deref(),
            interval: self.health_check_interval_seconds,
            timeout: self.health_check_timeout_seconds,
            healthy: self.healthy_threshold_count,
            unhealthy: self.unhealthy_threshold_count,
            matcher: self.matcher.as_ref(),
            over_http: matches!(protocol, Some("HTTP" | "HTTPS")),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    target_groups: Vec<Shown>,
    next_marker: Option<String>,
}

fn one(elbv2: &Elbv2State, group: &TargetGroup) -> Result<Output, ApiError> {
    Output::of(&ListOutput { target_groups: vec![shown(elbv2, group)], next_marker: None })
}

pub(super) fn create(call: &mut Call<'_>, input: &SettingsInput) -> Result<Output, ApiError> {
    names::check_group(&input.name)?;
    tags::check(&input.tags)?;
    let target_type = input.target_type.as_deref().unwrap_or("instance");
    one_of(target_type, "targetType", &["instance", "ip", "lambda", "alb"])?;
    let port = check_place(input, target_type)?;
    let place = call.place.clone();
    let region = call.region();
    if let Some(vpc) = input.vpc_id.as_deref().filter(|vpc| region.ec2.vpc(vpc).is_none()) {
        return Err(validation(format!("The VPC ID '{vpc}' is not found")));
    }
    let protocol = input.protocol.clone();
    let http = matches!(protocol.as_deref(), Some("HTTP" | "HTTPS"));
    let protocol_version = match input.protocol_version.as_deref() {
        Some(version) => {
            one_of(version, "protocolVersion", &["HTTP1", "HTTP2", "GRPC"])?;
            Some(version.to_owned())
        }
        None => http.then(|| "HTTP1".to_owned()),
    };
    let default = HealthCheck::default_for(protocol.as_deref(), target_type, protocol_version.as_deref());
    let group = TargetGroup {
        arn: names::arn(&place, &format!("targetgroup/{}/{}", input.name, names::fresh_id())),
        name: input.name.clone(),
        protocol,
        port,
        vpc_id: input.vpc_id.clone(),
        target_type: target_type.to_owned(),
        protocol_version,
        ip_address_type: (target_type != "lambda")
            .then(|| input.ip_address_type.clone().unwrap_or_else(|| "ipv4".to_owned())),
        health_check: default.with(&input.asked(input.protocol.as_deref()))?,
        attributes: Attributes::new(),
        tags: input.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
        targets: vec![],
    };
    let elbv2 = &mut region.elbv2;
    if let Some(same) = elbv2.target_groups.values().find(|other| other.name == group.name) {
        let equal = same.protocol == group.protocol
            && same.port == group.port
            && same.vpc_id == group.vpc_id
            && same.target_type == group.target_type
            && same.health_check == group.health_check;
        if equal {
            return one(elbv2, same);
        }
        let message =
            format!("A target group with the same name '{}' exists, but with different settings", group.name);
        return Err(ApiError::sender("DuplicateTargetGroupName", message));
    }
    let answer = one(elbv2, &group)?;
    elbv2.target_groups.insert(group.arn.clone(), group);
    Ok(answer)
}

/// Checks protocol, port and VPC, which every type but `lambda` needs.
fn check_place(input: &SettingsInput, target_type: &str) -> Result<Option<u16>, ApiError> {
    if target_type == "lambda" {
        let given = [
            (input.protocol.is_some(), "Protocol"),
            (input.port.is_some(), "Port"),
            (input.vpc_id.is_some(), "VPC ID"),
        ];
        return match given.iter().find(|(given, _)| *given) {
            None => Ok(None),
            Some((_, what)) => Err(validation(format!(
                "{what} cannot be specified for target groups with target type 'lambda'"
            ))),
        };
    }
    let Some(protocol) = &input.protocol else {
        return Err(validation("A protocol must be specified"));
    };
    let protocols = ["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC"];
    one_of(protocol, "protocol", &protocols)?;
    let Some(port) = input.port else {
        return Err(validation("A port must be specified"));
    };
    in_range(port, "port", 1, 65_535)?;
    if input.vpc_id.is_none() {
        return Err(validation("A VPC ID must be specified"));
    }
    Ok(u16::try_from(port).ok())
}

impl Elbv2State {
    pub(super) fn group_mut(&mut self, arn: &str) -> Result<&mut TargetGroup, ApiError> {
        self.target_groups.get_mut(arn).ok_or_else(no_target_groups)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ArnInput {
    #[serde(default)]
    target_group_arn: String,
}

/// Deleting a group that is not there succeeds.
pub(super) fn delete(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    names::check_arn(&input.target_group_arn, names::Kind::TargetGroup)?;
    let elbv2 = &mut call.region().elbv2;
    let arn = &input.target_group_arn;
    if elbv2.actions().any(|(_, actions)| actions.iter().any(|action| action.forwards_to(arn))) {
        let message = format!("Target group '{arn}' is currently in use by a listener or a rule");
        return Err(ApiError::sender("ResourceInUse", message));
    }
    elbv2.target_groups.shift_remove(arn);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    load_balancer_arn: Option<String>,
    #[serde(default)]
    target_group_arns: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    marker: Option<String>,
    page_size: Option<i64>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let elbv2 = &call.region().elbv2;
    let groups = &elbv2.target_groups;
    let ways =
        [input.load_balancer_arn.is_some(), !input.target_group_arns.is_empty(), !input.names.is_empty()];
    if ways.iter().filter(|given| **given).count() > 1 {
        return Err(validation(
            "Target group names, target group ARNs and a load balancer ARN cannot be specified at the same time",
        ));
    }
    names::check_arns(&input.load_balancer_arn, names::Kind::LoadBalancer)?;
    names::check_arns(&input.target_group_arns, names::Kind::TargetGroup)?;
    if let Some(arn) =
        input.load_balancer_arn.as_deref().filter(|arn| !elbv2.load_balancers.contains_key(*arn))
    {
        return Err(super::error::no_load_balancer(arn));
    }
    let unknown_arn = input.target_group_arns.iter().any(|arn| !groups.contains_key(arn));
    let unknown_name = input.names.iter().any(|name| !groups.values().any(|group| group.name == *name));
    if unknown_arn || unknown_name {
        return Err(no_target_groups());
    }
    let mut found: Vec<Shown> = groups
        .values()
        .filter(|group| {
            (input.target_group_arns.is_empty() || input.target_group_arns.contains(&group.arn))
                && (input.names.is_empty() || input.names.contains(&group.name))
        })
        .map(|group| shown(elbv2, group))
        .filter(|group| {
            input.load_balancer_arn.as_ref().is_none_or(|arn| group.load_balancer_arns.contains(arn))
        })
        .collect();
    found.sort_by(|a, b| a.target_group_name.cmp(&b.target_group_name));
    let (target_groups, next_marker) = page(found, input.page_size, input.marker.as_deref())?;
    Output::of(&ListOutput { target_groups, next_marker })
}

pub(super) fn modify(call: &mut Call<'_>, input: &SettingsInput) -> Result<Output, ApiError> {
    names::check_arn(&input.target_group_arn, names::Kind::TargetGroup)?;
    let elbv2 = &mut call.region().elbv2;
    let group = elbv2.group_mut(&input.target_group_arn)?;
    group.health_check = group.health_check.with(&input.asked(group.protocol.as_deref()))?;
    let group = group.clone();
    one(elbv2, &group)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyAttributesInput {
    #[serde(default)]
    target_group_arn: String,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

pub(super) fn describe_attributes(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    names::check_arn(&input.target_group_arn, names::Kind::TargetGroup)?;
    let group = call.region().elbv2.group_mut(&input.target_group_arn)?;
    Output::of(&AttributesOutput { attributes: attributes::all(group.known(), &group.attributes) })
}

pub(super) fn modify_attributes(
    call: &mut Call<'_>,
    input: &ModifyAttributesInput,
) -> Result<Output, ApiError> {
    names::check_arn(&input.target_group_arn, names::Kind::TargetGroup)?;
    let group = call.region().elbv2.group_mut(&input.target_group_arn)?;
    attributes::set(group.known(), "Target group", &mut group.attributes, &input.attributes)?;
    Output::of(&AttributesOutput { attributes: attributes::all(group.known(), &group.attributes) })
}
