//! From the world to a routing table.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::services::elbv2;
use crate::world::{Region, State};
use pipeline_balancer::{
    Action, Algorithm, Certificate, Condition, ForwardedFor, GroupId, HeaderPolicy, HealthCheck,
    HealthCheckPort, Listener, ListenerProtocol, QueryParameter, Redirect, RoutingTable, Rule, Target,
    TargetGroup, TargetId, TargetProtocol, TargetState,
};
use pipeline_data_plane::runtime::AddressBook;

/// Everything that application load balancers of all accounts and regions route.
pub(super) fn build(state: &State) -> RoutingTable {
    let mut table = RoutingTable::default();
    for (_, region) in state.regions() {
        table.listeners.extend(region.elbv2.listeners.values().filter_map(|own| listener(region, own)));
        let groups = region.elbv2.target_groups.values().filter(|group| group.speaks_http());
        table
            .groups
            .extend(groups.map(|group| (GroupId::from(&group.arn), target_group(state.addresses, group))));
    }
    table
}

/// A registration: a target that comes back after it was deregistered is checked anew.
pub(super) fn target_id(target: &elbv2::Target) -> TargetId {
    let port = target.port.unwrap_or_default();
    TargetId::from(format!("{}:{port}#{}", target.id, target.registration))
}

fn listener(region: &Region, own: &elbv2::Listener) -> Option<Listener> {
    let balancer = region.elbv2.load_balancers.get(&own.load_balancer_arn)?;
    if balancer.kind != elbv2::LoadBalancerType::Application {
        return None;
    }
    let protocol = if own.protocol == "HTTPS" {
        let arns = own.certificate.iter().chain(&own.more_certificates);
        let certificates = arns
            .filter_map(|arn| region.acm.certificate(arn))
            .map(|certificate| Certificate {
                chain_pem: certificate.chain_pem(),
                key_pem: certificate.private_key.clone(),
            })
            .collect();
        ListenerProtocol::Https { certificates }
    } else {
        ListenerProtocol::Http
    };
    let rules = region.elbv2.rules.values().filter(|rule| rule.listener_arn == own.arn).map(rule).collect();
    Some(Listener {
        id: (&own.arn).into(),
        address: IpAddr::V4(balancer.address),
        port: own.port,
        protocol,
        idle_timeout: balancer.idle_timeout(),
        headers: headers(balancer, own),
        rules,
        default_action: action(&own.default_actions),
    })
}

fn headers(balancer: &elbv2::LoadBalancer, own: &elbv2::Listener) -> HeaderPolicy {
    let enabled = |key| balancer.attribute(key) == "true";
    HeaderPolicy {
        forwarded_for: match balancer.attribute("routing.http.xff_header_processing.mode") {
            "preserve" => ForwardedFor::Preserve,
            "remove" => ForwardedFor::Remove,
            _ => ForwardedFor::Append,
        },
        client_port: enabled("routing.http.xff_client_port.enabled"),
        drop_invalid: enabled("routing.http.drop_invalid_header_fields.enabled"),
        hide_server: own.attribute("routing.http.response.server.enabled") == "false",
        response: own.response_headers(),
    }
}

fn rule(rule: &elbv2::Rule) -> Rule {
    Rule {
        priority: rule.priority,
        conditions: rule.conditions.iter().flat_map(condition).collect(),
        action: action(&rule.actions),
    }
}

/// The control plane lets each condition have one configuration only.
fn condition(own: &elbv2::Condition) -> Vec<Condition> {
    let mut found = Vec::new();
    if let Some(config) = &own.host_header_config {
        found.push(Condition::HostHeader(config.values.clone()));
    }
    if let Some(config) = &own.path_pattern_config {
        found.push(Condition::PathPattern(config.values.clone()));
    }
    if let Some(config) = &own.http_header_config {
        let (name, values) = (config.http_header_name.clone(), config.values.clone());
        found.push(Condition::HttpHeader { name, values });
    }
    if let Some(config) = &own.http_request_method_config {
        found.push(Condition::HttpRequestMethod(config.values.clone()));
    }
    if let Some(config) = &own.source_ip_config {
        found.push(Condition::SourceIp(config.values.clone()));
    }
    if let Some(config) = &own.query_string_config {
        let parameter = |pair: &elbv2::QueryPair| QueryParameter {
            key: pair.key.clone(),
            value: pair.value.clone().unwrap_or_default(),
        };
        found.push(Condition::QueryString(config.values.iter().map(parameter).collect()));
    }
    found
}

