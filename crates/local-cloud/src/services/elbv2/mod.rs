//! Elastic Load Balancing v2: load balancers, listeners, rules, target groups and targets.
//!
//! This is the control plane. What it describes for application load balancers becomes real in the
//! data plane by `controllers::routing`. Network load balancers exist here only.
//!
//! Source: docs.aws.amazon.com/elasticloadbalancing/latest/APIReference

mod actions;
mod attributes;
mod certificates;
mod conditions;
mod error;
mod forwarding;
mod health_check;
mod limits;
mod listeners;
mod load_balancers;
mod names;
mod page;
mod rules;
mod tags;
mod target_groups;
mod targets;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};

pub(crate) use actions::{Action, WeightedGroup};
pub(crate) use conditions::{Condition, QueryPair};
#[cfg(test)]
pub(crate) use forwarding::forward_weights;
pub(crate) use forwarding::{
    deregister_target, listeners_forwarding_to, load_balancer_by_dns_name, load_balancer_of_listener,
    register_target, set_forward_weights, target_group, target_health,
};
pub(crate) use health_check::HealthCheck;
pub(crate) use listeners::Listener;
pub(crate) use load_balancers::{LoadBalancer, LoadBalancerType};
pub(crate) use rules::Rule;
pub(crate) use target_groups::TargetGroup;
pub(crate) use targets::{Health, Target, forget_drained};

/// What the service holds. Keys are ARNs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Elbv2State {
    pub(crate) load_balancers: IndexMap<String, LoadBalancer>,
    pub(crate) listeners: IndexMap<String, Listener>,
    /// Without the default rules, which are part of their listeners.
    pub(crate) rules: IndexMap<String, Rule>,
    pub(crate) target_groups: IndexMap<String, TargetGroup>,
    /// How many registrations there were: each gets a number of its own.
    registrations: u64,
}

impl Elbv2State {
    /// Actions of every listener and rule, with the listener's ARN.
    fn actions(&self) -> impl Iterator<Item = (&str, &[Action])> {
        let listeners =
            self.listeners.iter().map(|(arn, listener)| (arn.as_str(), listener.default_actions.as_slice()));
        let rules = self.rules.values().map(|rule| (rule.listener_arn.as_str(), rule.actions.as_slice()));
        listeners.chain(rules)
    }

    /// ARNs of the load balancers whose listeners or rules forward to a target group.
    pub(crate) fn users_of_group(&self, group: &str) -> Vec<String> {
        let mut users = Vec::new();
        for (listener, actions) in self.actions() {
            let Some(listener) = self.listeners.get(listener) else { continue };
            let forwards = actions.iter().any(|action| action.forwards_to(group));
            if forwards && !users.contains(&listener.load_balancer_arn) {
                users.push(listener.load_balancer_arn.clone());
            }
        }
        users
    }
}

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    let now = call.now;
    targets::forget_drained(&mut call.region().elbv2, now);
    match operation {
        "CreateLoadBalancer" => load_balancers::create(call, &input.parse()?),
        "DeleteLoadBalancer" => load_balancers::delete(call, &input.parse()?),
        "DescribeLoadBalancers" => load_balancers::describe(call, &input.parse()?),
        "DescribeLoadBalancerAttributes" => load_balancers::describe_attributes(call, &input.parse()?),
        "ModifyLoadBalancerAttributes" => load_balancers::modify_attributes(call, &input.parse()?),
        "SetIpAddressType" => load_balancers::set_ip_address_type(call, &input.parse()?),
        "SetSecurityGroups" => load_balancers::set_security_groups(call, &input.parse()?),
        "SetSubnets" => load_balancers::set_subnets(call, &input.parse()?),
        "CreateTargetGroup" => target_groups::create(call, &input.parse()?),
        "DeleteTargetGroup" => target_groups::delete(call, &input.parse()?),
        "DescribeTargetGroups" => target_groups::describe(call, &input.parse()?),
        "ModifyTargetGroup" => target_groups::modify(call, &input.parse()?),
        "DescribeTargetGroupAttributes" => target_groups::describe_attributes(call, &input.parse()?),
        "ModifyTargetGroupAttributes" => target_groups::modify_attributes(call, &input.parse()?),
        "RegisterTargets" => targets::register(call, &input.parse()?),
        "DeregisterTargets" => targets::deregister(call, &input.parse()?),
        "DescribeTargetHealth" => targets::describe_health(call, &input.parse()?),
        "CreateListener" => listeners::create(call, &input.parse()?),
        "DeleteListener" => listeners::delete(call, &input.parse()?),
        "DescribeListeners" => listeners::describe(call, &input.parse()?),
        "ModifyListener" => listeners::modify(call, &input.parse()?),
        "DescribeListenerAttributes" => listeners::describe_attributes(call, &input.parse()?),
        "ModifyListenerAttributes" => listeners::modify_attributes(call, &input.parse()?),
        "AddListenerCertificates" => certificates::add(call, &input.parse()?),
        "RemoveListenerCertificates" => certificates::remove(call, &input.parse()?),
        "DescribeListenerCertificates" => certificates::describe(call, &input.parse()?),
        "CreateRule" => rules::create(call, &input.parse()?),
        "DeleteRule" => rules::delete(call, &input.parse()?),
        "DescribeRules" => rules::describe(call, &input.parse()?),
        "ModifyRule" => rules::modify(call, &input.parse()?),
        "SetRulePriorities" => rules::set_priorities(call, &input.parse()?),
        "AddTags" => tags::add(call, &input.parse()?),
        "RemoveTags" => tags::remove(call, &input.parse()?),
        "DescribeTags" => tags::describe(call, &input.parse()?),
        "DescribeSSLPolicies" => limits::describe_ssl_policies(&input.parse()?),
        "DescribeAccountLimits" => limits::describe_account_limits(),
        _ => Err(missing(Service::Elbv2, operation)),
    }
}
