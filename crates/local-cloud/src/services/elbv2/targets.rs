//! Targets: registration, draining and health.
//!
//! Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-register-targets.html
//! and API_TargetHealth of the API reference.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{in_range, validation};
use super::{Elbv2State, LoadBalancerType, TargetGroup, names};
use crate::services::Call;
use crate::services::ec2::Ec2State;
use crate::wire::{ApiError, Output};

/// Targets that a group may have
/// (docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html).
const MOST_TARGETS: usize = 1000;

/// A registered target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Target {
    /// An IP address, an instance id or an ARN, as the group's type says.
    pub(crate) id: String,
    /// Nothing for Lambda functions.
    pub(crate) port: Option<u16>,
    zone: Option<String>,
    /// Tells this registration from an earlier one of the same target.
    pub(crate) registration: u64,
    /// Set while it drains: until then requests in flight may finish.
    pub(crate) drains_until: Option<Timestamp>,
    /// What the load balancer reported last.
    pub(crate) reported: Option<Health>,
}

/// The health of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Health {
    /// `initial`, `healthy`, `unhealthy`, `draining`, `unused` or `unavailable`.
    pub(crate) state: String,
    /// Such as `Target.Timeout`; nothing if healthy.
    pub(crate) reason: Option<String>,
    /// For people.
    pub(crate) description: Option<String>,
}

impl Health {
    fn because(state: &str, reason: &str, description: &str) -> Self {
        Self {
            state: state.to_owned(),
            reason: Some(reason.to_owned()),
            description: Some(description.to_owned()),
        }
    }