/// The control plane lets in exactly one action.
fn action(actions: &[elbv2::Action]) -> Action {
    let own = actions.first();
    if let Some(redirect) = own.and_then(|own| own.redirect_config.as_ref()) {
        let defaults = Redirect::default();
        return Action::Redirect(Redirect {
            protocol: redirect.protocol.clone().unwrap_or(defaults.protocol),
            host: redirect.host.clone().unwrap_or(defaults.host),
            port: redirect.port.clone().unwrap_or(defaults.port),
            path: redirect.path.clone().unwrap_or(defaults.path),
            query: redirect.query.clone().unwrap_or(defaults.query),
            status: if redirect.status_code == "HTTP_301" { 301 } else { 302 },
        });
    }
    if let Some(fixed) = own.and_then(|own| own.fixed_response_config.as_ref()) {
        return Action::FixedResponse {
            status: fixed.status_code.parse().unwrap_or(503),
            content_type: fixed.content_type.clone(),
            body: fixed.message_body.clone().unwrap_or_default(),
        };
    }
    let weight = |group: &elbv2::WeightedGroup| u32::try_from(group.weight.unwrap_or(1)).unwrap_or(0);
    let groups = own.map_or(&[][..], |own| own.groups());
    let stickiness = own
        .and_then(|own| own.forward_config.as_ref()?.stickiness.as_ref())
        .filter(|stickiness| stickiness.enabled)
        .map(|stickiness| Duration::from_secs(stickiness.duration_seconds.unwrap_or(1).unsigned_abs()));
    Action::Forward {
        groups: groups.iter().map(|group| (GroupId::from(&group.target_group_arn), weight(group))).collect(),
        stickiness,
    }
}

fn protocol(name: Option<&str>) -> TargetProtocol {
    if name == Some("HTTPS") { TargetProtocol::Https } else { TargetProtocol::Http }
}

fn target_group(addresses: AddressBook, own: &elbv2::TargetGroup) -> TargetGroup {
    let check = &own.health_check;
    let port = check.port.as_deref().and_then(|port| port.parse().ok());
    let least_outstanding = own.attribute("load_balancing.algorithm.type") == "least_outstanding_requests";
    TargetGroup {
        id: (&own.arn).into(),
        protocol: protocol(own.protocol.as_deref()),
        targets: own.targets.iter().filter_map(|own| target(addresses, own)).collect(),
        health_check: HealthCheck {
            enabled: check.enabled,
            protocol: protocol(check.protocol.as_deref()),
            path: check.path.clone().unwrap_or_else(|| "/".to_owned()),
            port: port.map_or(HealthCheckPort::Traffic, HealthCheckPort::Port),
            interval: check.interval(),
            timeout: check.timeout(),
            healthy_threshold: u32::try_from(check.healthy_threshold).unwrap_or(5),
            unhealthy_threshold: u32::try_from(check.unhealthy_threshold).unwrap_or(2),
            matcher: check
                .matcher
                .as_ref()
                .and_then(|matcher| matcher.http_code.clone())
                .unwrap_or_else(|| "200".to_owned()),
        },
        deregistration_delay: own.deregistration_delay(),
        slow_start: own.slow_start(),
        algorithm: if least_outstanding {
            Algorithm::LeastOutstandingRequests
        } else {
            Algorithm::RoundRobin
        },
        stickiness: own.stickiness(),
    }
}

/// Only addresses can be reached: there are no instances and no functions.
fn target(addresses: AddressBook, own: &elbv2::Target) -> Option<Target> {
    let address = match own.id.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => IpAddr::V4(addresses.task(address)),
        address => address,
    };
    let state = if own.drains_until.is_some() { TargetState::Draining } else { TargetState::Active };
    Some(Target { id: target_id(own), address: SocketAddr::new(address, own.port?), state })
}
