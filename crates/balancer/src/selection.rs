//! Which group and which target gets a request.

use super::table::{Algorithm, GroupId};
use super::target::{Lease, LiveTarget};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// A target's full share, in the fixed-point numbers of slow start.
const FULL_SHARE: u32 = 1024;

/// A target group as one routing table has it.
pub(super) struct LiveGroup {
    pub(super) id: GroupId,
    pub(super) targets: Vec<Arc<LiveTarget>>,
    pub(super) algorithm: Algorithm,
    /// In real time.
    pub(super) slow_start: Duration,
    pub(super) stickiness: Option<Duration>,
    /// Counts requests.
    pub(super) turn: AtomicU32,
}

impl LiveGroup {
    /// Takes a target: among the healthy ones, or among all registered ones when none is healthy (ELB "fails
    /// open"). Those in `tried` come last. `None` when there is nothing but draining targets.
    pub(super) fn lease(&self, tried: &[Arc<LiveTarget>], wanted: Option<&LiveTarget>) -> Option<Lease> {
        let fresh = |target: &LiveTarget| !tried.iter().any(|other| std::ptr::eq(&**other, target));
        if let Some(wanted) = wanted.filter(|target| target.is_healthy() && fresh(target))
            && let Some(lease) = self.targets.iter().find(|target| std::ptr::eq(&***target, wanted))?.lease()
        {
            return Some(lease);
        }
        self.choose(|target| target.is_healthy() && fresh(target))
            .or_else(|| self.choose(|target| !target.is_draining() && fresh(target)))
            .or_else(|| if tried.is_empty() { None } else { self.choose(|target| !target.is_draining()) })
    }

    fn choose(&self, eligible: impl Fn(&LiveTarget) -> bool) -> Option<Lease> {
        // A target may start to drain between the look and the lease; a second look then leaves it out.
        for _ in 0..3 {
            let mut candidates = self.targets.iter().filter(|target| eligible(target));
            let target = match self.algorithm {
                Algorithm::LeastOutstandingRequests => self.least_outstanding(candidates),
                Algorithm::RoundRobin if self.slow_start.is_zero() => {
                    let count = candidates.clone().count();
                    // Nothing to count turns for when there is no choice.
                    let turn = if count > 1 { self.turn.fetch_add(1, Relaxed) as usize % count } else { 0 };
                    candidates.nth(turn)
                }
                Algorithm::RoundRobin => self.by_share(candidates),
            };
            if let Some(lease) = target?.lease() {
                return Some(lease);
            }
        }
        None
    }

    fn least_outstanding<'a>(
        &self,
        candidates: impl Iterator<Item = &'a Arc<LiveTarget>> + Clone,
    ) -> Option<&'a Arc<LiveTarget>> {
        let count = candidates.clone().count();
        let first = self.turn.fetch_add(1, Relaxed) as usize % count.max(1);
        let rotated = candidates.clone().skip(first).chain(candidates.take(first));
        rotated.min_by_key(|target| target.outstanding())
    }

    /// Slow start applies to targets that join others which already have their full share; with none of those
    /// all get the same
    /// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html>).
    fn by_share<'a>(
        &self,
        candidates: impl Iterator<Item = &'a Arc<LiveTarget>> + Clone,
    ) -> Option<&'a Arc<LiveTarget>> {
        let ramps = candidates.clone().any(|target| target.healthy_for() >= self.slow_start);
        let share = |target: &LiveTarget| {
            let part = target.healthy_for().as_secs_f64() / self.slow_start.as_secs_f64();
            if ramps { ((part * f64::from(FULL_SHARE)) as u32).clamp(1, FULL_SHARE) } else { FULL_SHARE }
        };
        pick(self.turn.fetch_add(1, Relaxed), candidates, |target| share(target))
    }
}

/// Picks by weight. Over successive turns the picks are spread as evenly as the weights allow: each turn moves
/// by the golden ratio around a circle on which the weights are arcs, which needs no lock and no memory.
pub(super) fn pick<T>(
    turn: u32,
    items: impl Iterator<Item = T> + Clone,
    weight: impl Fn(&T) -> u32,
) -> Option<T> {
    const GOLDEN: u32 = 0x9E37_79B9;
    let total: u64 = items.clone().map(|item| u64::from(weight(&item))).sum();
    let mut point = (u64::from(turn.wrapping_mul(GOLDEN)) * total) >> 32;
    for item in items {
        let weight = u64::from(weight(&item));
        if point < weight {
            return Some(item);
        }
        point -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Over any run of turns each item gets its share of them, give or take a few.
        #[test]
        fn picks_follow_the_weights(weights in prop::collection::vec(0u32..=999, 1..6), from: u32) {
            let total: u32 = weights.iter().sum();
            let turns = 1000u32;
            let mut counts = vec![0u32; weights.len()];
            for turn in 0..turns {
                match pick(from.wrapping_add(turn), 0..weights.len(), |&item| weights[item]) {
                    Some(item) => counts[item] += 1,
                    None => prop_assert_eq!(total, 0),
                }
            }
            for (&count, &weight) in counts.iter().zip(&weights) {
                if weight == 0 {
                    prop_assert_eq!(count, 0);
                } else {
                    let share = f64::from(turns) * f64::from(weight) / f64::from(total);
                    prop_assert!((f64::from(count) - share).abs() < 12.0, "{} of {}", count, share);
                }
            }
        }
    }
}
