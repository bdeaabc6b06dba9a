//! How fast a disk takes records, against how fast it flushes at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pipeline_sdk::{Action, Done, Redactor, ResourceId, RunId, StageName, Value};

use super::{Entry, Journal, JournalError, JournalFile, LocalJournal};

/// About how many bytes one of the records that are measured has in the journal.
const RECORD: usize = 250;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Flushes a second of a loop that appends 100 bytes and flushes them.
    pub flushes: f64,
    /// Flushes a second of a loop that appends as much as one record of every writer has, and flushes it.
    pub long_flushes: f64,
    /// Records a second that became durable.
    pub records: f64,
    /// How many writers waited for their records at the same time.
    pub writers: u32,
}

impl Rate {
    /// The records a second as a share of what the disk could do at most if every flush carried one
    /// record of every writer; 1 is all of it.
    pub fn share(&self) -> f64 {
        self.records / (self.flushes * f64::from(self.writers))
    }

    /// The same for flushes that carry as many bytes: what more the disk takes for a longer one is not counted.
    pub fn share_of_long(&self) -> f64 {
        self.records / (self.long_flushes * f64::from(self.writers))
    }
}

/// Measures the disk of `folder` for about `time`, with `writers` that append at the same time. A flush that takes less
/// than `flush` is waited for that long: what a slower disk would do. Zero leaves the disk as it is.
///
/// # Errors
/// The folder cannot be written to.
pub async fn measure_rate(
    folder: &Path,
    writers: u32,
    time: Duration,
    flush: Duration,
) -> Result<Rate, JournalError> {
    // In turns, since a disk that is shared with others does not stay the same.
    const TURNS: u32 = 16;
    let turn = time / (3 * TURNS);
    let (mut flushes, mut long_flushes, mut records) = (0.0, 0.0, 0.0);
    for _ in 0..TURNS {
        flushes += flush_loop(folder, 100, turn, flush).await?;
        long_flushes += flush_loop(folder, RECORD * writers as usize, turn, flush).await?;
        records += append_loop(folder, writers, turn, flush).await?;
    }
    let mean = |sum: f64| sum / f64::from(TURNS);
    Ok(Rate { flushes: mean(flushes), long_flushes: mean(long_flushes), records: mean(records), writers })
}

/// Waits until `flush` has passed since a flush began.
fn linger(since: Instant, flush: Duration) {
    thread::sleep(flush.saturating_sub(since.elapsed()));
}

async fn flush_loop(
    folder: &Path,
    length: usize,
    time: Duration,
    flush: Duration,
) -> Result<f64, JournalError> {
    let path = folder.join(format!("flushes-{length}"));
    let looped = tokio::task::spawn_blocking(move || flushes_a_second(&path, length, time, flush)).await;
    looped.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| failed(folder, &error))
}

fn failed(place: &Path, error: &io::Error) -> JournalError {
    JournalError::Io { action: "write", place: place.display().to_string(), reason: error.to_string() }
}

/// Flushes a second of the disk alone.
fn flushes_a_second(path: &Path, length: usize, time: Duration, flush: Duration) -> io::Result<f64> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let bytes = vec![b'x'; length];
    let (since, mut count) = (Instant::now(), 0_u32);
    while since.elapsed() < time {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        linger(begun, flush);
        count += 1;
    }
    Ok(f64::from(count) / since.elapsed().as_secs_f64())
}

/// Records a second of a journal with many writers.
async fn append_loop(
    folder: &Path,
    writers: u32,
    time: Duration,
    flush: Duration,
) -> Result<f64, JournalError> {
    let run = RunId::generate();
    let file = SlowJournal { file: LocalJournal::new(folder.join(format!("{run}.journal"))), flush };
    let journal = Arc::new(Journal::create(Box::new(file), run, Redactor::default())?);
    let since = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let journal = journal.clone();
        tasks.spawn(async move {
            let mut count = 0_u32;
            while since.elapsed() < time {
                journal.append(intent(writer, count)).await?;
                count += 1;
            }
            Ok::<_, JournalError>(count)
        });
    }
    let counts: Result<Vec<u32>, _> = tasks.join_all().await.into_iter().collect();
    Ok(f64::from(counts?.iter().sum::<u32>()) / since.elapsed().as_secs_f64())
}

/// A journal on a disk whose flushes take a while.
struct SlowJournal {
    file: LocalJournal,
    flush: Duration,
}

#[async_trait]
impl JournalFile for SlowJournal {
    fn place(&self) -> String {
        self.file.place()
    }

    async fn read(&mut self) -> Result<Vec<u8>, JournalError> {
        self.file.read().await
    }

    async fn truncate(&mut self, length: u64) -> Result<(), JournalError> {
        self.file.truncate(length).await
    }

    async fn append(&mut self, batch: Bytes) -> Result<(), JournalError> {
        let (begun, flush) = (Instant::now(), self.flush);
        self.file.append(batch).await?;
        if flush.is_zero() {
            return Ok(());
        }
        let lingered = tokio::task::spawn_blocking(move || linger(begun, flush)).await;
        lingered.map_err(|error| failed(Path::new(&self.place()), &io::Error::other(error)))
    }
}

fn intent(writer: u32, count: u32) -> Entry {
    let resource = ResourceId::new("ecs:service", format!("hello-{writer}"));
    let before = Some(Value::String("hello-staging-blue".to_owned()));
    let done = Done { resource, action: Action::Update, before, after: None };
    // Any legal name does.
    let stage = StageName::new(format!("stage-{writer}"));
    match stage {
        Ok(stage) => Entry::Intent { stage, id: u64::from(count), done },
        Err(error) => Entry::CancelRequested { cause: error.to_string() },
    }
}
