//! Rules of security groups.

mod changes;
mod shown;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::{invalid_value, missing_parameter, no_group};
use super::tags::{TagSpecification, specified};
use super::{Ec2State, ids};
use crate::services::Call;
use crate::services::tag::Tag;
use crate::wire::{ApiError, Output};

pub(super) use changes::{modify, update_descriptions};
pub(super) use shown::describe;
use shown::{Shown, shown};

/// Rules that a group may have in each direction
/// (docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html).
const MOST_RULES: usize = 60;

/// Which way traffic goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// One rule: one peer, one range of ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) egress: bool,
    protocol: String,
    from_port: Option<i64>,
    to_port: Option<i64>,
    peer: Peer,
    description: Option<String>,
}

/// The other side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Peer {
    Cidr(IpNet),
    Group(String),
    PrefixList(String),
}

impl Rule {
    /// Everything from members of a group.
    pub(super) fn from_group(id: String, group: &str) -> Self {
        let peer = Peer::Group(group.to_owned());
        Self {
            id,
            egress: false,
            protocol: "-1".into(),
            from_port: None,
            to_port: None,
            peer,
            description: None,
        }
    }

    /// Everything to everywhere.
    pub(super) fn to_anywhere(id: String) -> Self {
        let peer = Peer::Cidr(IpNet::new_assert(IpAddr::from([0, 0, 0, 0]), 0));
        Self {
            id,
            egress: true,
            protocol: "-1".into(),
            from_port: None,
            to_port: None,
            peer,
            description: None,
        }
    }

    pub(super) fn peer_group(&self) -> Option<&String> {
        match &self.peer {
            Peer::Group(group) => Some(group),
            _ => None,
        }
    }

    /// Equal but for id and description.
    fn same_as(&self, other: &Self) -> bool {
        self.egress == other.egress
            && self.protocol == other.protocol
            && self.from_port == other.from_port
            && self.to_port == other.to_port
            && self.peer == other.peer
    }

    /// What a filter on `ip-permission.…` looks at; nothing if there is no such filter.
    pub(super) fn detail(&self, name: &str) -> Option<String> {
        let port = |port: Option<i64>| port.unwrap_or(-1).to_string();
        Some(match (name, &self.peer) {
            ("protocol", _) => self.protocol.clone(),
            ("from-port", _) => port(self.from_port),
            ("to-port", _) => port(self.to_port),
            ("cidr", Peer::Cidr(IpNet::V4(net))) => net.to_string(),
            ("ipv6-cidr", Peer::Cidr(IpNet::V6(net))) => net.to_string(),
            ("group-id", Peer::Group(group)) => group.clone(),
            ("prefix-list-id", Peer::PrefixList(list)) => list.clone(),
            ("cidr" | "ipv6-cidr" | "group-id" | "prefix-list-id" | "group-name" | "user-id", _) => {
                String::new()
            }
            _ => return None,
        })
    }

    fn describe_in_words(&self) -> String {
        let peer = match &self.peer {
            Peer::Cidr(net) => net.to_string(),
            Peer::Group(id) | Peer::PrefixList(id) => id.clone(),
        };
        match (self.protocol.as_str(), self.from_port, self.to_port) {
            ("-1", ..) => format!("peer: {peer}, ALL, ALLOW"),
            (protocol, Some(from), Some(to)) => {
                let protocol = protocol.to_uppercase();
                format!("peer: {peer}, {protocol}, from port: {from}, to port: {to}, ALLOW")
            }
            (protocol, ..) => format!("peer: {peer}, {}, ALLOW", protocol.to_uppercase()),
        }
    }
}

