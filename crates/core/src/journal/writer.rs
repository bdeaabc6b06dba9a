//! Writing a journal: appends that come at the same time share one write and one flush.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use pipeline_sdk::{Redactor, RunId};
use tokio::sync::{Notify, oneshot};

use super::encoding::{write_header, write_record};
use super::redaction::redacted;
use super::{Entry, JournalError, JournalFile, Reading, Record, read};
use crate::store::Holder;

/// The longest that a flush waits for others to share it.
const LONGEST_LINGER: Duration = Duration::from_millis(1);

/// How often a new holder tries to get its fence in before a writer that is still alive.
const FENCE_ATTEMPTS: u32 = 8;

/// The journal of a run that goes on.
///
/// Secrets never reach it: every entry goes through the run's redactor. When it is dropped, what was
/// appended without waiting is still written; [`Journal::flush`] tells whether that worked.
pub struct Journal {
    shared: Arc<Shared>,
    redactor: Redactor,
}

impl Journal {
    /// A journal for a run that begins. Its file must not exist; it is made with the first flush.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// None in practice: the first line is always representable.
    pub fn create(file: Box<dyn JournalFile>, run: RunId, redactor: Redactor) -> Result<Self, JournalError> {
        let mut pending = Pending::default();
        write_header(&mut pending.text, &mut pending.chain, run)?;
        Ok(Self::start(file, pending, redactor))
    }

