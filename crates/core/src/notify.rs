//! Delivering events to notifiers without ever delaying the run.
//!
//! Each notifier has its own task and queue: it gets every event in order, and a slow, failing or
//! panicking one harms nobody else. What it does not take in time at the end is dropped. Only for one that is
//! required a run waits before it changes anything, and ends when it misses something.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use pipeline_sdk::{EventRecord, Notifier, NotifyError, async_trait};
use tokio::sync::{mpsc, watch};
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

/// Called with a notifier and what is wrong with it.
pub(crate) type Complaint = Arc<dyn Fn(&NamedNotifier, &str) + Send + Sync>;

/// A notifier by the name that the file gives it.
#[derive(Clone)]
pub(crate) struct NamedNotifier {
    pub(crate) name: String,
    pub(crate) notifier: Arc<dyn Notifier>,
    /// Whether a run that it does not hear of may not go on.
    pub(crate) required: bool,
}

/// Stands for a notifier that could not be made: it misses everything, and harms nobody.
pub(crate) struct Unopened(pub(crate) String);

#[async_trait]
impl Notifier for Unopened {
    async fn notify(&self, _: &EventRecord) -> Result<(), NotifyError> {
        Err(NotifyError { message: self.0.clone(), retryable: false })
    }
}

/// How far a notifier is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// How many events it has taken or missed.
    seen: u64,
    /// Why it missed the first one that it missed.
    missed: Option<String>,
}

/// The queues of all notifiers of a run.
pub(crate) struct Notifications {
    queues: Vec<Queue>,
    limits: NotifyLimits,
}

struct Queue {
    name: String,
    required: bool,
    events: mpsc::UnboundedSender<Arc<EventRecord>>,
    /// How many events were queued.
    queued: u64,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

impl Notifications {
    /// Starts a task for each notifier. `complain` hears at most once about each.
    pub(crate) fn start(
        notifiers: Vec<NamedNotifier>,
        limits: NotifyLimits,
        jitter: Jitter,
        complain: &Complaint,
    ) -> Self {
        let start = |notifier: NamedNotifier| {
            let (events, queue) = mpsc::unbounded_channel();
            let (sender, progress) = watch::channel(Progress::default());
            let NamedNotifier { name, required, .. } = notifier.clone();
            let delivery =
                Delivery { notifier, limits, jitter, complain: complain.clone(), progress: sender };
            Queue { name, required, events, queued: 0, progress, task: tokio::spawn(delivery.run(queue)) }
        };
        Self { queues: notifiers.into_iter().map(start).collect(), limits }
    }

    /// Queues `record` for every notifier. Returns at once.
    pub(crate) fn push(&mut self, record: &EventRecord) {
        if self.queues.is_empty() {
            return;
        }
        let record = Arc::new(record.clone());
        for queue in &mut self.queues {
            queue.queued += 1;
            // The task has ended only if the notifier's process is beyond help; it complained then.
            let _ = queue.events.send(record.clone());
        }
    }

    /// Ends once every required notifier has taken what was queued until now.
    ///
    /// # Errors
    /// The name of one that missed something, and why.
    pub(crate) fn required_have_heard(&self) -> impl Future<Output = Result<(), (String, String)>> + use<> {
        let required = self.queues.iter().filter(|queue| queue.required);
        let waits: Vec<_> =
            required.map(|queue| (queue.name.clone(), queue.queued, queue.progress.clone())).collect();
        async move {
            for (name, queued, mut progress) in waits {
                let heard = progress.wait_for(|progress| progress.seen >= queued).await;
                let missed = match heard {
                    Ok(progress) => progress.missed.clone(),
                    Err(_) => Some("it is beyond help".to_owned()),
                };
                missed.map_or(Ok(()), |why| Err((name, why)))?;
            }
            Ok(())
        }
    }

    /// Waits until everything is delivered, but not longer than the limit. Returns the notifiers that
    /// did not get everything.
    pub(crate) async fn flush(self) -> Vec<String> {
        let deadline = Instant::now() + self.limits.flush;
        let mut late = Vec::new();
        for Queue { name, events, mut task, .. } in self.queues {
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
    notifier: NamedNotifier,
    limits: NotifyLimits,
    jitter: Jitter,
    complain: Complaint,
    progress: watch::Sender<Progress>,
}

impl Delivery {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<Arc<EventRecord>>) {
        let mut complained = false;
        while let Some(event) = queue.recv().await {
            let missed = self.deliver(&event).await.err().map(|error| error.message);
            if let (Some(why), false) = (&missed, complained) {
                (self.complain)(&self.notifier, why);
                complained = true;
            }
            self.progress.send_modify(|progress| {
                progress.seen += 1;
                progress.missed = progress.missed.take().or(missed);
            });
        }
    }

    async fn deliver(&self, event: &EventRecord) -> Result<(), NotifyError> {
        let mut attempt = 1;
        loop {
            match self.attempt(event).await {
                Err(error) if error.retryable && attempt < self.limits.attempts => {
                    let pause =
                        self.jitter.pause(&self.notifier.name, self.limits.backoff, attempt, Duration::MAX);
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn attempt(&self, event: &EventRecord) -> Result<(), NotifyError> {
        let call = AssertUnwindSafe(self.notifier.notifier.notify(event)).catch_unwind();
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
