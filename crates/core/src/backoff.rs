//! Pauses between attempts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// Where the pauses of a run get their chance from: the same seed gives the same pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// How long `whose` waits before attempt `attempt`, counted from 1, is repeated: by chance, up to a limit
    /// that begins with `first`, doubles with each attempt and ends with `longest`. Those that failed together do
    /// not come back together.
    pub(crate) fn pause(self, whose: &str, first: Duration, attempt: u32, longest: Duration) -> Duration {
        let limit = first.saturating_mul(2u32.saturating_pow(attempt - 1)).min(longest);
        let mut hasher = DefaultHasher::new();
        (self.0, whose, attempt).hash(&mut hasher);
        let chance = hasher.finish() as f64 / u64::MAX as f64;
        limit.mul_f64(0.5 + chance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_between_those_who_wait() {
        const FIRST: Duration = Duration::from_secs(1);
        const LONGEST: Duration = Duration::from_secs(30);
        let jitter = Jitter::new(7);
        for (attempt, limit) in [(1, 1), (2, 2), (3, 4), (6, 30), (200, 30)] {
            let pause = jitter.pause("a", FIRST, attempt, LONGEST);
            let limit = Duration::from_secs(limit);
            assert!(pause >= limit / 2 && pause <= limit, "{attempt}: {pause:?}");
        }
        let of = |whose| jitter.pause(whose, FIRST, 1, LONGEST);
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_ne!(of("a"), Jitter::new(8).pause("a", FIRST, 1, LONGEST));
    }
}
