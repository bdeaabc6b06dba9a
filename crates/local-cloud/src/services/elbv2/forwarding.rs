//! What the controllers of other services do with the load balancer: shift weights, register tasks,
//! ask for health. They come by the same checks as the API's callers.

use std::net::Ipv4Addr;

use jiff::Timestamp;

use super::actions::{self, Action, Forward, WeightedGroup};
use super::error::{no_listener, no_load_balancer, no_target_group, validation};
use super::{Elbv2State, Health, LoadBalancer, LoadBalancerType, TargetGroup, targets};
use crate::clock::Clock;
use crate::wire::ApiError;
use crate::world::{Region, State};

/// Gives these groups these weights wherever a listener forwards to one of them, in its default
/// actions and in its rules, as ModifyListener and ModifyRule do. Stickiness between groups stays as
/// it was. A network load balancer, which forwards to one group, gets the one with a weight.
///
/// # Errors
/// `ListenerNotFound`, `TargetGroupNotFound`, and `ValidationError` when the listener forwards to none of the groups.
pub(crate) fn set_forward_weights(
    region: &mut Region,
    listener_arn: &str,
    weights: &[(String, u32)],
) -> Result<(), ApiError> {
    let elbv2 = &mut region.elbv2;
    let listener = elbv2.listeners.get(listener_arn).ok_or_else(no_listener)?;
    let arn = &listener.load_balancer_arn;
    let balancer = elbv2.load_balancers.get(arn).ok_or_else(|| no_load_balancer(arn))?;
    if let Some((missing, _)) = weights.iter().find(|(group, _)| !elbv2.target_groups.contains_key(group)) {
        return Err(no_target_group(missing));
    }
    let concerned = |actions: &[Action]| {
        actions.iter().any(|action| weights.iter().any(|(group, _)| action.forwards_to(group)))
    };
    let by_default = concerned(&listener.default_actions)
        .then(|| weighted(elbv2, balancer, &listener.default_actions, weights))
        .transpose()?;
    let mut by_rule = Vec::new();
    for (arn, rule) in &elbv2.rules {
        if rule.listener_arn == listener_arn && concerned(&rule.actions) {
            by_rule.push((arn.clone(), weighted(elbv2, balancer, &rule.actions, weights)?));
        }
    }
    if by_default.is_none() && by_rule.is_empty() {
        return Err(validation(format!("The listener {listener_arn} forwards to none of the target groups")));
    }
    if let Some(actions) = by_default {
        elbv2.listener_mut(listener_arn)?.default_actions = actions;
    }
    for (arn, actions) in by_rule {
        if let Some(rule) = elbv2.rules.get_mut(&arn) {
            rule.actions = actions;
        }
    }
    Ok(())
}

/// `actions` with these weights.
fn weighted(
    elbv2: &Elbv2State,
    balancer: &LoadBalancer,
    actions: &[Action],
    weights: &[(String, u32)],
) -> Result<Vec<Action>, ApiError> {
    let stickiness = actions
        .iter()
        .find_map(|action| action.forward_config.as_ref())
        .and_then(|forward| forward.stickiness.clone());
    let one_only = balancer.kind != LoadBalancerType::Application;
    let target_groups = weights
        .iter()
        .filter(|(_, weight)| !one_only || *weight > 0)
        .map(|(group, weight)| WeightedGroup {
            target_group_arn: group.clone(),
            weight: Some(i64::from(*weight)),
        })
        .collect();
    let action = Action {
        r#type: "forward".to_owned(),
        forward_config: Some(Forward { target_groups, stickiness }),
        ..Action::default()
    };
    actions::checked(elbv2, balancer, &[action], "defaultActions")
}

/// The groups that a listener forwards to by default, with their weights.
#[cfg(test)]
pub(crate) fn forward_weights(region: &Region, listener_arn: &str) -> Result<Vec<(String, u32)>, ApiError> {
    let listener = region.elbv2.listeners.get(listener_arn).ok_or_else(no_listener)?;
    let groups = listener.default_actions.iter().flat_map(|action| action.groups());
    let weight = |weighted: &WeightedGroup| u32::try_from(weighted.weight.unwrap_or(1)).unwrap_or(0);
    Ok(groups.map(|weighted| (weighted.target_group_arn.clone(), weight(weighted))).collect())
}

/// ARNs of the listeners whose default actions or rules forward to a group, whatever the weight.
pub(crate) fn listeners_forwarding_to(region: &Region, group_arn: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (listener, actions) in region.elbv2.actions() {
        let forwards = actions.iter().any(|action| action.forwards_to(group_arn));
        if forwards && !found.iter().any(|known| known == listener) {
            found.push(listener.to_owned());
        }
    }
    found
}

/// Registers a task's address.
pub(crate) fn register_target(
    region: &mut Region,
    group_arn: &str,
    ip: Ipv4Addr,
    port: u16,
) -> Result<(), ApiError> {
    let group = region.elbv2.group_mut(group_arn)?;
    if group.target_type != "ip" {
        return Err(validation(format!(
            "The target group '{group_arn}' has the target type '{}', which is incompatible with the awsvpc network mode",
            group.target_type
        )));
    }
    region.elbv2.put_target(group_arn, ip, port)
}

/// Deregisters a task's address: it drains, and is gone after the group's deregistration delay.
pub(crate) fn deregister_target(
    region: &mut Region,
    group_arn: &str,
    ip: Ipv4Addr,
    port: u16,
    now: Timestamp,
    clock: &Clock,
) -> Result<(), ApiError> {
    let end = |group: &TargetGroup| clock.after(now, group.deregistration_delay());
    region.elbv2.drain_target(group_arn, &ip.to_string(), Some(port), end)
}

/// The health of a registered address; nothing if it is not registered (any more).
pub(crate) fn target_health(
    region: &Region,
    group_arn: &str,
    ip: Ipv4Addr,
    port: u16,
    inert: bool,
) -> Option<Health> {
    let group = region.elbv2.target_groups.get(group_arn)?;
    let ip = ip.to_string();
    let target = group.targets.iter().find(|target| target.id == ip && target.port == Some(port))?;
    Some(targets::health(&region.elbv2, group, target, inert))
}

/// The load balancer that a listener belongs to.
pub(crate) fn load_balancer_of_listener<'a>(
    region: &'a Region,
    listener_arn: &str,
) -> Option<&'a LoadBalancer> {
    let listener = region.elbv2.listeners.get(listener_arn)?;
    region.elbv2.load_balancers.get(&listener.load_balancer_arn)
}

/// A target group.
pub(crate) fn target_group<'a>(region: &'a Region, arn: &str) -> Option<&'a TargetGroup> {
    region.elbv2.target_groups.get(arn)
}

/// The load balancer with this host name, in whatever account and region. Names are compared without
/// case, a final dot, or the `dualstack.` that consoles put before them.
pub(crate) fn load_balancer_by_dns_name<'a>(state: &'a State, name: &str) -> Option<&'a LoadBalancer> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let name = name.strip_prefix("dualstack.").unwrap_or(&name);
    let mut balancers = state
        .accounts
        .values()
        .flat_map(|account| account.regions.values())
        .flat_map(|region| region.elbv2.load_balancers.values());
    balancers.find(|balancer| balancer.dns_name.to_ascii_lowercase() == name)
}
