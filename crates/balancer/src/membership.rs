//! Which targets there are: carries them from one routing table to the next, starts and stops their health
//! checks, and lets those that leave finish what they have in flight.

use super::clock::{CoarseClock, Pace};
use super::health::{self, Record};
use super::report::{Health, HealthReport};
use super::selection::LiveGroup;
use super::table::{Action, GroupId, HealthCheck, RoutingTable, Target, TargetGroup, TargetId, TargetState};
use super::target::{Epoch, LiveTarget};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

/// All targets of all groups.
pub(super) struct Membership {
    members: HashMap<(GroupId, TargetId), Member>,
    clock: CoarseClock,
    pace: Pace,
    reports: UnboundedSender<HealthReport>,
}

struct Member {
    target: Arc<LiveTarget>,
    mode: Mode,
    /// The health check, or the wait for the end of the deregistration delay.
    task: Option<AbortHandle>,
}

/// What is done with a target.
#[derive(Clone, Debug, PartialEq)]
enum Mode {
    New,
    Checked(HealthCheck),
    Unchecked,
    Unused,
    Draining,
}

impl Membership {
    pub(super) fn new(clock: CoarseClock, pace: Pace, reports: UnboundedSender<HealthReport>) -> Self {
        Self { members: HashMap::new(), clock, pace, reports }
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &Arc<LiveTarget>> {
        self.members.values().map(|member| &member.target)
    }

    /// Takes over a table; the groups as they run from now on.
    pub(super) fn apply(&mut self, table: &RoutingTable) -> HashMap<GroupId, Arc<LiveGroup>> {
        let in_use = groups_in_use(table);
        let mut before = std::mem::take(&mut self.members);
        let mut groups = HashMap::new();
        for (id, group) in &table.groups {
            let mut targets = Vec::with_capacity(group.targets.len());
            for target in &group.targets {
                let key = (id.clone(), target.id.clone());
                let mut member = self.carry_over(before.remove(&key), group, target);
                self.enter(&mut member, mode(group, target, in_use.contains(id)), group.deregistration_delay);
                targets.push(member.target.clone());
                self.members.insert(key, member);
            }
            groups.insert(id.clone(), Arc::new(self.live_group(group, targets)));
        }
        // What is in no table any more takes no new requests, and those in flight may finish.
        for member in before.into_values() {
            self.retire(member, table);
        }
        groups
    }

    fn live_group(&self, group: &TargetGroup, targets: Vec<Arc<LiveTarget>>) -> LiveGroup {
        LiveGroup {
            id: group.id.clone(),
            targets,
            algorithm: group.algorithm,
            slow_start: self.pace.real(group.slow_start),
            stickiness: group.stickiness,
            turn: AtomicU32::new(rand::random()),
        }
    }

    fn carry_over(&self, before: Option<Member>, group: &TargetGroup, target: &Target) -> Member {
        if let Some(member) = before {
            if member.target.address == target.address && member.target.protocol == group.protocol {
                return member;
            }
            self.finish(member, group.deregistration_delay);
        }
        let (id, clock) = (target.id.clone(), self.clock.clone());
        let target = LiveTarget::new(group.id.clone(), id, target.address, group.protocol, clock);
        Member { target: Arc::new(target), mode: Mode::New, task: None }
    }

    fn enter(&self, member: &mut Member, mode: Mode, delay: Duration) {
        if member.mode == mode {
            return;
        }
        if let Some(task) = member.task.take() {
            task.abort();
        }
        let target = &member.target;
        target.set_cut(false);
        let restarted = matches!((&member.mode, &mode), (Mode::Checked(_), Mode::Checked(_)));
        member.task = match &mode {
            Mode::New => None,
            Mode::Checked(settings) => Some(self.check(target, settings.clone(), restarted)),
            Mode::Unchecked => self.decide(target, Health::unchecked()),
            Mode::Unused => self.decide(target, Health::unused()),
            Mode::Draining => {
                self.decide(target, Health::draining());
                Some(self.cut_later(target, delay))
            }
        };
        member.mode = mode;
    }

    fn check(&self, target: &Arc<LiveTarget>, settings: HealthCheck, restarted: bool) -> AbortHandle {
        let (health, epoch) = if restarted {
            target.decide_health(None)
        } else {
            self.report(target, Health::registering());
            self.report(target, Health::checking());
            target.decide_health(Some(Health::checking()))
        };
        let tell = teller(target.clone(), epoch, self.reports.clone());
        let watch = health::watch(target.clone(), settings, self.pace, Record::new(health), tell);
        tokio::spawn(watch).abort_handle()
    }

    fn cut_later(&self, target: &Arc<LiveTarget>, delay: Duration) -> AbortHandle {
        let (target, delay) = (target.clone(), self.pace.limit(delay));
        let cut = async move {
            tokio::time::sleep(delay).await;
            target.set_cut(true);
        };
        tokio::spawn(cut).abort_handle()
    }

    fn retire(&self, member: Member, table: &RoutingTable) {
        let group = table.groups.get(&member.target.group);
        // A group that is deleted altogether has nobody left to say how long to wait.
        let delay = group.map_or(Duration::from_secs(300), |group| group.deregistration_delay);
        self.finish(member, delay);
    }

    /// Lets a target that is in no table any more finish. If it drained before, that delay goes on.
    fn finish(&self, member: Member, delay: Duration) {
        if member.mode == Mode::Draining {
            return;
        }
        if let Some(task) = member.task {
            task.abort();
        }
        member.target.decide_health(Some(Health::draining()));
        self.cut_later(&member.target, delay);
    }

    fn decide(&self, target: &LiveTarget, health: Health) -> Option<AbortHandle> {
        target.decide_health(Some(health.clone()));
        self.report(target, health);
        None
    }

    fn report(&self, target: &LiveTarget, health: Health) {
        send(&self.reports, target, health);
    }

    /// Stops all health checks.
    pub(super) fn stop(&mut self) {
        for task in self.members.values_mut().filter_map(|member| member.task.take()) {
            task.abort();
        }
    }

    /// Closes idle connections that are of no more use.
    pub(super) fn sweep(&self) {
        self.targets().for_each(|target| target.sweep());
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.stop();
    }
}

fn teller(target: Arc<LiveTarget>, epoch: Epoch, reports: UnboundedSender<HealthReport>) -> impl Fn(Health) {
    move |health| {
        if target.find_health(epoch, &health) {
            send(&reports, &target, health);
        }
    }
}

fn send(reports: &UnboundedSender<HealthReport>, target: &LiveTarget, health: Health) {
    // Nobody listens any more when the control plane is going down.
    let _ = reports.send(HealthReport { group: target.group.clone(), target: target.id.clone(), health });
}

fn mode(group: &TargetGroup, target: &Target, in_use: bool) -> Mode {
    match target.state {
        TargetState::Draining => Mode::Draining,
        TargetState::Active if !in_use => Mode::Unused,
        TargetState::Active if group.health_check.enabled => Mode::Checked(group.health_check.clone()),
        TargetState::Active => Mode::Unchecked,
    }
}

fn groups_in_use(table: &RoutingTable) -> HashSet<GroupId> {
    let actions = table.listeners.iter().flat_map(|listener| {
        listener.rules.iter().map(|rule| &rule.action).chain(std::iter::once(&listener.default_action))
    });
    let forwards = actions.filter_map(|action| match action {
        Action::Forward { groups, .. } => Some(groups),
        _ => None,
    });
    forwards.flatten().map(|(group, _)| group.clone()).collect()
}