    /// Registered, but nothing was heard of it.
    fn initial() -> Self {
        Self::because("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
    }

    fn not_registered() -> Self {
        let description = "Target is not registered to the target group";
        Self::because("unused", "Target.NotRegistered", description)
    }

    /// Whether it answers, but not as it should: then it does not merely start.
    pub(crate) fn answers_wrongly(&self) -> bool {
        self.reason.as_deref() == Some("Target.ResponseCodeMismatch")
    }

    /// Nothing is wrong with it.
    pub(crate) fn healthy() -> Self {
        Self { state: "healthy".to_owned(), reason: None, description: None }
    }
}

/// The health of `target` in `group` now.
pub(super) fn health(elbv2: &Elbv2State, group: &TargetGroup, target: &Target, inert: bool) -> Health {
    if target.drains_until.is_some() {
        let description = "Target deregistration is in progress";
        return Health::because("draining", "Target.DeregistrationInProgress", description);
    }
    let users = elbv2.users_of_group(&group.arn);
    if users.is_empty() {
        let description = "Target group is not configured to receive traffic from the load balancer";
        return Health::because("unused", "Target.NotInUse", description);
    }
    let routed = users.iter().filter_map(|arn| elbv2.load_balancers.get(arn));
    let mut kinds = routed.map(|balancer| balancer.kind);
    // Nobody checks the targets of network load balancers: they have no data plane.
    if inert || !kinds.any(|kind| kind == LoadBalancerType::Application) {
        return Health::healthy();
    }
    let reported = target.reported.clone();
    reported
        .filter(|health| !matches!(health.state.as_str(), "unused" | "draining"))
        .unwrap_or_else(Health::initial)
}

/// Removes targets whose draining is over; tells whether there were any.
pub(crate) fn forget_drained(elbv2: &mut Elbv2State, now: Timestamp) -> bool {
    let mut any = false;
    for group in elbv2.target_groups.values_mut() {
        let before = group.targets.len();
        group.targets.retain(|target| target.drains_until.is_none_or(|until| until > now));
        any |= group.targets.len() < before;
    }
    any
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TargetsInput {
    #[serde(default)]
    target_group_arn: String,
    #[serde(default)]
    targets: Vec<TargetDescription>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetDescription {
    #[serde(default)]
    id: String,
    port: Option<i64>,
    availability_zone: Option<String>,
}

fn port_of(group: &TargetGroup, target: &TargetDescription) -> Result<Option<u16>, ApiError> {
    match target.port {
        Some(port) => {
            in_range(port, "targets.1.member.port", 1, 65_535)?;
            Ok(u16::try_from(port).ok())
        }
        None => Ok(group.port),
    }
}

pub(super) fn register(call: &mut Call<'_>, input: &TargetsInput) -> Result<Output, ApiError> {
    names::check_arn(&input.target_group_arn, names::Kind::TargetGroup)?;
    let region = call.region();
    let elbv2 = &mut region.elbv2;
    let group =
        elbv2.target_groups.get_mut(&input.target_group_arn).ok_or_else(super::error::no_target_groups)?;
    if input.targets.is_empty() {
        return Err(validation("At least one target must be specified"));
    }
    let mut new = Vec::new();
    for target in &input.targets {
        check_id(&region.ec2, group, target)?;
        new.push((target, port_of(group, target)?));
    }
    let unknown = |(target, port): &&(&TargetDescription, Option<u16>)| {
        !group.targets.iter().any(|other| other.id == target.id && other.port == *port)
    };
    if group.targets.len() + new.iter().filter(unknown).count() > MOST_TARGETS {
        let message = format!("The following target group has too many targets: '{}'", group.arn);
        return Err(ApiError::sender("TooManyTargets", message));
    }
    for (target, port) in new {
        elbv2.registrations += 1;
        put(group, &target.id, port, target.availability_zone.clone(), elbv2.registrations);
    }
    Ok(Output::empty())
}

/// Registers a target; one that is there stays as it is, one that drains begins afresh.
fn put(group: &mut TargetGroup, id: &str, port: Option<u16>, zone: Option<String>, registration: u64) {
    let same = |target: &Target| target.id == id && target.port == port;
    if group.targets.iter().any(|target| same(target) && target.drains_until.is_none()) {
        return;
    }
    group.targets.retain(|target| !same(target));
    let id = id.to_owned();
    group.targets.push(Target { id, port, zone, registration, drains_until: None, reported: None });
}

impl Elbv2State {
    /// Registers an IP address and port.
    pub(super) fn put_target(&mut self, group: &str, ip: Ipv4Addr, port: u16) -> Result<(), ApiError> {
        self.registrations += 1;
        let registration = self.registrations;
        put(self.group_mut(group)?, &ip.to_string(), Some(port), None, registration);
        Ok(())
    }

    /// Begins the draining of a target. In a group that nobody uses it is gone at once.
    pub(super) fn drain_target(
        &mut self,
        group: &str,
        id: &str,
        port: Option<u16>,
        end: impl Fn(&TargetGroup) -> Timestamp,
    ) -> Result<(), ApiError> {
        let used = !self.users_of_group(group).is_empty();
        let group = self.group_mut(group)?;
        let until = end(group);
        let same = |target: &Target| target.id == id && port.is_none_or(|port| target.port == Some(port));
        if used {
            for target in group.targets.iter_mut().filter(|target| same(target)) {
                target.drains_until.get_or_insert(until);
            }
        } else {
            group.targets.retain(|target| !same(target));
        }
        Ok(())
    }
}

fn check_id(ec2: &Ec2State, group: &TargetGroup, target: &TargetDescription) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::sender("InvalidTarget", message));
    match group.target_type.as_str() {
        "ip" => {
            let Ok(address) = target.id.parse::<IpAddr>() else {
                return Err(validation(format!("The IP address '{}' is not valid", target.id)));
            };
            let inside = match address {
                IpAddr::V4(address) => may_be_target(ec2, group, address),
                IpAddr::V6(_) => true,
            };
            if inside {
                return Ok(());
            }
            invalid(format!(
                "The following targets are not in the target group VPC or in an allowed range: '{}'",
                target.id
            ))
        }
        // There are no instances in the embedded cloud that could be meant.
        "instance" => invalid(format!("The following targets are not in a running state: '{}'", target.id)),
        _ => Ok(()),
    }
}

/// Addresses of the group's VPC, those of RFC 1918 and RFC 6598 (API_TargetDescription), and, in the
/// embedded cloud, loopback: a program that somebody runs by hand.
fn may_be_target(ec2: &Ec2State, group: &TargetGroup, address: Ipv4Addr) -> bool {
    let vpc = group.vpc_id.as_deref().and_then(|id| ec2.vpc(id));
    let shared = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
    vpc.is_some_and(|vpc| vpc.cidr_block.contains(&address))
        || address.is_private()
        || address.is_loopback()
        || shared.contains(&address)
}

/// Targets that are not registered are passed over, as AWS does.
pub(super) fn deregister(call: &mut Call<'_>, input: &TargetsInput) -> Result<Output, ApiError> {
    names::check_arn(&input.target_group_arn, names::Kind::TargetGroup)?;
    let (now, clock) = (call.now, call.settings.clock);
    let elbv2 = &mut call.region().elbv2;
    elbv2.group_mut(&input.target_group_arn)?;
    for target in &input.targets {
        let port = target.port.and_then(|port| u16::try_from(port).ok());
        elbv2.drain_target(&input.target_group_arn, &target.id, port, |group| {
            clock.after(now, group.deregistration_delay())
        })?;
    }
    Ok(Output::empty())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthOutput {
    target_health_descriptions: Vec<HealthDescription>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthDescription {
    target: TargetDescription,
    health_check_port: Option<String>,
    target_health: Health,
    administrative_override: AdministrativeOverride,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AdministrativeOverride {
    state: &'static str,
    reason: &'static str,
    description: &'static str,
}

const NO_OVERRIDE: AdministrativeOverride = AdministrativeOverride {
    state: "no_override",
    reason: "AdministrativeOverride.NoOverride",
    description: "No override is currently active on target",
};

pub(super) fn describe_health(call: &mut Call<'_>, input: &TargetsInput) -> Result<Output, ApiError> {
    names::check_arn(&input.target_group_arn, names::Kind::TargetGroup)?;
    let inert = call.settings.inert;
    let elbv2 = &call.region().elbv2;
    let group =
        elbv2.target_groups.get(&input.target_group_arn).ok_or_else(super::error::no_target_groups)?;
    let check_port = |port: Option<u16>| match group.health_check.port.as_deref() {
        Some("traffic-port") => port.map(|port| port.to_string()),
        port => port.map(str::to_owned),
    };
    let describe = |target: &Target| HealthDescription {
        target: TargetDescription {
            id: target.id.clone(),
            port: target.port.map(i64::from),
            availability_zone: target.zone.clone(),
        },
        health_check_port: check_port(target.port),
        target_health: health(elbv2, group, target, inert),
        administrative_override: NO_OVERRIDE,
    };
    if input.targets.is_empty() {
        let target_health_descriptions = group.targets.iter().map(describe).collect();
        return Output::of(&HealthOutput { target_health_descriptions });
    }
    let mut target_health_descriptions = Vec::new();
    for asked in &input.targets {
        let port = port_of(group, asked)?;
        let same = |target: &&Target| target.id == asked.id && (asked.port.is_none() || target.port == port);
        let before = target_health_descriptions.len();
        target_health_descriptions.extend(group.targets.iter().filter(same).map(describe));
        if target_health_descriptions.len() == before {
            target_health_descriptions.push(HealthDescription {
                target: TargetDescription { port: port.map(i64::from), ..asked.clone() },
                health_check_port: check_port(port),
                target_health: Health::not_registered(),
                administrative_override: NO_OVERRIDE,
            });
        }
    }
    Output::of(&HealthOutput { target_health_descriptions })
}
