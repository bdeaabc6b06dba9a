//! A target as it runs: its health, its requests in flight and its idle connections.
//!
//! It outlives the routing tables it appears in, so that a new table loses nothing of this.

use super::clock::CoarseClock;
use super::metrics::{StatusCounters, TargetMetrics};
use super::report::{Health, HealthState};
use super::table::{GroupId, TargetId, TargetProtocol};
use super::upstream::Upstream;
use super::workers::Workers;
use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Idle connections that a worker keeps to one target; more are closed after use.
const POOL_SIZE: usize = 512;

/// Idle connections are not kept longer: many servers close them after 5 s, and a request that is sent at that
/// moment would have to be sent again.
const POOL_AGE: Duration = Duration::from_secs(4);

/// A request that cannot be sent twice only takes a connection that was in use this recently, because a target
/// does not give up such a connection for being idle.
const RECENT: Duration = Duration::from_secs(1);

/// Counts the control plane's decisions on a target, so that a health check that started before the last one
/// cannot overrule it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// A target as it runs.
pub(super) struct LiveTarget {
    pub(super) group: GroupId,
    pub(super) id: TargetId,
    pub(super) address: SocketAddr,
    pub(super) protocol: TargetProtocol,
    clock: CoarseClock,
    health: Mutex<(Health, Epoch)>,
    /// The state of `health`, for every request to read.
    state: AtomicU8,
    healthy_since: AtomicU32,
    cut: AtomicBool,
    outstanding: AtomicU64,
    /// Idle connections, by the worker whose event loop they belong to.
    pools: Box<[Mutex<Vec<Upstream>>]>,
    requests: AtomicU64,
    connection_errors: AtomicU64,
    responses: StatusCounters,
    response_time_micros: AtomicU64,
}

impl LiveTarget {
    pub(super) fn new(
        group: GroupId,
        id: TargetId,
        address: SocketAddr,
        protocol: TargetProtocol,
        clock: CoarseClock,
    ) -> Self {
        Self {
            group,
            id,
            address,
            protocol,
            healthy_since: AtomicU32::new(clock.now()),
            clock,
            health: Mutex::new((Health::registering(), Epoch::default())),
            state: AtomicU8::new(HealthState::Initial as u8),
            cut: AtomicBool::new(false),
            outstanding: AtomicU64::new(0),
            pools: (0..Workers::count()).map(|_| Mutex::default()).collect(),
            requests: AtomicU64::new(0),
            connection_errors: AtomicU64::new(0),
            responses: StatusCounters::default(),
            response_time_micros: AtomicU64::new(0),
        }
    }

    /// Sets the health by decision of the control plane, or begins a new epoch with the health it has.
    pub(super) fn decide_health(&self, health: Option<Health>) -> (Health, Epoch) {
        let mut current = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        current.1.0 += 1;
        if let Some(health) = health {
            self.enter(&health);
            current.0 = health;
        }
        current.clone()
    }

    /// Sets the health that a check found, if the epoch in which the check began still lasts.
    pub(super) fn find_health(&self, epoch: Epoch, health: &Health) -> bool {
        let mut current = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = current.1 == epoch;
        if lasts {
            self.enter(health);
            current.0 = health.clone();
        }
        lasts
    }

    fn enter(&self, health: &Health) {
        let before = self.state.swap(health.state as u8, SeqCst);
        if health.state == HealthState::Healthy && before != HealthState::Healthy as u8 {
            self.healthy_since.store(self.clock.now(), Relaxed);
        }
        if health.state == HealthState::Draining {
            self.purge(|_| false);
        }
    }

    /// Healthy, or not checked at all.
    pub(super) fn is_healthy(&self) -> bool {
        let state = self.state.load(Relaxed);
        state == HealthState::Healthy as u8 || state == HealthState::Unavailable as u8
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state.load(SeqCst) == HealthState::Draining as u8
    }

    /// Time since the target became healthy.
    pub(super) fn healthy_for(&self) -> Duration {
        self.clock.since(self.healthy_since.load(Relaxed))
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding.load(Relaxed)
    }

    /// Ends or goes on with requests in flight: their connections look at this about once a second.
    pub(super) fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Relaxed);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// Counts a request in, unless the target drains. The order matters: whoever sets the target to draining and
    /// then reads no outstanding requests may stop it, because a request counted in later sees the state.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.outstanding.fetch_add(1, SeqCst);
        let lease = Lease { target: self.clone() };
        (!self.is_draining()).then_some(lease)
    }

    /// Closes idle connections that are too old or that the target has closed.
    pub(super) fn sweep(&self) {
        self.purge(|upstream| self.clock.since(upstream.idle_since) < POOL_AGE && upstream.is_open());
    }

    fn purge(&self, mut keep: impl FnMut(&mut Upstream) -> bool) {
        for pool in &self.pools {
            pool.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|upstream| keep(upstream));
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Upstream>> {
        self.pools[Workers::shard()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn metrics(&self) -> TargetMetrics {
        TargetMetrics {
            group: self.group.clone(),
            target: self.id.clone(),
            requests: self.requests.load(Relaxed),
            outstanding: self.outstanding(),
            connection_errors: self.connection_errors.load(Relaxed),
            responses: self.responses.read(),
            response_time_micros: self.response_time_micros.load(Relaxed),
        }
    }
}

/// The right to send one request to a target; it counts as outstanding until this is dropped.
pub(super) struct Lease {
    target: Arc<LiveTarget>,
}

impl Lease {
    pub(super) fn target(&self) -> &Arc<LiveTarget> {
        &self.target
    }

    /// An idle connection that looks open.
    pub(super) fn take_idle(&self, can_be_sent_twice: bool) -> Option<Upstream> {
        loop {
            let mut upstream = self.target.idle().pop()?;
            let idle = self.target.clock.since(upstream.idle_since);
            if upstream.is_open() && idle < if can_be_sent_twice { POOL_AGE } else { RECENT } {
                return Some(upstream);
            }
        }
    }

    /// Ends the exchange; the connection is kept if it can carry another request.
    pub(super) fn give_back(self, mut upstream: Upstream) {
        if self.target.is_draining() || !upstream.is_open() {
            return;
        }
        upstream.idle_since = self.target.clock.now();
        let mut idle = self.target.idle();
        if idle.len() < POOL_SIZE {
            idle.push(upstream);
        }
    }

    pub(super) fn count_sent(&self) {
        self.target.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn count_connection_error(&self) {
        self.target.connection_errors.fetch_add(1, Relaxed);
    }

    pub(super) fn count_response(&self, status: http::StatusCode, took: Duration) {
        self.target.responses.count(status);
        self.target.response_time_micros.fetch_add(took.as_micros() as u64, Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.target.outstanding.fetch_sub(1, SeqCst);
    }
}
