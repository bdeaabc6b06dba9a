//! Makes the load balancers of the world real: hands the data plane a routing table on every change,
//! takes back where listeners are bound and how targets are, and ends draining in time.

mod table;

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::clock::Clock;
use crate::services::elbv2;
use crate::world::{Arn, State, World};
use pipeline_balancer::{Balancer, Bound, HealthReport, Options, RoutingTable};

/// A burst of changes shares one table.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// When listeners that got no address are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The glue between the world and the load balancer.
pub(crate) struct Routing {
    world: World,
    balancer: Balancer,
    reports: UnboundedReceiver<HealthReport>,
    /// The table in force.
    table: RoutingTable,
    /// Some listener got no address.
    incomplete: bool,
}

impl Routing {
    /// Starts a load balancer without listeners.
    pub(crate) fn start(world: World, clock: Clock) -> io::Result<Self> {
        let (sender, reports) = mpsc::unbounded_channel();
        let balancer = Balancer::start(Options { speed: clock.speed() }, sender)?;
        Ok(Self { world, balancer, reports, table: RoutingTable::default(), incomplete: false })
    }

    /// Follows the world until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut changes = self.world.watch();
        changes.mark_changed();
        loop {
            let pause = self.pause();
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(DEBOUNCE).await;
                    changes.mark_unchanged();
                    self.follow().await;
                }
                Some(report) = self.reports.recv() => self.take_reports(report),
                () = tokio::time::sleep(pause) => {
                    self.end_draining();
                    if self.incomplete {
                        self.apply(self.table.clone()).await;
                    }
                }
            }
        }
    }

    /// How long nothing has to be done by itself.
    fn pause(&self) -> Duration {
        let next = self.world.read(next_drained);
        let until =
            next.map(|at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
        let retry = if self.incomplete { RETRY } else { Duration::from_secs(3600) };
        until.map_or(retry, |until| until.min(retry))
    }

    async fn follow(&mut self) {
        let table = self.world.read(table::build);
        if table != self.table {
            self.apply(table).await;
        }
    }

    async fn apply(&mut self, table: RoutingTable) {
        let bound = self.balancer.apply(table.clone()).await;
        self.table = table;
        self.incomplete = bound.iter().any(|bound| bound.actual.is_none());
        self.world.write_if(|state| ((), keep_bound(state, &bound)));
    }

    fn take_reports(&mut self, first: HealthReport) {
        let mut reports = vec![first];
        while let Ok(report) = self.reports.try_recv() {
            reports.push(report);
        }
        self.world.write_if(|state| {
            let changes: Vec<bool> = reports.iter().map(|report| keep_report(state, report)).collect();
            ((), changes.contains(&true))
        });
    }

    fn end_draining(&self) {
        let now = Timestamp::now();
        self.world.write_if(|state| {
            let mut any = false;
            for account in state.accounts.values_mut() {
                for region in account.regions.values_mut() {
                    any |= elbv2::forget_drained(&mut region.elbv2, now);
                }
            }
            ((), any)
        });
    }
}

/// When the next target has drained.
fn next_drained(state: &State) -> Option<Timestamp> {
    let groups = state.regions().flat_map(|(_, region)| region.elbv2.target_groups.values());
    groups.flat_map(|group| &group.targets).filter_map(|target| target.drains_until).min()
}

/// The load balancing of the region that an ARN names, if that is in use.
fn region_of<'a>(state: &'a mut State, arn: &str) -> Option<&'a mut elbv2::Elbv2State> {
    let arn = Arn::parse(arn)?;
    let region = state.accounts.get_mut(arn.account)?.regions.get_mut(arn.region)?;
    Some(&mut region.elbv2)
}

/// Keeps where listeners are; tells whether that is news.
fn keep_bound(state: &mut State, bound: &[Bound]) -> bool {
    let mut any = false;
    for bound in bound {
        let arn = bound.listener.as_str();
        let trouble = bound.error.as_ref().map(ToString::to_string);
        let Some(elbv2) = region_of(state, arn) else { continue };
        let Some(listener) = elbv2.listeners.get_mut(arn) else { continue };
        if listener.bound != bound.actual || listener.trouble != trouble {
            if let Some(trouble) = &trouble {
                tracing::warn!(listener = arn, "{trouble}");
            }
            listener.bound = bound.actual;
            listener.trouble = trouble;
            any = true;
        }
    }
    any
}

/// Keeps what was heard of a target; tells whether that is news.
fn keep_report(state: &mut State, report: &HealthReport) -> bool {
    let group = report.group.as_str();
    let Some(group) = region_of(state, group).and_then(|elbv2| elbv2.target_groups.get_mut(group)) else {
        return false;
    };
    let same = |target: &&mut elbv2::Target| table::target_id(target) == report.target;
    let Some(target) = group.targets.iter_mut().find(same) else { return false };
    let health = elbv2::Health {
        state: report.health.state.as_str().to_owned(),
        reason: report.health.reason.map(|reason| reason.as_str().to_owned()),
        description: report.health.description.clone(),
    };
    let news = target.reported.as_ref() != Some(&health);
    target.reported = Some(health);
    news
}

#[cfg(test)]
mod tests;