    /// Goes on with the journal of a run whose process is gone: cuts a torn end and writes a fence
    /// for the new holder, so that the old process, should it live, can append nothing more. The fence
    /// is the last of the records that are returned.
    ///
    /// `epoch` is that of the lock; one that is not above all epochs of the journal is raised.
    ///
    /// # Errors
    /// The journal is damaged, of a newer version or of another run, or cannot be read or written.
    pub async fn resume(
        mut file: Box<dyn JournalFile>,
        run: RunId,
        redactor: Redactor,
        (epoch, holder): (u64, Holder),
    ) -> Result<(Self, Reading), JournalError> {
        let mut attempt = 1;
        loop {
            let mut reading = read(&file.read().await?)?;
            if let Some(found) = reading.run.filter(|found| *found != run) {
                return Err(JournalError::OtherRun { found, wanted: run });
            }
            if reading.torn.is_some() {
                file.truncate(reading.length as u64).await?;
            }
            let mut pending = Pending::after(&reading, run)?;
            let epoch = epoch.max(last_epoch(&reading).map_or(0, |last| last + 1));
            let entry = Entry::Fence { epoch, holder: holder.clone() };
            let (seq, at) = pending.record(&entry)?;
            match file.append(Bytes::from(std::mem::take(&mut pending.text))).await {
                Ok(()) => {
                    reading.records.push(Record { seq, at, entry });
                    return Ok((Self::start(file, pending, redactor), reading));
                }
                // The old process lives and was faster; its next append finds the fence.
                Err(JournalError::Fenced { .. }) if attempt < FENCE_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn start(file: Box<dyn JournalFile>, pending: Pending, redactor: Redactor) -> Self {
        let shared = Arc::new(Shared {
            pending: Mutex::new(pending),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
        });
        let flusher = Flusher { shared: shared.clone(), file, pace: Pace::default() };
        tokio::spawn(flusher.run());
        Self { shared, redactor }
    }

    /// Records `entry` and returns its number once it is durable. Dropping the future does not take
    /// the record back.
    ///
    /// # Errors
    /// It is not known whether the record is durable, and the journal takes no more of them.
    pub async fn append(&self, entry: Entry) -> Result<u64, JournalError> {
        let seq = self.append_relaxed(entry)?;
        self.flush().await?;
        Ok(seq)
    }

    /// Records `entry`, which becomes durable together with the next one that is waited for.
    ///
    /// # Errors
    /// An earlier write failed.
    pub fn append_relaxed(&self, entry: Entry) -> Result<u64, JournalError> {
        let entry = redacted(entry, &self.redactor);
        self.shared.pending().record(&entry).map(|(seq, _)| seq)
    }

    /// Returns once all that was appended before is durable.
    ///
    /// # Errors
    /// It is not known whether it is.
    pub async fn flush(&self) -> Result<(), JournalError> {
        let durable = self.shared.wait()?;
        // The flusher answers everybody before it ends, and poisons the rest.
        durable.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.pending().closed = true;
        self.shared.wake.notify_one();
    }
}

fn last_epoch(reading: &Reading) -> Option<u64> {
    let epochs = reading.records.iter().filter_map(|record| match record.entry {
        Entry::Fence { epoch, .. } => Some(epoch),
        _ => None,
    });
    epochs.max()
}

fn gone() -> JournalError {
    JournalError::Poisoned { reason: "the program is ending".to_owned() }
}

struct Shared {
    pending: Mutex<Pending>,
    /// How many wait for the next flush.
    waiting: AtomicUsize,
    wake: Notify,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to what is pending now.
    fn wait(&self) -> Result<oneshot::Receiver<Answer>, JournalError> {
        let (told, durable) = oneshot::channel();
        let mut pending = self.pending();
        if let Some(error) = &pending.poisoned {
            return Err(error.clone());
        }
        pending.waiters.push(told);
        self.waiting.store(pending.waiters.len(), Ordering::Relaxed);
        drop(pending);
        self.wake.notify_one();
        Ok(durable)
    }
}

type Answer = Result<(), JournalError>;

/// What is not written yet.
#[derive(Default)]
struct Pending {
    text: Vec<u8>,
    /// The checksum of the last line.
    chain: String,
    next: u64,
    waiters: Vec<oneshot::Sender<Answer>>,
    poisoned: Option<JournalError>,
    closed: bool,
}

impl Pending {
    /// Nothing, after all that was read.
    fn after(reading: &Reading, run: RunId) -> Result<Self, JournalError> {
        let next = reading.records.len() as u64;
        let mut pending = Self { chain: reading.chain.clone(), next, ..Self::default() };
        if reading.run.is_none() {
            write_header(&mut pending.text, &mut pending.chain, run)?;
        } else if reading.unended {
            pending.text.push(b'\n');
        }
        Ok(pending)
    }

    fn record(&mut self, entry: &Entry) -> Result<(u64, Timestamp), JournalError> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        let (seq, at) = (self.next, Timestamp::now());
        write_record(&mut self.text, &mut self.chain, (seq, at), entry)?;
        self.next += 1;
        Ok((seq, at))
    }
}

/// Writes what is pending, one batch after the other, as long as the journal lives.
struct Flusher {
    shared: Arc<Shared>,
    file: Box<dyn JournalFile>,
    pace: Pace,
}

impl Flusher {
    async fn run(mut self) {
        loop {
            let closed = {
                let pending = self.shared.pending();
                if pending.waiters.is_empty() && !pending.closed { None } else { Some(pending.closed) }
            };
            match closed {
                None => self.shared.wake.notified().await,
                Some(closed) => {
                    if !closed {
                        self.gather().await;
                    }
                    if self.flush().await.is_err() || closed {
                        return;
                    }
                }
            }
        }
    }

    /// Waits a moment for those who shared the last flush. Without that they would come just after
    /// this one has begun, and every other flush would be nearly empty.
    async fn gather(&self) {
        let since = Instant::now();
        while self.shared.waiting.load(Ordering::Relaxed) < self.pace.expected
            && since.elapsed() < self.pace.linger
        {
            // A timer of tokio is not finer than what is waited for.
            tokio::task::yield_now().await;
        }
    }

    async fn flush(&mut self) -> Answer {
        let (text, waiters) = {
            let mut pending = self.shared.pending();
            self.shared.waiting.store(0, Ordering::Relaxed);
            (std::mem::take(&mut pending.text), std::mem::take(&mut pending.waiters))
        };
        let since = Instant::now();
        let result = if text.is_empty() { Ok(()) } else { self.file.append(Bytes::from(text)).await };
        if let Err(error) = &result {
            self.shared.poison(error);
        }
        self.pace.ended(since.elapsed(), waiters.len() + self.shared.waiting.load(Ordering::Relaxed));
        for waiter in waiters {
            // Nobody listens if the append was cancelled.
            let _ = waiter.send(result.clone());
        }
        result
    }
}

impl Drop for Flusher {
    /// Also when the file panicked or the runtime ends: nobody may wait for ever.
    fn drop(&mut self) {
        self.shared.poison(&gone());
    }
}

impl Shared {
    /// Lets nobody append any more. What a failed flush left on disk is unknown, also after one that
    /// seems to work: the system may have dropped the pages that it could not write.
    fn poison(&self, error: &JournalError) {
        let mut pending = self.pending();
        let lasting = match error {
            JournalError::Io { reason, .. } => JournalError::Poisoned { reason: reason.clone() },
            other => other.clone(),
        };
        let lasting = pending.poisoned.get_or_insert(lasting).clone();
        pending.text = Vec::new();
        for waiter in std::mem::take(&mut pending.waiters) {
            let _ = waiter.send(Err(lasting.clone()));
        }
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
