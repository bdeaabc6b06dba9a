//! One look at the world: what changes at once, and what the runtime is to do.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::output::Outputs;
use super::{Action, Memory, TaskName, Wake, service, specification, task};
use crate::clock::Clock;
use crate::services::ecs::{ServiceName, ServiceStatus, TaskStatus, forget_deleted};
use pipeline_data_plane::runtime::{AddressBook, TaskSpec};

use crate::world::{Partition, Region, State};

/// How long a stopped task can be described (docs.aws.amazon.com/AmazonECS/latest/developerguide/
/// stopped-task-errors.html: "at least 1 hour").
const STOPPED_KEPT: SignedDuration = SignedDuration::from_hours(1);

/// However busy the cluster, no more stopped tasks than this are kept.
const MOST_STOPPED: usize = 500;

/// The outcome of a look.
#[derive(Default)]
pub(super) struct Step {
    pub(super) actions: Vec<Action>,
    pub(super) wake: Wake,
    /// Whether the world was changed.
    pub(super) changed: bool,
}

/// What the parts of a look share.
pub(super) struct Look<'a> {
    pub(super) now: Timestamp,
    pub(super) clock: Clock,
    pub(super) logs: &'a Outputs,
    pub(super) memory: &'a Memory,
    /// Which loopback addresses tasks get.
    pub(super) book: AddressBook,
    /// Those that tasks have.
    pub(super) taken: HashSet<Ipv4Addr>,
    pub(super) step: Step,
}

impl Look<'_> {
    /// Whether `nominal` has passed since `start`; if not, looks again then.
    pub(super) fn has_passed(&mut self, start: Timestamp, nominal: Duration) -> bool {
        let end = self.clock.after(start, nominal);
        if end > self.now {
            self.step.wake.at(end);
        }
        end <= self.now
    }

    /// Whether so much real time has passed since `start`; looks again when it has.
    pub(super) fn has_really_passed(&mut self, start: Timestamp, real: Duration) -> bool {
        let end = start.checked_add(real).unwrap_or(Timestamp::MAX);
        if end > self.now {
            self.step.wake.at(end);
        }
        end <= self.now
    }
}

/// Looks at everything once.
pub(super) fn step(state: &mut State, now: Timestamp, clock: Clock, logs: &Outputs, memory: &Memory) -> Step {
    let (book, taken) = (state.addresses, addresses(state));
    let mut look = Look { now, clock, logs, memory, book, taken, step: Step::default() };
    let mut known = HashSet::new();
    let places: Vec<Partition> = state.regions().map(|(place, _)| place).collect();
    for place in places {
        let region = state.region_mut(&place.account, &place.region);
        for cluster in region.ecs.clusters.keys().cloned().collect::<Vec<_>>() {
            look_at_cluster(&mut look, &place, region, &cluster);
            if let Some(entry) = region.ecs.clusters.get(&cluster) {
                let left = entry.tasks.values().filter(|task| !task.is_stopped());
                known.extend(left.map(|task| task.id.clone()));
            }
        }
        look.step.changed |= forget_deleted(&mut region.ecs);
    }
    stop_orphans(&mut look, &known);
    look.step
}

fn look_at_cluster(look: &mut Look<'_>, place: &Partition, region: &mut Region, cluster: &str) {
    let Some(entry) = region.ecs.clusters.get(cluster) else { return };
    let services: Vec<ServiceName> = entry
        .services
        .values()
        .filter(|entry| entry.service.status != ServiceStatus::Inactive)
        .map(|entry| ServiceName { cluster: cluster.to_owned(), service: entry.service.service_name.clone() })
        .collect();
    for name in &services {
        service::desire(look, place, region, name);
    }
    let left: Vec<TaskName> = region
        .ecs
        .clusters
        .get(cluster)
        .into_iter()
        .flat_map(|entry| entry.tasks.values())
        .filter(|task| !task.is_stopped())
        .map(|task| TaskName { place: place.clone(), cluster: cluster.to_owned(), id: task.id.clone() })
        .collect();
    for name in &left {
        task::advance(look, region, name);
    }
    for name in &services {
        service::observe(look, place, region, name);
    }
    forget_stopped(look, region, cluster);
}

/// Every task has a loopback address of its own, across accounts, regions and networks.
fn addresses(state: &State) -> HashSet<Ipv4Addr> {
    let clusters = state.regions().flat_map(|(_, region)| region.ecs.clusters.values());
    let left = clusters.flat_map(|cluster| cluster.tasks.values()).filter(|task| !task.is_stopped());
    left.filter_map(|task| task.address).map(|address| state.addresses.task(address)).collect()
}

/// Tasks of the runtime that the world knows nothing of, as after a reset.
fn stop_orphans(look: &mut Look<'_>, known: &HashSet<String>) {
    for id in look.memory.alive.iter().filter(|id| !known.contains(*id)) {
        if look.memory.is_free(id, look.now, &mut look.step.wake) {
            look.step.actions.push(Action::Stop { id: id.clone(), grace: Duration::ZERO });
        }
    }
}

fn forget_stopped(look: &mut Look<'_>, region: &mut Region, cluster: &str) {
    let Some(entry) = region.ecs.clusters.get_mut(cluster) else { return };
    let ended = |task: &crate::services::ecs::TaskEntry| task.task.stopped_at.map(|at| at.0);
    let mut stopped: Vec<(Timestamp, String)> =
        entry.tasks.values().filter_map(|task| Some((ended(task)?, task.id.clone()))).collect();
    stopped.sort();
    let surplus = stopped.len().saturating_sub(MOST_STOPPED);
    for (index, (at, id)) in stopped.into_iter().enumerate() {
        if index < surplus || look.now.duration_since(at) > STOPPED_KEPT {
            entry.tasks.remove(&id);
            look.step.changed = true;
        }
    }
}

/// The tasks that the runtime has, as far as the world knows.
pub(super) fn believed_running(state: &State, logs: &Outputs) -> Vec<TaskSpec> {
    let mut specs = Vec::new();
    for (place, region) in state.regions() {
        for (cluster, entry) in &region.ecs.clusters {
            for task in entry.tasks.values() {
                let status = task.task.last_status;
                if (TaskStatus::Activating..=TaskStatus::Stopping).contains(&status) {
                    let name =
                        TaskName { place: place.clone(), cluster: cluster.clone(), id: task.id.clone() };
                    specs.extend(specification::of(region, &name, task, state.addresses, logs).ok());
                }
            }
        }
    }
    specs
}
