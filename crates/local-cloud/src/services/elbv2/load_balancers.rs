//! Load balancers.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attributes::{self, Attribute, Attributes};
use super::error::{configuration, no_load_balancer, no_load_balancers, one_of, validation};
use super::page::page;
use super::{Elbv2State, names, tags};
use crate::services::Call;
use crate::services::ec2::{Ec2State, NewInterface};
use crate::services::tag::{Tag, Tags};
use crate::wire::{ApiError, Iso8601, Output};
use crate::world::{Partition, Region};

/// How long AWS takes, about, until a load balancer is active; shortened, because nothing is built.
const PROVISIONING: Duration = Duration::from_secs(3);

/// A load balancer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadBalancer {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) dns_name: String,
    pub(crate) kind: LoadBalancerType,
    /// `internet-facing` or `internal`.
    scheme: String,
    pub(crate) vpc_id: String,
    subnets: Vec<String>,
    pub(super) security_groups: Vec<String>,
    ip_address_type: String,
    created: Timestamp,
    active_at: Timestamp,
    hosted_zone: String,
    /// Where its listeners are.
    pub(crate) address: Ipv4Addr,
    interfaces: Vec<String>,
    attributes: Attributes,
    pub(super) tags: Tags,
}

/// What kind of load balancer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoadBalancerType {
    Application,
    Network,
    Gateway,
}

impl LoadBalancerType {
    fn known(self) -> &'static [attributes::Known] {
        match self {
            Self::Application => attributes::APPLICATION,
            Self::Network | Self::Gateway => attributes::NETWORK,
        }
    }

    /// The word in ARNs.
    fn short(self) -> &'static str {
        match self {
            Self::Application => "app",
            Self::Network => "net",
            Self::Gateway => "gwy",
        }
    }
}

impl LoadBalancer {
    /// After how much silence connections are closed.
    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.attribute("idle_timeout.timeout_seconds").parse().unwrap_or(60))
    }

    /// The value of an attribute, or its default.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        attributes::value(self.kind.known(), &self.attributes, key)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    load_balancer_arn: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    canonical_hosted_zone_id: String,
    created_time: Iso8601,
    load_balancer_name: String,
    scheme: String,
    vpc_id: String,
    state: State,
    r#type: LoadBalancerType,
    availability_zones: Vec<Zone>,
    security_groups: Vec<String>,
    ip_address_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    code: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Zone {
    zone_name: String,
    subnet_id: String,
    load_balancer_addresses: [String; 0],
}

fn zones(ec2: &Ec2State, subnets: &[String]) -> Vec<Zone> {
    let zone =
        |id: &String| ec2.subnet(id).map(|subnet| subnet.availability_zone.clone()).unwrap_or_default();
    subnets
        .iter()
        .map(|id| Zone { zone_name: zone(id), subnet_id: id.clone(), load_balancer_addresses: [] })
        .collect()
}

