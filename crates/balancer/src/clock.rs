//! Two notions of time: a coarse one that is free to read, and the configured pace of ELB's own timers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often the coarse clock moves.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// Milliseconds since the balancer started, as of the last [`TICK`]. Reading the time for every read and write
/// of every connection would cost more than the resolution is worth.
#[derive(Clone, Debug, Default)]
pub(super) struct CoarseClock(Arc<AtomicU32>);

impl CoarseClock {
    pub(super) fn now(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Time since an earlier reading. Wraps after 49 days, which only matters to what idles that long.
    pub(super) fn since(&self, earlier: u32) -> Duration {
        Duration::from_millis(u64::from(self.now().wrapping_sub(earlier)))
    }

    /// Moves the clock.
    pub(super) fn advance(&self, started: Instant) {
        self.0.store(started.elapsed().as_millis() as u32, Relaxed);
    }
}

/// How fast ELB's timers run compared with real time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace(f64);

impl Pace {
    pub(super) fn new(speed: f64) -> Self {
        Self(if speed.is_finite() && speed > 0.0 { speed } else { 1.0 })
    }

    /// A configured duration in real time.
    pub(super) fn real(self, configured: Duration) -> Duration {
        configured.div_f64(self.0)
    }

    /// A configured time limit in real time. A target computes no faster in a rehearsal, so that a limit is
    /// never shortened to less than a second.
    pub(super) fn limit(self, configured: Duration) -> Duration {
        self.real(configured).max(configured.min(Duration::from_secs(1)))
    }
}
