//! How fast a disk takes records, against how fast it flushes at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline_sdk::{Action, Done, Redactor, ResourceId, RunId, StageName, Value};

use super::{Entry, Journal, JournalError, LocalJournal};

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

/// Measures the disk of `folder` for about `time`, with `writers` that append at the same time.
///
/// # Errors
/// The folder cannot be written to.
pub async fn measure_rate(folder: &Path, writers: u32, time: Duration) -> Result<Rate, JournalError> {
    // In turns, since a disk that is shared with others does not stay the same.
    const TURNS: u32 = 16;
    let turn = time / (3 * TURNS);
    let (mut flushes, mut long_flushes, mut records) = (0.0, 0.0, 0.0);
    for _ in 0..TURNS {
        flushes += flush_loop(folder, 100, turn).await?;
        long_flushes += flush_loop(folder, RECORD * writers as usize, turn).await?;
        records += append_loop(folder, writers, turn).await?;
    }
    let mean = |sum: f64| sum / f64::from(TURNS);
    Ok(Rate { flushes: mean(flushes), long_flushes: mean(long_flushes), records: mean(records), writers })
}

async fn flush_loop(folder: &Path, length: usize, time: Duration) -> Result<f64, JournalError> {
    let path = folder.join(format!("flushes-{length}"));
    let looped = tokio::task::spawn_blocking(move || flushes_a_second(&path, length, time)).await;
    looped.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| JournalError::Io {
        action: "write",
        place: folder.display().to_string(),
        reason: error.to_string(),
    })
}

/// Flushes a second of the disk alone.
fn flushes_a_second(path: &Path, length: usize, time: Duration) -> io::Result<f64> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let bytes = vec![b'x'; length];
    let (since, mut count) = (Instant::now(), 0_u32);
    while since.elapsed() < time {
        file.write_all(&bytes)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / since.elapsed().as_secs_f64())
}

/// Records a second of a journal with many writers.
async fn append_loop(folder: &Path, writers: u32, time: Duration) -> Result<f64, JournalError> {
    let run = RunId::generate();
    let file = LocalJournal::new(folder.join(format!("{run}.journal")));
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
