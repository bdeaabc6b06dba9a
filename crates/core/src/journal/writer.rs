//! Writing a journal: appends that come at the same time share one write and one flush.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use pipeline_sdk::{Redactor, RunId};

use super::encoding::{Encoded, Lines};
use super::flusher::{Flusher, Queue};
use super::redaction::redacted;
use super::{Entry, JournalError, JournalFile, Reading, Record, read};
use crate::store::Holder;

/// How often a new holder tries to get its fence in before a writer that is still alive.
const FENCE_ATTEMPTS: u32 = 8;

/// The journal of a run that goes on.
///
/// Secrets never reach it: every entry goes through the run's redactor. When it is dropped, what was
/// appended without waiting is still written; [`Journal::flush`] tells whether that worked.
pub struct Journal {
    queue: Arc<Queue>,
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
        Ok(Self::start(file, Lines::first(run)?, 0, redactor))
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
            let epoch = epoch.max(last_epoch(&reading).map_or(0, |last| last + 1));
            let entry = Entry::Fence { epoch, holder: holder.clone() };
            let (seq, at) = (reading.records.len() as u64, Timestamp::now());
            let mut lines = after(&reading, run)?;
            lines.record(seq, at, &Encoded::of(&entry)?);
            match file.append(Bytes::from(std::mem::take(&mut lines.text))).await {
                Ok(()) => {
                    reading.records.push(Record { seq, at, entry });
                    return Ok((Self::start(file, lines, seq + 1, redactor), reading));
                }
                // The old process lives and was faster; its next append finds the fence.
                Err(JournalError::Fenced { .. }) if attempt < FENCE_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn start(file: Box<dyn JournalFile>, lines: Lines, next: u64, redactor: Redactor) -> Self {
        let queue = Arc::new(Queue::new(next));
        tokio::spawn(Flusher::new(queue.clone(), file, lines).run());
        Self { queue, redactor }
    }

    /// Records `entry` and returns its number once it is durable. Dropping the future does not take
    /// the record back.
    ///
    /// # Errors
    /// It is not known whether the record is durable, and the journal takes no more of them.
    pub async fn append(&self, entry: Entry) -> Result<u64, JournalError> {
        let (seq, durable) = self.queue.push_and_wait(self.encode(entry)?)?;
        durable.answer().await?;
        Ok(seq)
    }

    /// Records `entry`, which becomes durable together with the next one that is waited for.
    ///
    /// # Errors
    /// An earlier write failed.
    pub fn append_relaxed(&self, entry: Entry) -> Result<u64, JournalError> {
        self.queue.push(self.encode(entry)?)
    }

    /// Returns once all that was appended before is durable.
    ///
    /// # Errors
    /// It is not known whether it is.
    pub async fn flush(&self) -> Result<(), JournalError> {
        self.queue.wait()?.answer().await
    }

    fn encode(&self, entry: Entry) -> Result<Encoded, JournalError> {
        Encoded::of(&redacted(entry, &self.redactor))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn last_epoch(reading: &Reading) -> Option<u64> {
    let epochs = reading.records.iter().filter_map(|record| match record.entry {
        Entry::Fence { epoch, .. } => Some(epoch),
        _ => None,
    });
    epochs.max()
}

/// What comes after all that was read.
fn after(reading: &Reading, run: RunId) -> Result<Lines, JournalError> {
    if reading.run.is_none() {
        return Lines::first(run);
    }
    let text = if reading.unended { b"\n".to_vec() } else { Vec::new() };
    Ok(Lines { text, chain: reading.chain.clone().into_bytes() })
}
