//! `pipeline cloud`: the embedded cloud as a background service of the user.
//!
//! One cloud per folder. The serving process holds a lock on a file there for as long as it lives,
//! which is the only proof of life anyone needs, and writes down where it listens.

mod record;
mod serve;

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::arguments::{CloudCommand, Serving, StartOptions};
use crate::exit::Exit;

pub(crate) use record::CloudRecord;

/// How long a cloud may take to answer after it was started, or to end after it was stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than anybody takes to look whether a cloud runs.
const LOOK: Duration = Duration::from_secs(1);

/// Why a cloud command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloudCommandError {
    /// A file of the cloud cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// The background process could not be started.
    #[error("cannot start the embedded cloud: {0}")]
    Spawn(std::io::Error),
    /// It was started and ended at once, or never answered.
    #[error("the embedded cloud did not start: {reason}\nits log is {}", log.display())]
    NotStarted { reason: String, log: PathBuf },
    /// It should run and does not.
    #[error("the embedded cloud is not running: start it with `pipeline cloud start`")]
    NotRunning,
    /// It runs and does not answer as it should.
    #[error("the embedded cloud at {endpoint} does not answer: {source}")]
    Unreachable { endpoint: String, source: reqwest::Error },
    /// It did not end.
    #[error("the embedded cloud (process {pid}) did not end within {} s", PATIENCE.as_secs())]
    NotStopped { pid: u32 },
    /// It runs with other options than asked for.
    #[error(
        "the embedded cloud runs already, with {running}: `pipeline cloud stop` first to start it with {asked}"
    )]
    OtherOptions { running: String, asked: String },
    /// It could not serve.
    #[error(transparent)]
    Serve(#[from] pipeline_local_cloud::CloudError),
}

/// The folder of the cloud: `PIPELINE_CLOUD_DIR`, or the user's own.
pub(crate) fn directory() -> PathBuf {
    if let Some(named) = std::env::var_os("PIPELINE_CLOUD_DIR") {
        return PathBuf::from(named);
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().unwrap_or_else(std::env::temp_dir).join(".local/state");
    state.unwrap_or_else(home).join("pipeline/cloud")
}

/// Runs a cloud command and prints what came of it.
pub(crate) async fn run(command: CloudCommand) -> Exit {
    let folder = directory();
    let result = match command {
        CloudCommand::Start(options) => start(&folder, &options).await.map(|started| {
            let verb = if started.fresh { "started" } else { "already running" };
            println!("{verb}: {}", started.record.endpoint);
        }),
        CloudCommand::Stop => stop(&folder),
        CloudCommand::Status { json } => status(&folder, json).await,
        CloudCommand::Reset => reset(&folder).await,
        CloudCommand::Serve(serving) => serve::serve(&folder, &serving).await,
    };
    match result {
        Ok(()) => Exit::Succeeded,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed
        }
    }
}

/// A cloud that answers.
pub(crate) struct Started {
    /// Where, and how it was started.
    pub(crate) record: CloudRecord,
    /// Whether this call started it.
    pub(crate) fresh: bool,
}

