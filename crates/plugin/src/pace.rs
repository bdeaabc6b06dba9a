//! Which calls return at once, so that their work needs no other thread.
//!
//! Handing work to a thread and its answer back costs ten times what a short call does. But whoever calls stands still
//! until its call returns, so that only is begun on its thread which was seen to return at once, over and over. It is
//! the same measure by which a host trusts a library, which besides wants it to have been just now.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pipeline_sdk::wire::MessageType;

/// So many calls in a row have to have been quick.
const PROVEN: u32 = 16;

/// A call is quick if it never holds its thread for longer. It may take longer, as long as it waits for what it waits for
/// without a thread.
const QUICK: Duration = Duration::from_millis(1);

/// How many calls in a row were quick, of each type that may be.
#[derive(Default)]
pub(crate) struct Pace {
    plan: AtomicU32,
    rollback: AtomicU32,
}

impl Pace {
    /// Others wait for the world sooner or later, whatever they did before, and take long enough for a thread.
    fn quick(&self, message: MessageType) -> Option<&AtomicU32> {
        match message {
            MessageType::Plan => Some(&self.plan),
            MessageType::Rollback => Some(&self.rollback),
            _ => None,
        }
    }

    /// Whether a call can be begun on the thread of whoever calls.
    pub(crate) fn is_quick(&self, message: MessageType) -> bool {
        self.quick(message).is_some_and(|quick| quick.load(Relaxed) >= PROVEN)
    }

    /// Does the work of a call, and remembers how long it held its thread.
    pub(crate) async fn watch<F: Future + Unpin>(&self, message: MessageType, mut work: F) -> F::Output {
        let mut longest = Duration::ZERO;
        let output = poll_fn(|waking| {
            let begun = Instant::now();
            let polled = Pin::new(&mut work).poll(waking);
            longest = longest.max(begun.elapsed());
            polled
        });
        let output = output.await;
        self.note(message, longest);
        output
    }

    fn note(&self, message: MessageType, held: Duration) {
        let Some(quick) = self.quick(message) else { return };
        if held > QUICK {
            quick.store(0, Relaxed);
        } else {
            quick.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_quick_over_and_over_is_begun_by_whoever_calls() {
        let pace = Pace::default();
        for _ in 0..PROVEN {
            assert!(!pace.is_quick(MessageType::Plan));
            pace.note(MessageType::Plan, QUICK);
        }
        assert!(pace.is_quick(MessageType::Plan));
        assert!(!pace.is_quick(MessageType::Rollback), "each type for itself");
        pace.note(MessageType::Plan, QUICK * 2);
        assert!(!pace.is_quick(MessageType::Plan), "it has to prove it again");
    }

    #[test]
    fn what_changes_the_world_never_is() {
        let pace = Pace::default();
        for _ in 0..PROVEN * 2 {
            pace.note(MessageType::Apply, Duration::ZERO);
        }
        assert!(!pace.is_quick(MessageType::Apply));
    }

    #[tokio::test]
    async fn waiting_does_not_count_and_blocking_does() {
        let pace = Pace::default();
        for _ in 0..PROVEN {
            pace.watch(MessageType::Plan, Box::pin(tokio::time::sleep(QUICK * 3))).await;
        }
        assert!(pace.is_quick(MessageType::Plan));
        pace.watch(MessageType::Plan, Box::pin(async { std::thread::sleep(QUICK * 3) })).await;
        assert!(!pace.is_quick(MessageType::Plan));
    }
}
