//! What `/_cloud/status` says: where things listen, and what exists.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::services::{ecs, elbv2};
use crate::world::{Region, State};

/// A listener of a load balancer, and where it really is.
#[derive(Debug, Serialize)]
struct Listening {
    load_balancer: String,
    account: String,
    region: String,
    dns_name: String,
    port: u16,
    protocol: String,
    /// Address and port; nothing while it does not listen.
    address: Option<String>,
    /// Why it does not listen as asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// The parts of the status that come from the world.
pub(crate) fn of(state: &State) -> Value {
    json!({
        "listeners": listening(state),
        "certificate_authority": authorities(state),
        "resources": inventory(state),
    })
}

fn listening(state: &State) -> Vec<Listening> {
    let mut found = Vec::new();
    for (place, region) in state.regions() {
        for listener in region.elbv2.listeners.values() {
            let Some(balancer) = region.elbv2.load_balancers.get(&listener.load_balancer_arn) else {
                continue;
            };
            found.push(Listening {
                load_balancer: balancer.name.clone(),
                account: place.account.clone(),
                region: place.region.clone(),
                dns_name: balancer.dns_name.clone(),
                port: listener.port,
                protocol: listener.protocol.clone(),
                address: listener.bound.map(|bound| bound.to_string()),
                trouble: listener.trouble.clone(),
            });
        }
    }
    found
}

/// The certificates that a client has to trust, PEM: each region signs what it issues itself.
fn authorities(state: &State) -> String {
    state.regions().filter_map(|(_, region)| region.acm.authority_certificate()).collect()
}

/// How many of each kind of resource there are, without those that a new account has: nothing means
/// empty.
fn inventory(state: &State) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let mut add = |kind, number: usize| *counts.entry(kind).or_default() += number;
    for account in state.accounts.values() {
        account.iam.counts().into_iter().for_each(|(kind, number)| add(kind, number));
        add("route53:record", account.route53.records_made());
        for region in account.regions.values() {
            of_region(region).into_iter().for_each(|(kind, number)| add(kind, number));
        }
    }
    counts.retain(|_, number| *number > 0);
    counts
}

fn of_region(region: &Region) -> Vec<(&'static str, usize)> {
    let elbv2::Elbv2State { load_balancers, listeners, target_groups, .. } = &region.elbv2;
    let ecs::Counts { clusters, services, task_definitions, tasks } = region.ecs.counts();
    vec![
        ("elbv2:loadbalancer", load_balancers.len()),
        ("elbv2:listener", listeners.len()),
        ("elbv2:targetgroup", target_groups.len()),
        ("ecs:cluster", clusters),
        ("ecs:service", services),
        ("ecs:taskdefinition", task_definitions),
        ("ecs:task", tasks),
        ("ecr:repository", region.ecr.repository_count()),
        ("logs:log-group", region.logs.group_count()),
        ("codedeploy:application", region.codedeploy.application_count()),
        ("codedeploy:deploymentconfig", region.codedeploy.config_count()),
        ("application-autoscaling:scalable-target", region.application_autoscaling.target_count()),
        ("cloudwatch:alarm", region.cloudwatch.alarm_count()),
        ("ec2:security-group", region.ec2.groups_made()),
    ]
}