/// Starts the cloud of `folder` unless it runs, and returns once it answers.
pub(crate) async fn start(folder: &Path, options: &StartOptions) -> Result<Started, CloudCommandError> {
    if let Some(record) = running(folder)? {
        return match record.differs_from(options) {
            None => Ok(Started { record, fresh: false }),
            Some((running, asked)) => Err(CloudCommandError::OtherOptions { running, asked }),
        };
    }
    let log = folder.join("cloud.log");
    let output =
        File::create(&log).map_err(|source| CloudCommandError::File { path: log.clone(), source })?;
    let errors = output.try_clone().map_err(CloudCommandError::Spawn)?;
    let mut child = Command::new(std::env::current_exe().map_err(CloudCommandError::Spawn)?)
        .args(["cloud", "serve", "--detached"])
        .args(options.to_args())
        .env("PIPELINE_CLOUD_DIR", folder)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(CloudCommandError::Spawn)?;
    let began = Instant::now();
    loop {
        if let Some(record) = running(folder)?
            && ask(&record, "status").await.is_ok()
        {
            return Ok(Started { record, fresh: true });
        }
        let ended = child.try_wait().map_err(CloudCommandError::Spawn)?;
        if ended.is_some() || began.elapsed() > PATIENCE {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let reason = said.lines().last().unwrap_or("it printed nothing").to_owned();
            return Err(CloudCommandError::NotStarted { reason, log });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The record of the cloud that runs in `folder`, if one does.
pub(crate) fn running(folder: &Path) -> Result<Option<CloudRecord>, CloudCommandError> {
    fs::create_dir_all(folder)
        .map_err(|source| CloudCommandError::File { path: folder.to_owned(), source })?;
    // Shared: two that look at the same time must not take each other for a cloud.
    match lock_file(folder)?.try_lock_shared() {
        // Nobody holds the lock: whatever the record says is of the past.
        Ok(()) => Ok(None),
        Err(fs::TryLockError::WouldBlock) => Ok(CloudRecord::read(folder)),
        Err(fs::TryLockError::Error(source)) => {
            Err(CloudCommandError::File { path: folder.join("lock"), source })
        }
    }
}

fn lock_file(folder: &Path) -> Result<File, CloudCommandError> {
    let path = folder.join("lock");
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| CloudCommandError::File { path, source })
}

fn stop(folder: &Path) -> Result<(), CloudCommandError> {
    let Some(record) = running(folder)? else {
        println!("not running");
        return Ok(());
    };
    let pid = i32::try_from(record.pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself just now; the lock tells.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let began = Instant::now();
    while running(folder)?.is_some() {
        if began.elapsed() > PATIENCE {
            return Err(CloudCommandError::NotStopped { pid: record.pid });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("stopped");
    Ok(())
}

async fn status(folder: &Path, json: bool) -> Result<(), CloudCommandError> {
    let Some(record) = running(folder)? else { return Err(CloudCommandError::NotRunning) };
    let status = ask(&record, "status").await?;
    if json {
        println!("{status}");
    } else {
        print_status(&record, &status);
    }
    Ok(())
}

fn print_status(record: &CloudRecord, status: &Value) {
    let text = |key: &str| status[key].as_str().unwrap_or("-").to_owned();
    println!("endpoint  {}", record.endpoint);
    println!("tasks     {}", text("runtime"));
    println!("dns       {}", text("dns"));
    println!("speed     {}x{}", record.options.speed, if record.options.inert { ", inert" } else { "" });
    println!("process   {}", record.pid);
    let listeners = status["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
    for listener in listeners {
        let field = |key: &str| listener[key].as_str().unwrap_or("-");
        println!(
            "listener  {} {}:{} at {}",
            field("load_balancer"),
            field("protocol"),
            listener["port"],
            field("address")
        );
    }
}

/// Resets a running cloud, or removes what a stopped one has saved.
async fn reset(folder: &Path) -> Result<(), CloudCommandError> {
    match running(folder)? {
        Some(record) => {
            let url = format!("{}/_cloud/reset", record.endpoint);
            let unreachable =
                |source| CloudCommandError::Unreachable { endpoint: record.endpoint.clone(), source };
            let answer = client().post(&url).send().await.map_err(unreachable)?;
            answer.error_for_status().map_err(unreachable)?;
        }
        None => remove_saved(folder)?,
    }
    println!("reset");
    Ok(())
}

fn remove_saved(folder: &Path) -> Result<(), CloudCommandError> {
    let entries =
        fs::read_dir(folder).map_err(|source| CloudCommandError::File { path: folder.to_owned(), source })?;
    for entry in entries.flatten().filter(|entry| entry.file_name() != "lock") {
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|source| CloudCommandError::File { path, source })?;
    }
    Ok(())
}

/// What the running cloud says of itself.
pub(crate) async fn ask(record: &CloudRecord, what: &str) -> Result<Value, CloudCommandError> {
    let unreachable = |source| CloudCommandError::Unreachable { endpoint: record.endpoint.clone(), source };
    let url = format!("{}/_cloud/{what}", record.endpoint);
    client().get(&url).send().await.map_err(unreachable)?.json().await.map_err(unreachable)
}

/// A client for the loopback address, which no proxy may come between.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap_or_default()
}

impl StartOptions {
    fn to_args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--port={}", self.port),
            format!("--speed={}", self.speed),
            format!("--runtime={}", self.runtime),
        ];
        args.extend(self.inert.then(|| "--inert".to_owned()));
        args
    }
}

/// Opens the lock that says that a cloud runs here, for `serve`.
fn take_lock(folder: &Path, serving: &Serving) -> Result<File, CloudCommandError> {
    fs::create_dir_all(folder)
        .map_err(|source| CloudCommandError::File { path: folder.to_owned(), source })?;
    let lock = lock_file(folder)?;
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            // Whoever looks whether a cloud runs holds it for a moment, as the process does that started this one.
            Err(fs::TryLockError::WouldBlock) if began.elapsed() < LOOK => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(fs::TryLockError::WouldBlock) => {
                let running = CloudRecord::read(folder)
                    .map_or_else(|| "other options".to_owned(), |r| r.options.to_string());
                return Err(CloudCommandError::OtherOptions { running, asked: serving.options.to_string() });
            }
            Err(fs::TryLockError::Error(source)) => {
                return Err(CloudCommandError::File { path: folder.join("lock"), source });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_disturb_neither_each_other_nor_a_cloud_that_starts() {
        let folder = tempfile::tempdir().expect("a folder");
        let look = lock_file(folder.path()).expect("the lock");
        look.lock_shared().expect("nobody has it");
        assert!(running(folder.path()).expect("a look").is_none(), "another look is no cloud");

        let serving = Serving { options: StartOptions::default(), detached: false };
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| take_lock(folder.path(), &serving));
            std::thread::sleep(LOOK / 20);
            look.unlock().expect("unlocked");
            taking.join().expect("no panic")
        });
        let _lock = taken.expect("a look ends");
        assert!(matches!(take_lock(folder.path(), &serving), Err(CloudCommandError::OtherOptions { .. })));
    }
}
