//! Delivering events to notifiers without ever delaying the run.
//!
//! Each notifier has its own task and queue: it gets every event in order, and a slow, failing or
//! panicking one harms nobody else. What it does not take in time at the end is dropped.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use pipeline_sdk::{EventRecord, Notifier, NotifyError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backoff::Jitter;

/// How long notifiers may take.
#[derive(Clone, Copy, Debug)]
pub struct NotifyLimits {
    /// For one attempt to deliver one event.
    pub attempt: Duration,
    /// How often one event is tried.
    pub attempts: u32,
    /// Before the second attempt; doubles from there, with jitter.
    pub backoff: Duration,
    /// For everything that is still queued when the run ends.
    pub flush: Duration,
}

impl Default for NotifyLimits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(10),
            attempts: 4,
            backoff: Duration::from_millis(500),
            // Long enough for a second attempt after one that was throttled or timed out.
            flush: Duration::from_secs(30),
        }
    }
}

/// Called with the name of a notifier and what is wrong with it.
pub(crate) type Complaint = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The queues of all notifiers of a run.
pub(crate) struct Notifications {
    queues: Vec<Queue>,
    limits: NotifyLimits,
}

struct Queue {
    name: String,
    events: mpsc::UnboundedSender<Arc<EventRecord>>,
    task: JoinHandle<()>,
}

impl Notifications {
    /// Starts a task for each notifier. `complain` hears at most once about each.
    pub(crate) fn start(
        notifiers: Vec<(String, Arc<dyn Notifier>)>,
        limits: NotifyLimits,
        jitter: Jitter,
        complain: &Complaint,
    ) -> Self {
        let start = |(name, notifier): (String, Arc<dyn Notifier>)| {
            let (events, queue) = mpsc::unbounded_channel();
            let delivery =
                Delivery { name: name.clone(), notifier, limits, jitter, complain: complain.clone() };
            Queue { name, events, task: tokio::spawn(delivery.run(queue)) }
        };
        Self { queues: notifiers.into_iter().map(start).collect(), limits }
    }

    /// Queues `record` for every notifier. Returns at once.
    pub(crate) fn push(&self, record: &EventRecord) {
        if self.queues.is_empty() {
            return;
        }
        let record = Arc::new(record.clone());
        for queue in &self.queues {
            // The task has ended only if the notifier's process is beyond help; it complained then.
            let _ = queue.events.send(record.clone());
        }
    }

    /// Waits until everything is delivered, but not longer than the limit. Returns the notifiers that
    /// did not get everything.
    pub(crate) async fn flush(self) -> Vec<String> {
        let deadline = Instant::now() + self.limits.flush;
        let mut late = Vec::new();
        for Queue { name, events, mut task } in self.queues {
            drop(events);
            if timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
                late.push(name);
            }
        }
        late
    }
}

struct Delivery {
    name: String,
    notifier: Arc<dyn Notifier>,
    limits: NotifyLimits,
    jitter: Jitter,
    complain: Complaint,
}

impl Delivery {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<Arc<EventRecord>>) {
        let mut complained = false;
        while let Some(event) = queue.recv().await {
            if let Err(error) = self.deliver(&event).await {
                if !complained {
                    (self.complain)(&self.name, &error.message);
                }
                complained = true;
            }
        }
    }

    async fn deliver(&self, event: &EventRecord) -> Result<(), NotifyError> {
        let mut attempt = 1;
        loop {
            match self.attempt(event).await {
                Err(error) if error.retryable && attempt < self.limits.attempts => {
                    let pause = self.jitter.pause(&self.name, self.limits.backoff, attempt, Duration::MAX);
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn attempt(&self, event: &EventRecord) -> Result<(), NotifyError> {
        let call = AssertUnwindSafe(self.notifier.notify(event)).catch_unwind();
        match timeout(self.limits.attempt, call).await {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(NotifyError { message: "it panicked".to_owned(), retryable: false }),
            Err(_elapsed) => {
                let message = format!("it did not answer within {:?}", self.limits.attempt);
                Err(NotifyError { message, retryable: true })
            }
        }
    }
}