/// Rules of equal ports as DescribeSecurityGroups shows them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Permission {
    ip_protocol: String,
    from_port: Option<i64>,
    to_port: Option<i64>,
    groups: Vec<GroupPair>,
    ip_ranges: Vec<Range4>,
    ipv6_ranges: Vec<Range6>,
    prefix_list_ids: Vec<PrefixList>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupPair {
    user_id: String,
    group_id: String,
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Range4 {
    cidr_ip: String,
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Range6 {
    cidr_ipv6: String,
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrefixList {
    prefix_list_id: String,
    description: Option<String>,
}

/// Puts rules of equal ports together.
pub(super) fn permissions<'a>(account: &str, rules: impl Iterator<Item = &'a Rule>) -> Vec<Permission> {
    let mut found: Vec<Permission> = Vec::new();
    for rule in rules {
        let same = |p: &Permission| {
            p.ip_protocol == rule.protocol && p.from_port == rule.from_port && p.to_port == rule.to_port
        };
        let index = found.iter().position(same).unwrap_or_else(|| {
            found.push(Permission {
                ip_protocol: rule.protocol.clone(),
                from_port: rule.from_port,
                to_port: rule.to_port,
                groups: vec![],
                ip_ranges: vec![],
                ipv6_ranges: vec![],
                prefix_list_ids: vec![],
            });
            found.len() - 1
        });
        let permission = &mut found[index];
        let description = rule.description.clone();
        match &rule.peer {
            Peer::Cidr(IpNet::V4(net)) => {
                permission.ip_ranges.push(Range4 { cidr_ip: net.to_string(), description });
            }
            Peer::Cidr(IpNet::V6(net)) => {
                permission.ipv6_ranges.push(Range6 { cidr_ipv6: net.to_string(), description });
            }
            Peer::Group(group) => permission.groups.push(GroupPair {
                user_id: account.to_owned(),
                group_id: group.clone(),
                description,
            }),
            Peer::PrefixList(list) => {
                permission.prefix_list_ids.push(PrefixList { prefix_list_id: list.clone(), description });
            }
        }
    }
    found
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RulesInput {
    group_id: Option<String>,
    group_name: Option<String>,
    #[serde(default)]
    ip_permissions: Vec<PermissionInput>,
    // The short form: one rule without a list.
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ip: Option<String>,
    source_security_group_name: Option<String>,
    #[serde(default)]
    security_group_rule_id: Vec<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PermissionInput {
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    #[serde(default, alias = "UserIdGroupPairs")]
    groups: Vec<PeerInput>,
    #[serde(default)]
    ip_ranges: Vec<PeerInput>,
    #[serde(default)]
    ipv6_ranges: Vec<PeerInput>,
    #[serde(default)]
    prefix_list_ids: Vec<PeerInput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PeerInput {
    cidr_ip: Option<String>,
    cidr_ipv6: Option<String>,
    group_id: Option<String>,
    group_name: Option<String>,
    prefix_list_id: Option<String>,
    description: Option<String>,
}

/// The rules that a request asks for.
fn asked(ec2: &Ec2State, input: &RulesInput, direction: Direction) -> Result<Vec<Rule>, ApiError> {
    let mut rules = Vec::new();
    for permission in &input.ip_permissions {
        let ports = ports(&permission.ip_protocol, permission.from_port, permission.to_port)?;
        let lists =
            [&permission.groups, &permission.ip_ranges, &permission.ipv6_ranges, &permission.prefix_list_ids];
        for peer in lists.into_iter().flatten() {
            rules.push(rule(&ports, direction, peer_of(ec2, peer)?, peer.description.clone()));
        }
    }
    if input.ip_permissions.is_empty()
        && (input.cidr_ip.is_some() || input.source_security_group_name.is_some())
    {
        let protocol = match (&input.ip_protocol, &input.source_security_group_name) {
            (None, Some(_)) => Some("-1".to_owned()),
            (protocol, _) => protocol.clone(),
        };
        let ports = ports(&protocol, input.from_port, input.to_port)?;
        let peer = PeerInput {
            cidr_ip: input.cidr_ip.clone(),
            cidr_ipv6: None,
            group_id: None,
            group_name: input.source_security_group_name.clone(),
            prefix_list_id: None,
            description: None,
        };
        rules.push(rule(&ports, direction, peer_of(ec2, &peer)?, None));
    }
    Ok(rules)
}

struct Ports {
    protocol: String,
    from: Option<i64>,
    to: Option<i64>,
}

fn rule(ports: &Ports, direction: Direction, peer: Peer, description: Option<String>) -> Rule {
    Rule {
        id: ids::fresh("sgr"),
        egress: direction == Direction::Egress,
        protocol: ports.protocol.clone(),
        from_port: ports.from,
        to_port: ports.to,
        peer,
        description,
    }
}

fn ports(protocol: &Option<String>, from: Option<i64>, to: Option<i64>) -> Result<Ports, ApiError> {
    let given = protocol.as_deref().ok_or_else(|| missing_parameter("ipProtocol"))?;
    let protocol = match given.to_ascii_lowercase().as_str() {
        "6" | "tcp" => "tcp".to_owned(),
        "17" | "udp" => "udp".to_owned(),
        "1" | "icmp" => "icmp".to_owned(),
        "58" | "icmpv6" => "icmpv6".to_owned(),
        "-1" | "all" => return Ok(Ports { protocol: "-1".to_owned(), from: None, to: None }),
        number if number.parse::<u8>().is_ok() => {
            return Ok(Ports { protocol: number.to_owned(), from: None, to: None });
        }
        _ => {
            return Err(invalid_value(format!("Invalid value '{given}' for IP protocol. Unknown protocol.")));
        }
    };
    let icmp = protocol.starts_with("icmp");
    let (from, to) = match (from, to) {
        (Some(from), Some(to)) => (from, to),
        (None, None) if icmp => (-1, -1),
        (Some(from), None) if icmp => (from, -1),
        _ => {
            return Err(invalid_value(
                "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
            ));
        }
    };
    let in_range = |port: i64| (0..=65_535).contains(&port);
    let sound = icmp || (in_range(from) && in_range(to));
    if !sound {
        let wrong = if in_range(from) { to } else { from };
        return Err(invalid_value(format!(
            "Invalid value '{wrong}' for portRange. Must be between 0 and 65535."
        )));
    }
    if !icmp && from > to {
        return Err(invalid_value(format!(
            "Invalid value '{from}-{to}' for portRange. The from port must not be larger than the to port."
        )));
    }
    Ok(Ports { protocol, from: Some(from), to: Some(to) })
}

fn peer_of(ec2: &Ec2State, peer: &PeerInput) -> Result<Peer, ApiError> {
    if let Some(text) = peer.cidr_ip.as_ref().or(peer.cidr_ipv6.as_ref()) {
        let net: IpNet =
            text.parse().map_err(|_| invalid_value(format!("CIDR block {text} is malformed")))?;
        let wanted_v4 = peer.cidr_ip.is_some();
        if wanted_v4 != matches!(net, IpNet::V4(_)) {
            return Err(invalid_value(format!("CIDR block {text} is malformed")));
        }
        return Ok(Peer::Cidr(net.trunc()));
    }
    if let Some(list) = &peer.prefix_list_id {
        return Ok(Peer::PrefixList(list.clone()));
    }
    ec2.named_group(peer.group_id.as_deref(), peer.group_name.as_deref()).map(Peer::Group)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizeOutput {
    r#return: bool,
    security_group_rule_set: Vec<Shown>,
}

pub(super) fn authorize(
    call: &mut Call<'_>,
    input: &RulesInput,
    direction: Direction,
) -> Result<Output, ApiError> {
    let tags = specified(&input.tag_specification, "security-group-rule")?;
    let place = call.place.clone();
    let ec2 = &mut call.region().ec2;
    let id = ec2.named_group(input.group_id.as_deref(), input.group_name.as_deref())?;
    let new = asked(ec2, input, direction)?;
    if new.is_empty() {
        return Err(missing_parameter("ipPermissions"));
    }
    let group = ec2.groups.get_mut(&id).ok_or_else(|| no_group(&id))?;
    for (index, rule) in new.iter().enumerate() {
        let earlier = &new[..index];
        if earlier.iter().any(|other| other.same_as(rule)) {
            return Err(invalid_value("The same permission must not appear multiple times"));
        }
        if group.rules.iter().any(|other| other.same_as(rule)) {
            let message = format!("the specified rule \"{}\" already exists", rule.describe_in_words());
            return Err(ApiError::sender("InvalidPermission.Duplicate", message));
        }
    }
    let egress = direction == Direction::Egress;
    if group.rules.iter().filter(|rule| rule.egress == egress).count() + new.len() > MOST_RULES {
        let message = "The maximum number of rules per security group has been reached.";
        return Err(ApiError::sender("RulesPerSecurityGroupLimitExceeded", message));
    }
    group.rules.extend(new.iter().cloned());
    tag_all(ec2, &new, &tags);
    let security_group_rule_set = new.iter().map(|rule| shown(ec2, &place, &id, rule)).collect();
    Output::of(&AuthorizeOutput { r#return: true, security_group_rule_set })
}

fn tag_all(ec2: &mut Ec2State, rules: &[Rule], tags: &[Tag]) {
    for rule in rules {
        ec2.tag(&rule.id, tags);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RevokeOutput {
    r#return: bool,
    revoked_security_group_rule_set: Vec<Revoked>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Revoked {
    security_group_rule_id: String,
    group_id: String,
    is_egress: bool,
    ip_protocol: String,
    from_port: i64,
    to_port: i64,
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    referenced_group_id: Option<String>,
    prefix_list_id: Option<String>,
    description: Option<String>,
}

impl From<Shown> for Revoked {
    fn from(rule: Shown) -> Self {
        Self {
            security_group_rule_id: rule.security_group_rule_id,
            group_id: rule.group_id,
            is_egress: rule.is_egress,
            ip_protocol: rule.ip_protocol,
            from_port: rule.from_port,
            to_port: rule.to_port,
            cidr_ipv4: rule.cidr_ipv4,
            cidr_ipv6: rule.cidr_ipv6,
            referenced_group_id: rule.referenced_group_info.map(|pair| pair.group_id),
            prefix_list_id: rule.prefix_list_id,
            description: rule.description,
        }
    }
}

pub(super) fn revoke(
    call: &mut Call<'_>,
    input: &RulesInput,
    direction: Direction,
) -> Result<Output, ApiError> {
    let place = call.place.clone();
    let ec2 = &mut call.region().ec2;
    let id = ec2.named_group(input.group_id.as_deref(), input.group_name.as_deref())?;
    let asked = asked(ec2, input, direction)?;
    if asked.is_empty() && input.security_group_rule_id.is_empty() {
        return Err(missing_parameter("ipPermissions"));
    }
    let egress = direction == Direction::Egress;
    let group = ec2.groups.get(&id).ok_or_else(|| no_group(&id))?;
    let mut going = Vec::new();
    for rule_id in &input.security_group_rule_id {
        let found = group.rules.iter().find(|rule| rule.id == *rule_id && rule.egress == egress);
        going.push(found.cloned().ok_or_else(|| no_rule(rule_id))?);
    }
    for rule in &asked {
        let found = group.rules.iter().find(|other| other.same_as(rule)).cloned();
        let message = "The specified rule does not exist in this security group.";
        going.push(found.ok_or_else(|| ApiError::sender("InvalidPermission.NotFound", message))?);
    }
    let revoked_security_group_rule_set =
        going.iter().map(|rule| shown(ec2, &place, &id, rule).into()).collect();
    for rule in &going {
        ec2.tags.remove(&rule.id);
    }
    if let Some(group) = ec2.groups.get_mut(&id) {
        group.rules.retain(|rule| !going.iter().any(|gone| gone.id == rule.id));
    }
    Output::of(&RevokeOutput { r#return: true, revoked_security_group_rule_set })
}

fn no_rule(id: &str) -> ApiError {
    ApiError::sender(
        "InvalidSecurityGroupRuleId.NotFound",
        format!("The security group rule ID '{id}' does not exist"),
    )
}