fn shown(ec2: &Ec2State, balancer: &LoadBalancer, active: bool) -> Shown {
    Shown {
        load_balancer_arn: balancer.arn.clone(),
        dns_name: balancer.dns_name.clone(),
        canonical_hosted_zone_id: balancer.hosted_zone.clone(),
        created_time: Iso8601(balancer.created),
        load_balancer_name: balancer.name.clone(),
        scheme: balancer.scheme.clone(),
        vpc_id: balancer.vpc_id.clone(),
        state: State { code: if active { "active" } else { "provisioning" } },
        r#type: balancer.kind,
        availability_zones: zones(ec2, &balancer.subnets),
        security_groups: balancer.security_groups.clone(),
        ip_address_type: balancer.ip_address_type.clone(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    #[serde(default)]
    name: String,
    #[serde(default)]
    subnets: Vec<String>,
    #[serde(default)]
    subnet_mappings: Vec<SubnetMapping>,
    #[serde(default)]
    security_groups: Vec<String>,
    scheme: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    r#type: Option<String>,
    ip_address_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SubnetMapping {
    #[serde(default)]
    subnet_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    load_balancers: Vec<Shown>,
    next_marker: Option<String>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    names::check_load_balancer(&input.name)?;
    tags::check(&input.tags)?;
    let kind = type_of(input.r#type.as_deref())?;
    let scheme = input.scheme.as_deref().unwrap_or("internet-facing");
    one_of(scheme, "scheme", &["internet-facing", "internal"])?;
    let ip_address_type = input.ip_address_type.as_deref().unwrap_or("ipv4");
    check_ip_address_type(ip_address_type, scheme)?;
    let (place, now) = (call.place.clone(), call.now);
    let active_at = if call.settings.inert { now } else { call.settings.clock.after(now, PROVISIONING) };
    let addresses = call.state.addresses;
    let region = call.region();
    let subnets = chosen_subnets(&input.subnets, &input.subnet_mappings);
    let vpc_id = check_subnets(&region.ec2, &subnets, kind)?;
    let security_groups = chosen_groups(&region.ec2, &vpc_id, &input.security_groups, kind)?;

    if let Some(same) = region.elbv2.load_balancers.values().find(|other| other.name == input.name) {
        let equal = same.scheme == scheme
            && same.kind == kind
            && in_any_order(&same.subnets, &subnets)
            && in_any_order(&same.security_groups, &security_groups)
            && same.ip_address_type == ip_address_type;
        if equal {
            let shown = shown(&region.ec2, same, same.active_at <= now);
            return Output::of(&ListOutput { load_balancers: vec![shown], next_marker: None });
        }
        let message = format!(
            "A load balancer with the same name '{}' exists, but with different settings",
            input.name
        );
        return Err(ApiError::sender("DuplicateLoadBalancerName", message));
    }
    let id = names::fresh_id();
    let tail = format!("{}/{}/{id}", kind.short(), input.name);
    let taken: Vec<Ipv4Addr> = region.elbv2.load_balancers.values().map(|other| other.address).collect();
    let mut balancer = LoadBalancer {
        arn: names::arn(&place, &format!("loadbalancer/{tail}")),
        name: input.name.clone(),
        dns_name: names::dns_name(&place, &input.name, &id, kind, scheme == "internal"),
        kind,
        scheme: scheme.to_owned(),
        vpc_id,
        subnets,
        security_groups,
        ip_address_type: ip_address_type.to_owned(),
        created: now,
        active_at,
        hosted_zone: names::hosted_zone(&place.region, kind).to_owned(),
        address: addresses.load_balancer(&place_name(&place), &input.name, &taken),
        interfaces: vec![],
        attributes: Attributes::new(),
        tags: input.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
    };
    place_interfaces(&mut region.ec2, &mut balancer)?;
    let shown = shown(&region.ec2, &balancer, false);
    region.elbv2.load_balancers.insert(balancer.arn.clone(), balancer);
    Output::of(&ListOutput { load_balancers: vec![shown], next_marker: None })
}

fn in_any_order(some: &[String], others: &[String]) -> bool {
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    set(some) == set(others)
}

fn place_name(place: &Partition) -> String {
    format!("{}/{}", place.account, place.region)
}

fn type_of(name: Option<&str>) -> Result<LoadBalancerType, ApiError> {
    Ok(match name.unwrap_or("application") {
        "application" => LoadBalancerType::Application,
        "network" => LoadBalancerType::Network,
        "gateway" => LoadBalancerType::Gateway,
        other => {
            one_of(other, "type", &["application", "network", "gateway"])?;
            LoadBalancerType::Application
        }
    })
}

fn check_ip_address_type(name: &str, scheme: &str) -> Result<(), ApiError> {
    one_of(name, "ipAddressType", &["ipv4", "dualstack", "dualstack-without-public-ipv4"])?;
    if scheme == "internal" && name == "dualstack-without-public-ipv4" {
        return Err(configuration(
            "Internal load balancers cannot have the IP address type 'dualstack-without-public-ipv4'",
        ));
    }
    Ok(())
}

fn chosen_subnets(subnets: &[String], mappings: &[SubnetMapping]) -> Vec<String> {
    subnets.iter().cloned().chain(mappings.iter().map(|mapping| mapping.subnet_id.clone())).collect()
}

/// Checks the subnets and tells their VPC.
fn check_subnets(ec2: &Ec2State, subnets: &[String], kind: LoadBalancerType) -> Result<String, ApiError> {
    if subnets.is_empty() {
        return Err(validation("You must specify subnets"));
    }
    let mut zones: Vec<&str> = Vec::new();
    let mut vpc: Option<&str> = None;
    for id in subnets {
        let subnet = ec2.subnet(id).ok_or_else(|| {
            ApiError::sender("SubnetNotFound", format!("The subnet ID '{id}' does not exist"))
        })?;
        if *vpc.get_or_insert(&subnet.vpc_id) != subnet.vpc_id {
            return Err(configuration("Subnets must be in the same VPC"));
        }
        if zones.contains(&subnet.availability_zone.as_str()) {
            return Err(configuration(
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
        zones.push(&subnet.availability_zone);
    }
    if kind == LoadBalancerType::Application && zones.len() < 2 {
        return Err(validation("At least two subnets in two different Availability Zones must be specified"));
    }
    Ok(vpc.unwrap_or_default().to_owned())
}

fn chosen_groups(
    ec2: &Ec2State,
    vpc: &str,
    groups: &[String],
    kind: LoadBalancerType,
) -> Result<Vec<String>, ApiError> {
    for id in groups {
        let group = ec2.group(id).ok_or_else(|| {
            let message = format!("The security group '{id}' does not exist");
            ApiError::sender("InvalidSecurityGroup", message)
        })?;
        if group.vpc_id != vpc {
            return Err(configuration("One or more security groups are invalid"));
        }
    }
    if groups.is_empty() && kind == LoadBalancerType::Application {
        // docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-update-security-groups.html
        return Ok(ec2.default_group(vpc).map(|group| group.group_id.clone()).into_iter().collect());
    }
    Ok(groups.to_vec())
}

/// Gives the load balancer an interface in each of its subnets.
fn place_interfaces(ec2: &mut Ec2State, balancer: &mut LoadBalancer) -> Result<(), ApiError> {
    for id in std::mem::take(&mut balancer.interfaces) {
        ec2.remove_interface(&id);
    }
    for subnet_id in &balancer.subnets {
        let interface = ec2.add_interface(NewInterface {
            subnet_id,
            groups: &balancer.security_groups,
            description: format!("ELB {}", names::tail(&balancer.arn, "loadbalancer/")),
            requester: "amazon-elb",
            public_ip: balancer.scheme == "internet-facing",
        })?;
        balancer.interfaces.push(interface.network_interface_id);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ArnInput {
    #[serde(default)]
    load_balancer_arn: String,
}

/// Its listeners and their rules go with it; the target groups stay.
pub(super) fn delete(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    names::check_arn(&input.load_balancer_arn, names::Kind::LoadBalancer)?;
    let region = call.region();
    let Some(balancer) = region.elbv2.load_balancers.get(&input.load_balancer_arn) else {
        return Ok(Output::empty());
    };
    if balancer.attributes.get("deletion_protection.enabled").is_some_and(|value| value == "true") {
        let message = format!(
            "Load balancer '{}' cannot be deleted because deletion protection is enabled",
            input.load_balancer_arn
        );
        return Err(ApiError::sender("OperationNotPermitted", message));
    }
    let interfaces = balancer.interfaces.clone();
    interfaces.iter().for_each(|id| region.ec2.remove_interface(id));
    let elbv2 = &mut region.elbv2;
    elbv2.load_balancers.shift_remove(&input.load_balancer_arn);
    elbv2.listeners.retain(|_, listener| listener.load_balancer_arn != input.load_balancer_arn);
    let listeners = &elbv2.listeners;
    elbv2.rules.retain(|_, rule| listeners.contains_key(&rule.listener_arn));
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    load_balancer_arns: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    marker: Option<String>,
    page_size: Option<i64>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let now = call.now;
    let region = call.region();
    let balancers = &region.elbv2.load_balancers;
    if !input.load_balancer_arns.is_empty() && !input.names.is_empty() {
        return Err(validation(
            "Load balancer names and load balancer ARNs cannot be specified at the same time",
        ));
    }
    names::check_arns(&input.load_balancer_arns, names::Kind::LoadBalancer)?;
    let unknown_arn = input.load_balancer_arns.iter().any(|arn| !balancers.contains_key(arn));
    let unknown_name = input.names.iter().any(|name| !balancers.values().any(|other| other.name == *name));
    if unknown_arn || unknown_name {
        return Err(no_load_balancers());
    }
    let found = balancers
        .values()
        .filter(|balancer| {
            (input.load_balancer_arns.is_empty() || input.load_balancer_arns.contains(&balancer.arn))
                && (input.names.is_empty() || input.names.contains(&balancer.name))
        })
        .map(|balancer| shown(&region.ec2, balancer, balancer.active_at <= now))
        .collect();
    let (load_balancers, next_marker) = page(found, input.page_size, input.marker.as_deref())?;
    Output::of(&ListOutput { load_balancers, next_marker })
}

impl Elbv2State {
    fn load_balancer_mut(&mut self, arn: &str) -> Result<&mut LoadBalancer, ApiError> {
        names::check_arn(arn, names::Kind::LoadBalancer)?;
        self.load_balancers.get_mut(arn).ok_or_else(|| no_load_balancer(arn))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyAttributesInput {
    #[serde(default)]
    load_balancer_arn: String,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributesOutput {
    pub(super) attributes: Vec<Attribute>,
}

pub(super) fn describe_attributes(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    let balancer = call.region().elbv2.load_balancer_mut(&input.load_balancer_arn)?;
    Output::of(&AttributesOutput { attributes: attributes::all(balancer.kind.known(), &balancer.attributes) })
}

pub(super) fn modify_attributes(
    call: &mut Call<'_>,
    input: &ModifyAttributesInput,
) -> Result<Output, ApiError> {
    let balancer = call.region().elbv2.load_balancer_mut(&input.load_balancer_arn)?;
    attributes::set(balancer.kind.known(), "Load balancer", &mut balancer.attributes, &input.attributes)?;
    Output::of(&AttributesOutput { attributes: attributes::all(balancer.kind.known(), &balancer.attributes) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct IpAddressTypeInput {
    #[serde(default)]
    load_balancer_arn: String,
    #[serde(default)]
    ip_address_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IpAddressTypeOutput<'a> {
    ip_address_type: &'a str,
}

pub(super) fn set_ip_address_type(
    call: &mut Call<'_>,
    input: &IpAddressTypeInput,
) -> Result<Output, ApiError> {
    let balancer = call.region().elbv2.load_balancer_mut(&input.load_balancer_arn)?;
    check_ip_address_type(&input.ip_address_type, &balancer.scheme)?;
    balancer.ip_address_type.clone_from(&input.ip_address_type);
    Output::of(&IpAddressTypeOutput { ip_address_type: &input.ip_address_type })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SecurityGroupsInput {
    #[serde(default)]
    load_balancer_arn: String,
    #[serde(default)]
    security_groups: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityGroupsOutput<'a> {
    security_group_ids: &'a [String],
}

pub(super) fn set_security_groups(
    call: &mut Call<'_>,
    input: &SecurityGroupsInput,
) -> Result<Output, ApiError> {
    let Region { elbv2, ec2, .. } = call.region();
    let balancer = elbv2.load_balancer_mut(&input.load_balancer_arn)?;
    if input.security_groups.is_empty() {
        return Err(configuration("At least one security group must be specified"));
    }
    let groups = chosen_groups(ec2, &balancer.vpc_id, &input.security_groups, balancer.kind)?;
    balancer.security_groups = groups;
    for id in &balancer.interfaces {
        ec2.set_interface_groups(id, &balancer.security_groups);
    }
    Output::of(&SecurityGroupsOutput { security_group_ids: &balancer.security_groups })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SubnetsInput {
    #[serde(default)]
    load_balancer_arn: String,
    #[serde(default)]
    subnets: Vec<String>,
    #[serde(default)]
    subnet_mappings: Vec<SubnetMapping>,
    ip_address_type: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SubnetsOutput {
    availability_zones: Vec<Zone>,
    ip_address_type: String,
}

pub(super) fn set_subnets(call: &mut Call<'_>, input: &SubnetsInput) -> Result<Output, ApiError> {
    let Region { elbv2, ec2, .. } = call.region();
    let balancer = elbv2.load_balancer_mut(&input.load_balancer_arn)?;
    let subnets = chosen_subnets(&input.subnets, &input.subnet_mappings);
    if check_subnets(ec2, &subnets, balancer.kind)? != balancer.vpc_id {
        return Err(configuration("Subnets must be in the VPC of the load balancer"));
    }
    if let Some(kind) = &input.ip_address_type {
        check_ip_address_type(kind, &balancer.scheme)?;
        balancer.ip_address_type.clone_from(kind);
    }
    balancer.subnets = subnets;
    place_interfaces(ec2, balancer)?;
    Output::of(&SubnetsOutput {
        availability_zones: zones(ec2, &balancer.subnets),
        ip_address_type: balancer.ip_address_type.clone(),
    })
}
