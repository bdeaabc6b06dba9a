//! Counters: a few relaxed atomics per request, read as a snapshot when somebody asks.

use super::table::{GroupId, ListenerId, TargetId};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A snapshot of all counters. They count from the start of the listener or the registration of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// One entry a listener.
    pub listeners: Vec<ListenerMetrics>,
    /// One entry a target of each group.
    pub targets: Vec<TargetMetrics>,
}

/// Counters of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerMetrics {
    /// Which listener.
    pub listener: ListenerId,
    /// Requests received (`RequestCount` counts those among them that were sent to a target).
    pub requests: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub active_connections: u64,
    /// Answers that the balancer made itself, by class: index 2 is 2xx (fixed responses), 3 redirects, 5 is
    /// `HTTPCode_ELB_5XX_Count`.
    pub own_responses: [u64; 6],
}

/// Counters of a target in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetMetrics {
    /// The group.
    pub group: GroupId,
    /// The target.
    pub target: TargetId,
    /// Requests sent to it.
    pub requests: u64,
    /// Requests in flight now; 0 for a draining target means that it may be stopped.
    pub outstanding: u64,
    /// Connections that could not be made, or broke before an answer.
    pub connection_errors: u64,
    /// Its answers by class: index 5 is `HTTPCode_Target_5XX_Count`.
    pub responses: [u64; 6],
    /// Sum of the times from sending a request to the head of its response, in microseconds.
    pub response_time_micros: u64,
}

/// Answers by status class.
#[derive(Debug, Default)]
pub(super) struct StatusCounters([AtomicU64; 6]);

impl StatusCounters {
    pub(super) fn count(&self, status: http::StatusCode) {
        self.0[usize::from(status.as_u16() / 100).min(5)].fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> [u64; 6] {
        std::array::from_fn(|class| self.0[class].load(Relaxed))
    }
}
