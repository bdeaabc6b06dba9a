//! A lock that lives only as long as it is renewed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use object_store::UpdateVersion;
use pipeline_sdk::CancellationToken;
use tokio::time::{Instant, sleep, timeout};

use super::Object;
use super::conditional::Put;
use super::lock_file::LockFile;
use crate::store::{Holder, StoreError};

/// The part of its life that a lease is not believed in any more, since no two clocks run alike.
const MARGIN: u32 = 10;

/// How often in its life a lease is renewed.
const RENEWALS: u32 = 3;

/// Measures time that also passes while the machine sleeps.
#[derive(Clone, Copy)]
pub(super) struct Stopwatch {
    instant: Instant,
    wall: SystemTime,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }

    /// Never too little: the steady clock stands still while a laptop sleeps or a virtual machine is
    /// paused, and the other one may be set back.
    fn elapsed(&self) -> Duration {
        self.elapsed_at(Instant::now(), SystemTime::now())
    }

    fn elapsed_at(&self, instant: Instant, wall: SystemTime) -> Duration {
        let steady = instant.saturating_duration_since(self.instant);
        steady.max(wall.duration_since(self.wall).unwrap_or_default())
    }
}

/// The lease of one lock, and the task that renews it.
pub(super) struct Lease {
    pub(super) environment: String,
    object: Object,
    life: Duration,
    /// When the request began that renewed it last: it lives at least as long from then on.
    renewed: Mutex<Stopwatch>,
    /// What is in the store. Locked while it is written.
    current: tokio::sync::Mutex<(LockFile, UpdateVersion)>,
    lost: CancellationToken,
    released: CancellationToken,
    /// Who has the lock instead, if that is known.
    taken_by: Mutex<Option<Holder>>,
}

impl Lease {
    /// The lease that was just taken by a request that began at `since`.
    pub(super) fn start(
        environment: &str,
        object: Object,
        current: (LockFile, UpdateVersion),
        since: Stopwatch,
    ) -> Arc<Self> {
        let lease = Arc::new(Self {
            environment: environment.to_owned(),
            object,
            life: current.0.life(),
            renewed: Mutex::new(since),
            current: tokio::sync::Mutex::new(current),
            lost: CancellationToken::new(),
            released: CancellationToken::new(),
            taken_by: Mutex::new(None),
        });
        tokio::spawn(lease.clone().keep());
        lease
    }

    /// How long it is certain yet; zero once it is lost or given back.
    pub(super) fn left(&self) -> Duration {
        if self.lost.is_cancelled() || self.released.is_cancelled() {
            return Duration::ZERO;
        }
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        (self.life - self.life / MARGIN).saturating_sub(renewed.elapsed())
    }

    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Why nothing may be done any more.
    pub(super) fn why_lost(&self) -> StoreError {
        let by = self.taken_by.lock().unwrap_or_else(PoisonError::into_inner).clone();
        StoreError::Lost { environment: self.environment.clone(), by }
    }

    async fn keep(self: Arc<Self>) {
        tokio::select! {
            () = self.released.cancelled() => {}
            () = self.run_out() => self.lost.cancel(),
            () = self.renew_again_and_again() => self.lost.cancel(),
        }
    }

    /// Returns once the lease is not certain any more.
    async fn run_out(&self) {
        loop {
            let left = self.left();
            if left.is_zero() {
                return;
            }
            // Looks more often than needed: the machine may have slept.
            sleep(left.min(self.life / (2 * RENEWALS))).await;
        }
    }

    /// Returns once somebody else has the lock.
    async fn renew_again_and_again(&self) {
        loop {
            sleep(self.life / RENEWALS).await;
            if !self.renew_at_last().await {
                return;
            }
        }
    }

    /// Renews it, however often that takes; `false` if somebody else has the lock.
    async fn renew_at_last(&self) -> bool {
        let pause = self.life / RENEWALS;
        loop {
            // A request that is given up may still arrive; the next one finds that.
            match timeout(pause, self.renew()).await {
                Ok(Ok(Renewal::Renewed)) => return true,
                Ok(Ok(Renewal::Taken(by))) => {
                    *self.taken_by.lock().unwrap_or_else(PoisonError::into_inner) = by;
                    return false;
                }
                _ => tracing::warn!(environment = self.environment, "the lock could not be renewed"),
            }
            sleep(pause / 4).await;
        }
    }

    /// Renews it at once.
    pub(super) async fn confirm(&self) -> Result<(), StoreError> {
        let renewed = tokio::select! {
            biased;
            () = self.lost.cancelled() => false,
            renewed = self.renew_at_last() => renewed,
        };
        if renewed {
            return Ok(());
        }
        self.lost.cancel();
        Err(self.why_lost())
    }

    async fn renew(&self) -> Result<Renewal, StoreError> {
        let mut current = self.current.lock().await;
        loop {
            let (next, since) = (current.0.renewed(), Stopwatch::start());
            match self.object.put(next.write(), Some(&current.1)).await? {
                Put::Written(version) => {
                    *current = (next, version);
                    if self.left().is_zero() {
                        // Others may have had it and given it back in between.
                        return Ok(Renewal::Taken(None));
                    }
                    *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = since;
                    return Ok(Renewal::Renewed);
                }
                Put::Other(None) => return Ok(Renewal::Taken(None)),
                Put::Other(Some(found)) => {
                    let lock = LockFile::read(&self.object, &found.bytes)?;
                    if lock.nonce != current.0.nonce || lock.holder.is_none() {
                        return Ok(Renewal::Taken(lock.holder));
                    }
                    // An earlier renewal that was given up has arrived. When it was sent is not known
                    // here, so it proves nothing, but the next one goes on from it.
                    *current = (lock, found.version);
                }
            }
        }
    }

    /// Stops renewing, and tells everybody that the lock is free.
    pub(super) async fn release(&self) -> Result<(), StoreError> {
        if self.released.is_cancelled() || self.lost.is_cancelled() {
            self.released.cancel();
            return Ok(());
        }
        self.released.cancel();
        let mut current = self.current.lock().await;
        loop {
            match self.object.put(current.0.released().write(), Some(&current.1)).await? {
                Put::Other(Some(found)) => {
                    let lock = LockFile::read(&self.object, &found.bytes)?;
                    if lock.nonce != current.0.nonce || lock.holder.is_none() {
                        return Ok(());
                    }
                    *current = (lock, found.version);
                }
                Put::Written(_) | Put::Other(None) => return Ok(()),
            }
        }
    }

    /// Whether the lock still has to be given back.
    pub(super) fn is_open(&self) -> bool {
        !self.released.is_cancelled() && !self.lost.is_cancelled()
    }

    /// Stops renewing without telling anybody.
    pub(super) fn abandon(&self) {
        self.released.cancel();
    }
}

/// What came of a renewal.
enum Renewal {
    Renewed,
    Taken(Option<Holder>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slept_does_not_believe_in_its_lease() {
        let watch = Stopwatch::start();
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        assert_eq!(watch.elapsed_at(watch.instant + second, watch.wall + hour), hour);
        assert_eq!(watch.elapsed_at(watch.instant + second, watch.wall - hour), second);
    }
}
