//! What ECS does with target groups: tasks are registered by address, watched, deregistered and drained.

use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::SignedDuration;

use super::TaskName;
use super::plan::Look;
use crate::services::ecs::{TaskEntry, say};
use crate::services::elbv2;
use crate::world::Region;

/// A load balancer takes a moment to hear of a deregistration; however short the deregistration delay,
/// the task goes on for this long, in real time.
const LEAST_DRAIN: Duration = Duration::from_millis(300);

/// How a task stands in its target groups, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Fails its checks in one of them.
    Unhealthy,
    /// Not known yet in one of them, or not in it.
    Initial,
    /// Healthy in all that get traffic; also when there are none.
    Healthy,
}

/// A task in a target group.
struct Place {
    group: String,
    address: Ipv4Addr,
    port: u16,
}

fn places_of(entry: &TaskEntry) -> Vec<Place> {
    let Some(address) = entry.address else { return Vec::new() };
    let balancers = entry.launch.load_balancers.iter();
    balancers
        .filter_map(|balancer| {
            Some(Place { group: balancer.target_group_arn.clone()?, address, port: balancer.container_port? })
        })
        .collect()
}

fn find<'a>(region: &'a Region, name: &TaskName) -> Option<&'a TaskEntry> {
    region.ecs.clusters.get(&name.cluster)?.tasks.get(&name.id)
}

/// Registers a task in all its target groups.
pub(super) fn register(look: &Look<'_>, region: &mut Region, name: &TaskName) {
    for Place { group, address, port } in find(region, name).map(places_of).unwrap_or_default() {
        let what = match elbv2::register_target(region, &group, address, port) {
            Ok(()) => format!("registered 1 targets in (target-group {group})"),
            Err(error) => {
                format!("failed to register targets in (target-group {group}) with (error {})", error.message)
            }
        };
        tell(look, region, name, &what);
    }
}

/// Deregisters a task: the load balancer drains it.
pub(super) fn deregister(look: &Look<'_>, region: &mut Region, name: &TaskName) {
    let places = match find(region, name) {
        Some(entry) if entry.registered => places_of(entry),
        _ => return,
    };
    for Place { group, address, port } in places {
        let done = elbv2::deregister_target(region, &group, address, port, look.now, &look.clock);
        // A group that is gone has nothing to drain.
        if done.is_ok() {
            tell(look, region, name, &format!("deregistered 1 targets in (target-group {group})"));
            tell(look, region, name, "has begun draining connections on 1 tasks.");
        }
    }
}

fn tell(look: &Look<'_>, region: &mut Region, name: &TaskName, what: &str) {
    let Some(cluster) = region.ecs.clusters.get_mut(&name.cluster) else { return };
    let service = cluster.tasks.get(&name.id).and_then(|task| task.service.clone());
    if let Some(service) = service.and_then(|service| cluster.services.get_mut(&service)) {
        say(service, look.now, what);
    }
}

/// Whether the load balancer has let go of a task that was deregistered. If not, looks again when the
/// draining ends.
pub(super) fn are_drained(look: &mut Look<'_>, region: &Region, name: &TaskName) -> bool {
    let Some(entry) = find(region, name).filter(|entry| entry.registered) else { return true };
    let places = places_of(entry);
    let Some(since) = entry.task.stopping_at.filter(|_| !places.is_empty()) else { return true };
    let least = SignedDuration::try_from(LEAST_DRAIN).unwrap_or_default();
    let mut until = since.0.checked_add(least).unwrap_or(since.0);
    for Place { group, address, port } in places {
        let address = address.to_string();
        let targets = elbv2::target_group(region, &group).map_or(&[][..], |group| group.targets.as_slice());
        let mine = targets.iter().find(|target| target.id == address && target.port == Some(port));
        until = mine.and_then(|target| target.drains_until).map_or(until, |end| until.max(end));
    }
    if until > look.now {
        look.step.wake.at(until);
    }
    until <= look.now
}

/// Whether a task answers health checks, but not as it should.
pub(super) fn answers_wrongly(region: &Region, entry: &TaskEntry) -> bool {
    places_of(entry).into_iter().any(|Place { group, address, port }| {
        let health = elbv2::target_health(region, &group, address, port, false);
        health.is_some_and(|health| health.answers_wrongly())
    })
}

/// How a task stands.
pub(super) fn standing(region: &Region, entry: &TaskEntry) -> Standing {
    let stands = |Place { group, address, port }: Place| {
        let health = elbv2::target_health(region, &group, address, port, false);
        match health.as_ref().map(|health| health.state.as_str()) {
            // A group without a listener is not checked: nobody can say that its targets are unhealthy.
            Some("healthy" | "unused" | "unavailable") => Standing::Healthy,
            Some("unhealthy") => Standing::Unhealthy,
            _ => Standing::Initial,
        }
    };
    places_of(entry).into_iter().map(stands).min().unwrap_or(Standing::Healthy)
}
