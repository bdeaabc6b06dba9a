//! Which calls return at once, so that their work needs no other thread.
//!
//! Handing work to a thread and its answer back costs ten times what a short call does. But whoever calls stands still
//! until its call returns, so that only is begun on its thread which was seen to return at once, over and over and just
//! now. It is the same measure by which a host trusts a library.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pipeline_sdk::wire::MessageType;

/// So many calls in a row have to have been quick.
const PROVEN: u32 = 16;

/// A call is quick if it never holds its thread for longer. It may take longer, as long as it waits for what it waits for
/// without a thread.
const QUICK: Duration = Duration::from_millis(1);

/// The last of them has to have been so recent, in milliseconds.
const RECENTLY: u64 = 1_000;

/// How quick calls have been.
pub(crate) struct Pace {
    since: Instant,
    plan: Record,
    rollback: Record,
}

/// The calls of one type.
#[derive(Default)]
struct Record {
    /// How many in a row were quick.
    quick: AtomicU32,
    /// When the last of them ended, in milliseconds since the plugin was opened.
    last: AtomicU64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), plan: Record::default(), rollback: Record::default() }
    }

    /// Others wait for the world sooner or later, whatever they did before, and take long enough for a thread.
    fn record(&self, message: MessageType) -> Option<&Record> {
        match message {
            MessageType::Plan => Some(&self.plan),
            MessageType::Rollback => Some(&self.rollback),
            _ => None,
        }
    }

    /// Whether a call can be begun on the thread of whoever calls.
    pub(crate) fn is_quick(&self, message: MessageType) -> bool {
        self.record(message).is_some_and(|record| {
            record.quick.load(Relaxed) >= PROVEN
                && self.millis(Instant::now()).saturating_sub(record.last.load(Relaxed)) < RECENTLY
        })
    }

    /// Does the work of a call, and remembers how long it held its thread.
    pub(crate) async fn watch(&self, message: MessageType, work: impl Future<Output = ()>) {
        let (mut work, mut longest) = (pin!(work), Duration::ZERO);
        let ended = poll_fn(|waking| {
            let begun = Instant::now();
            let ready = work.as_mut().poll(waking);
            // Reading the clock is a good part of what a short call costs.
            let ended = Instant::now();
            longest = longest.max(ended - begun);
            ready.map(|()| ended)
        })
        .await;
        self.note(message, longest, ended);
    }

    fn note(&self, message: MessageType, held: Duration, ended: Instant) {
        let Some(record) = self.record(message) else { return };
        if held > QUICK {
            return record.quick.store(0, Relaxed);
        }
        record.quick.fetch_add(1, Relaxed);
        record.last.store(self.millis(ended), Relaxed);
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from((at - self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_quick_over_and_over_is_begun_by_whoever_calls() {
        let pace = Pace::new();
        for _ in 0..PROVEN {
            assert!(!pace.is_quick(MessageType::Plan));
            pace.note(MessageType::Plan, QUICK, Instant::now());
        }
        assert!(pace.is_quick(MessageType::Plan));
        assert!(!pace.is_quick(MessageType::Rollback), "each type for itself");
        pace.note(MessageType::Plan, QUICK * 2, Instant::now());
        assert!(!pace.is_quick(MessageType::Plan), "it has to prove it again");
    }

    #[test]
    fn what_changes_the_world_never_is() {
        let pace = Pace::new();
        for _ in 0..PROVEN * 2 {
            pace.note(MessageType::Apply, Duration::ZERO, Instant::now());
        }
        assert!(!pace.is_quick(MessageType::Apply));
    }

    #[tokio::test]
    async fn waiting_does_not_count_and_blocking_does() {
        let pace = Pace::new();
        for _ in 0..PROVEN {
            pace.watch(MessageType::Plan, tokio::time::sleep(QUICK * 3)).await;
        }
        assert!(pace.is_quick(MessageType::Plan));
        pace.watch(MessageType::Plan, async { std::thread::sleep(QUICK * 3) }).await;
        assert!(!pace.is_quick(MessageType::Plan));
    }
}
