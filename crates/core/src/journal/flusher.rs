//! The task that makes a journal durable, and the queue before it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::encoding::{Encoded, Lines};
use super::{JournalError, JournalFile};

/// The longest that a flush waits for others to share it.
const LONGEST_LINGER: Duration = Duration::from_millis(1);

type Answer = Result<(), JournalError>;

/// What is not written yet, and who waits for it.
pub(super) struct Queue {
    pending: Mutex<Pending>,
    /// How many wait for the next flush: for a look without the lock.
    waiting: AtomicUsize,
    wake: Notify,
}

#[derive(Default)]
struct Pending {
    records: Vec<(u64, Timestamp, Encoded)>,
    /// The number of the next record.
    next: u64,
    waiters: Vec<oneshot::Sender<Answer>>,
    poisoned: Option<JournalError>,
    closed: bool,
}

/// Somebody who waits.
pub(super) struct Waiter(oneshot::Receiver<Answer>);

impl Waiter {
    /// The answer, once all that was appended before is durable or will never be.
    pub(super) async fn answer(self) -> Answer {
        // The flusher answers everybody before it ends.
        self.0.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> JournalError {
    JournalError::Poisoned { reason: "the program is ending".to_owned() }
}

impl Queue {
    /// A queue whose first record has the number `next`.
    pub(super) fn new(next: u64) -> Self {
        let pending = Mutex::new(Pending { next, ..Pending::default() });
        Self { pending, waiting: AtomicUsize::new(0), wake: Notify::new() }
    }

    /// Appends a record and returns its number.
    pub(super) fn push(&self, entry: Encoded) -> Result<u64, JournalError> {
        Ok(self.open()?.push(entry))
    }

    /// Appends a record and wakes the flusher.
    pub(super) fn push_and_wait(&self, entry: Encoded) -> Result<(u64, Waiter), JournalError> {
        let mut pending = self.open()?;
        let seq = pending.push(entry);
        Ok((seq, self.wait_with(pending)))
    }

    /// Wakes the flusher to write what is there.
    pub(super) fn wait(&self) -> Result<Waiter, JournalError> {
        self.open().map(|pending| self.wait_with(pending))
    }

    fn wait_with(&self, mut pending: MutexGuard<'_, Pending>) -> Waiter {
        let (told, answer) = oneshot::channel();
        pending.waiters.push(told);
        self.waiting.store(pending.waiters.len(), Ordering::Relaxed);
        drop(pending);
        self.wake.notify_one();
        Waiter(answer)
    }

    /// Lets the flusher write the rest and end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Pending>, JournalError> {
        let pending = self.lock();
        match &pending.poisoned {
            Some(error) => Err(error.clone()),
            None => Ok(pending),
        }
    }

    /// Makes lines of the records that are there. Returns the queue, so that nobody comes in between.
    fn take_records(&self, lines: &mut Lines) -> MutexGuard<'_, Pending> {
        loop {
            let mut pending = self.lock();
            let records = std::mem::take(&mut pending.records);
            if records.is_empty() {
                return pending;
            }
            drop(pending);
            for (seq, at, entry) in records {
                lines.record(seq, at, &entry);
            }
        }
    }

    /// Lets nobody append any more. What a failed flush left on disk is unknown, also after one that
    /// seems to work: the system may have dropped the pages that it could not write.
    fn poison(&self, error: &JournalError) {
        let mut pending = self.lock();
        let lasting = match error {
            JournalError::Io { reason, .. } => JournalError::Poisoned { reason: reason.clone() },
            other => other.clone(),
        };
        let lasting = pending.poisoned.get_or_insert(lasting).clone();
        pending.records.clear();
        for waiter in std::mem::take(&mut pending.waiters) {
            // Nobody listens if the append was cancelled.
            let _ = waiter.send(Err(lasting.clone()));
        }
    }
}

impl Pending {
    fn push(&mut self, entry: Encoded) -> u64 {
        let seq = self.next;
        self.records.push((seq, Timestamp::now(), entry));
        self.next += 1;
        seq
    }
}

/// Writes what is in the queue, one batch after the other, as long as the journal lives.
pub(super) struct Flusher {
    queue: Arc<Queue>,
    file: Box<dyn JournalFile>,
    lines: Lines,
    pace: Pace,
}

impl Flusher {
    pub(super) fn new(queue: Arc<Queue>, file: Box<dyn JournalFile>, lines: Lines) -> Self {
        Self { queue, file, lines, pace: Pace::default() }
    }

    pub(super) async fn run(mut self) {
        loop {
            let (idle, closed) = {
                let pending = self.queue.lock();
                (pending.waiters.is_empty(), pending.closed)
            };
            if idle && !closed {
                self.queue.wake.notified().await;
                continue;
            }
            if !closed {
                self.gather().await;
            }
            if self.flush().await.is_err() || closed {
                return;
            }
        }
    }

    /// Waits a moment for those who shared the last flush. Without that they would come just after
    /// this one has begun, and every other flush would be nearly empty.
    async fn gather(&mut self) {
        let since = Instant::now();
        while self.queue.waiting.load(Ordering::Relaxed) < self.pace.expected
            && since.elapsed() < self.pace.linger
        {
            drop(self.queue.take_records(&mut self.lines));
            // A timer of tokio is not finer than what is waited for.
            tokio::task::yield_now().await;
        }
    }

    async fn flush(&mut self) -> Answer {
        let waiters = {
            let mut pending = self.queue.take_records(&mut self.lines);
            self.queue.waiting.store(0, Ordering::Relaxed);
            std::mem::take(&mut pending.waiters)
        };
        let text = std::mem::take(&mut self.lines.text);
        let since = Instant::now();
        let result = if text.is_empty() { Ok(()) } else { self.file.append(Bytes::from(text)).await };
        if let Err(error) = &result {
            self.queue.poison(error);
        }
        self.pace.ended(since.elapsed(), waiters.len() + self.queue.waiting.load(Ordering::Relaxed));
        for waiter in waiters {
            let _ = waiter.send(result.clone());
        }
        result
    }
}

impl Drop for Flusher {
    /// Also when the file panicked or the runtime ends: nobody may wait for ever.
    fn drop(&mut self) {
        self.queue.poison(&gone());
    }
}

/// How flushes went so far.
#[derive(Default)]
struct Pace {
    /// How many are likely to share the next flush.
    expected: usize,
    /// How long to wait for them.
    linger: Duration,
}

impl Pace {
    /// A flush took `elapsed`, and this many waited for it or wait for the next one.
    fn ended(&mut self, elapsed: Duration, writers: usize) {
        self.expected = writers;
        self.linger = (elapsed / 4).min(LONGEST_LINGER);
    }
}
