//! Pauses between attempts.

use std::time::Duration;

use rand::Rng as _;

/// How long to wait before attempt `attempt`, counted from 1, is repeated: at random, up to a limit that
/// begins with `first`, doubles with each attempt and ends with `longest`. Those that failed together do not
/// come back together.
pub(crate) fn pause(first: Duration, attempt: u32, longest: Duration) -> Duration {
    let limit = first.saturating_mul(2u32.saturating_pow(attempt - 1)).min(longest);
    limit.mul_f64(rand::rng().random_range(0.5..=1.0))
}
