//! A run with nothing changed, against the calls that it makes, made all at once: by a client that stands on
//! the same library, and by one that only writes bytes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use tokio::task::JoinSet;

use super::deployed::{Deployed, sample, through};
use super::http::{self, Connection, Message};
use super::recorder::Recorder;
use super::table::{Bound, NONE, Row, Section, figures, median};
use super::{Bench, startup};
use xtask::shell::{self, StepError};

/// A run takes so little that many rounds are cheap.
const ROUNDS: u32 = 60;

/// Fills `section`.
pub(super) async fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let deployed = Deployed::start(bench)?;
    let endpoint = deployed.endpoint()?;
    let said = calls_of(&mut deployed.command(&sample(), "1"))?;
    let messages = record(&deployed, endpoint).await?;
    let client = Client::prepare(bench, endpoint, &messages)?;

    let (mut runs, mut starts, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    let (mut at_once, mut in_turn) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        calls_of(&mut deployed.command(&sample(), "1"))?;
        runs.push(milliseconds(began));
        clients.push(client.milliseconds()?);
        at_once.push(replay_at_once(endpoint, &messages).await?);
        in_turn.push(replay_in_turn(endpoint, &messages).await?);
        starts.push(startup::milliseconds(&bench.program)?);
    }
    let ratio = median(runs.iter().zip(&clients).map(|(run, calls)| run / calls));
    let bare = median(runs.iter().zip(&at_once).map(|(run, calls)| run / calls));
    let (run, start, client) = (median(runs), median(starts), median(clients));
    let (at_once, in_turn) = (median(at_once), median(in_turn));
    let ms = |value: f64| format!("{} ms", figures(value));
    section.rows.push(Row::new("the whole run", ms(run), ms(client)).judged(ratio, Bound::AtMost(2.0), "×"));
    section.rows.push(Row::new("without the start of the process", ms(run - start), NONE));
    section.rows.push(Row::new("calls", said.to_string(), messages.len().to_string()));
    let bytes = format!("{} ({}× in the whole run)", ms(at_once), figures(bare));
    section.rows.push(Row::new("the same bytes, without an AWS client", NONE, bytes));
    section.rows.push(Row::new("the same bytes, one call after the other", NONE, ms(in_turn)));
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
    let state = deployed.state_through()?;
    let recorder = Recorder::start(endpoint).await?;
    let folder = tempfile::tempdir().map_err(StepError::file(std::env::temp_dir()))?;
    let file = through(folder.path(), recorder.address)?;
    let mut command = deployed.command(&file, "1");
    command.env("PIPELINE_STATE", state.path());
    tokio::task::block_in_place(|| calls_of(&mut command))?;
    Ok(recorder.messages())
}

/// The program that makes the calls at once as an AWS client does: signed, with retries, each answer read.
struct Client {
    program: PathBuf,
    calls: PathBuf,
    endpoint: SocketAddr,
}

impl Client {
    /// Builds it, and writes down what it has to send.
    fn prepare(bench: &Bench, endpoint: SocketAddr, messages: &[Message]) -> Result<Self, StepError> {
        let build = ["build", "--quiet", "--release", "--package", "pipeline-aws", "--example", "at_once"];
        shell::run(&mut shell::cargo(&build))?;
        let lines: Vec<_> = messages.iter().map(|message| line(message).to_string()).collect();
        let calls = bench.folder.join("calls.jsonl");
        std::fs::write(&calls, lines.join("\n")).map_err(StepError::file(&calls))?;
        Ok(Self { program: shell::target().join("release/examples/at_once"), calls, endpoint })
    }

    fn milliseconds(&self) -> Result<f64, StepError> {
        let began = Instant::now();
        let endpoint = format!("http://{}", self.endpoint);
        shell::quiet(Command::new(&self.program).arg(endpoint).arg(&self.calls))?;
        Ok(milliseconds(began))
    }
}

/// A call as the program reads it, without what it adds by itself.
fn line(message: &Message) -> serde_json::Value {
    let own = ["authorization", "user-agent", "x-amz-user-agent", "x-amz-date", "amz-sdk-invocation-id"];
    let headers = message.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default())).collect();
    let scope = message.headers.get("authorization").and_then(|value| value.to_str().ok());
    serde_json::json!({
        "service": scope.and_then(service).unwrap_or_default(),
        "method": message.method.as_str(),
        "path": message.path.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&message.body),
    })
}

/// The service in `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn service(authorization: &str) -> Option<&str> {
    authorization.split_once("Credential=")?.1.split('/').nth(3)
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
