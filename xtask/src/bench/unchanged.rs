//! A run with nothing changed, against the calls that it makes, made all at once by a client that
//! does nothing else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tokio::task::JoinSet;

use super::deployed::{Deployed, sample};
use super::http::{self, Connection, Message};
use super::recorder::Recorder;
use super::table::{Bound, NONE, Row, Section, figures, median};
use super::{Bench, startup};
use crate::shell::{self, StepError};

/// A run takes so little that many rounds are cheap.
const ROUNDS: u32 = 15;

/// Fills `section`.
pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let deployed = Deployed::start(bench)?;
    let endpoint = deployed.endpoint()?;
    let said = calls_of(&mut deployed.command(&sample(), "1"))?;
    let messages = record(&deployed, endpoint).await?;

    let (mut runs, mut starts, mut at_once, mut in_turn) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        calls_of(&mut deployed.command(&sample(), "1"))?;
        runs.push(milliseconds(began));
        at_once.push(replay_at_once(endpoint, &messages).await?);
        in_turn.push(replay_in_turn(endpoint, &messages).await?);
        starts.push(startup::milliseconds(&bench.program)?);
    }
    let ratio = median(runs.iter().zip(&at_once).map(|(run, calls)| run / calls));
    let (run, start) = (median(runs), median(starts));
    let (at_once, in_turn) = (median(at_once), median(in_turn));
    let ms = |value: f64| format!("{} ms", figures(value));
    section.rows.push(Row::new("the whole run", ms(run), ms(at_once)).judged(ratio, Bound::AtMost(2.0), "×"));
    section.rows.push(Row::new("without the start of the process", ms(run - start), ms(at_once)));
    section.rows.push(Row::new("calls", said.to_string(), messages.len().to_string()));
    section.rows.push(Row::new("one call after the other", NONE, ms(in_turn)));
    section.notes.push(format!("{ROUNDS} rounds in turns; medians."));
    Ok(())
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

/// Runs a command that must find nothing to do; the number of calls that it says it made.
fn calls_of(command: &mut Command) -> Result<usize, StepError> {
    let said = shell::quiet(command)?;
    let calls = said.lines().find_map(|line| {
        let (calls, rest) = line.split_once(" calls")?;
        rest.contains("no mutating call").then(|| calls.trim().parse().ok())?
    });
    calls.ok_or_else(|| StepError::Other(format!("the run should have found nothing to do:\n{said}")))
}

/// Lets a run go through a proxy; the requests that it sent.
async fn record(deployed: &Deployed, endpoint: SocketAddr) -> Result<Vec<Message>, StepError> {
    let recorder = Recorder::start(endpoint).await?;
    let folder = tempfile::tempdir().map_err(StepError::file(std::env::temp_dir()))?;
    let file = through(folder.path(), recorder.address)?;
    let mut command = deployed.command(&file, "1");
    tokio::task::block_in_place(|| calls_of(&mut command))?;
    Ok(recorder.messages())
}

/// A copy of the sample's file whose endpoint is at `address`, with the sample beside it.
fn through(folder: &Path, address: SocketAddr) -> Result<PathBuf, StepError> {
    let original = std::fs::read_to_string(sample()).map_err(StepError::file(sample()))?;
    let target = format!("target = \"aws\"\nendpoint_url = \"http://{address}\"");
    let changed = original.replacen("target = \"local\"", &target, 1);
    let file = folder.join("pipeline.toml");
    std::fs::write(&file, changed).map_err(StepError::file(&file))?;
    let examples = folder.join("examples");
    std::os::unix::fs::symlink(shell::root().join("examples"), &examples)
        .map_err(StepError::file(&examples))?;
    Ok(file)
}

/// Milliseconds until all are answered if nobody waits for another.
async fn replay_at_once(endpoint: SocketAddr, messages: &[Message]) -> Result<f64, StepError> {
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for message in messages {
        let message = message.clone();
        calls.spawn(async move { http::send(endpoint, &message).await.map(drop) });
    }
    while let Some(ended) = calls.join_next().await {
        ended.map_err(|error| StepError::Other(error.to_string()))?.map_err(StepError::Other)?;
    }
    Ok(milliseconds(began))
}

/// Milliseconds until all are answered, one after the other over one connection.
async fn replay_in_turn(endpoint: SocketAddr, messages: &[Message]) -> Result<f64, StepError> {
    let began = Instant::now();
    let mut connection = Connection::open(endpoint).await.map_err(StepError::Other)?;
    for message in messages {
        connection.send(message).await.map_err(StepError::Other)?;
    }
    Ok(milliseconds(began))
}
