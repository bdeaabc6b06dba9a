//! Waiting for a lock that somebody else holds.

use std::time::Duration;

use jiff::Timestamp;
use pipeline_sdk::CancellationToken;
use rand::Rng as _;
use tokio::time::{Instant, sleep};

use super::{Holder, StoreError};

/// How long to pause between two attempts, in milliseconds. Random, so that those who wait do not all
/// come at once.
const PAUSE: std::ops::Range<u64> = 200..600;

/// Is told who holds the lock, if that is known.
type Told<'a> = Box<dyn FnMut(Option<&Holder>) + Send + 'a>;

/// How to wait for a lock.
pub struct Wait<'a> {
    timeout: Duration,
    told: Told<'a>,
    /// Whoever waits wants it no longer.
    given_up: CancellationToken,
}

impl<'a> Wait<'a> {
    /// Does not wait.
    pub fn never() -> Self {
        Self::at_most(Duration::ZERO, |_| ())
    }

    /// Waits for up to `timeout`. `told` is called once, with the holder, if there is a wait at all.
    pub fn at_most(timeout: Duration, told: impl FnMut(Option<&Holder>) + Send + 'a) -> Self {
        Self { timeout, told: Box::new(told), given_up: CancellationToken::new() }
    }

    /// Stops to wait when `given_up` is cancelled. An attempt that has begun is not cut short: it may get the lock.
    #[must_use]
    pub fn unless(mut self, given_up: CancellationToken) -> Self {
        self.given_up = given_up;
        self
    }

    /// Tries until it works, something else is wrong or the time is over. An attempt after a wait gets
    /// the time that it begins.
    pub(super) async fn poll<T, F>(
        mut self,
        attempt: impl Fn(Option<Timestamp>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut since = None;
        loop {
            let result = attempt(since).await;
            let left = deadline.saturating_duration_since(Instant::now());
            match result {
                Err(StoreError::Locked { holder, .. })
                    if !left.is_zero() && !self.given_up.is_cancelled() =>
                {
                    if since.is_none() {
                        (self.told)(holder.as_ref());
                    }
                    let pause = Duration::from_millis(rand::rng().random_range(PAUSE));
                    tokio::select! {
                        () = self.given_up.cancelled() => {}
                        () = sleep(pause.min(left)) => {}
                    }
                    since = Some(Timestamp::now());
                }
                result => return result,
            }
        }
    }
}
