//! An embedded cloud for one test: its own folder, its own port, gone at the end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::binary;

/// How to start one.
#[derive(Debug, Clone)]
pub struct LocalCloudOptions {
    /// `docker`, `process`, `simulated` or `auto`.
    pub runtime: &'static str,
    /// How many times faster than real time its waits pass.
    pub speed: f64,
    /// Nothing moves by itself.
    pub inert: bool,
}

impl Default for LocalCloudOptions {
    fn default() -> Self {
        Self { runtime: "simulated", speed: 60.0, inert: false }
    }
}

/// A running cloud; stopped, with its tasks, when dropped.
pub struct LocalCloud {
    directory: TempDir,
    program: PathBuf,
    /// Its process, where it was not left to `pipeline cloud start`.
    foreground: Option<Child>,
}

/// How long one in the foreground may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

impl LocalCloud {
    /// Starts one through `pipeline cloud start`.
    ///
    /// # Errors
    /// What the command printed, if it failed.
    pub fn start(options: &LocalCloudOptions) -> Result<Self, String> {
        Self::start_by(binary::pipeline(), options)
    }

    /// Starts one through another `pipeline` than that of this build.
    ///
    /// # Errors
    /// What the command printed, if it failed.
    pub fn start_by(program: PathBuf, options: &LocalCloudOptions) -> Result<Self, String> {
        let cloud = Self::not_started(program)?;
        cloud.restart(options)?;
        Ok(cloud)
    }

    /// Starts one as `pipeline cloud serve`, which stays in the caller's session, as every program does that the
    /// caller starts. It matters where something is measured: Linux may give each session, not each thread, the
    /// same share of the processors (`sched(7)`, autogroup).
    ///
    /// # Errors
    /// When it does not start or does not answer.
    pub fn serve_by(program: PathBuf, options: &LocalCloudOptions) -> Result<Self, String> {
        let mut cloud = Self::not_started(program)?;
        let process = cloud.subcommand("serve").args(arguments(options)).stdout(Stdio::null()).spawn();
        cloud.foreground = Some(process.map_err(|error| cloud.cannot_start(&error))?);
        eventually(PATIENCE, || cloud.status())?;
        Ok(cloud)
    }

    fn not_started(program: PathBuf) -> Result<Self, String> {
        let directory = tempfile::Builder::new()
            .prefix("pipeline-cloud-")
            .tempdir()
            .map_err(|error| format!("no folder for the cloud: {error}"))?;
        Ok(Self { directory, program, foreground: None })
    }

    /// Starts it again after it was stopped or killed; its state is kept.
    ///
    /// # Errors
    /// What the command printed, if it failed.
    pub fn restart(&self, options: &LocalCloudOptions) -> Result<(), String> {
        self.run(self.subcommand("start").args(arguments(options))).map(|_| ())
    }

    /// Runs `pipeline cloud ARGS` on this cloud; the answer is what it printed.
    ///
    /// # Errors
    /// What it printed, if it failed.
    pub fn command(&self, args: &[&str]) -> Result<String, String> {
        let (subcommand, options) = args.split_first().ok_or("`pipeline cloud` needs a subcommand")?;
        self.run(self.subcommand(subcommand).args(options))
    }

    fn subcommand(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["cloud", name]).env("PIPELINE_CLOUD_DIR", self.directory()).stdin(Stdio::null());
        command
    }

    fn run(&self, command: &mut Command) -> Result<String, String> {
        let finished = binary::Finished::from(command.output().map_err(|error| self.cannot_start(&error))?);
        if finished.code == 0 { Ok(finished.stdout) } else { Err(finished.stderr) }
    }

    fn cannot_start(&self, error: &std::io::Error) -> String {
        format!("cannot start {}: {error}", self.program.display())
    }

    /// Its folder: what `PIPELINE_CLOUD_DIR` has to name.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What `pipeline cloud status --json` says.
    ///
    /// # Errors
    /// What it printed, if it failed.
    pub fn status(&self) -> Result<Value, String> {
        let text = self.command(&["status", "--json"])?;
        serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}: {text}"))
    }

    /// Where the AWS endpoint listens, as a URL.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn endpoint(&self) -> Result<String, String> {
        let status = self.status()?;
        status["endpoint"].as_str().map(str::to_owned).ok_or_else(|| format!("no endpoint in {status}"))
    }

    /// The address that carries the listener of load balancer `name` on `port`.
    ///
    /// # Errors
    /// When there is none.
    pub fn listener(&self, name: &str, port: u16) -> Result<SocketAddr, String> {
        let status = self.status()?;
        let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
        listeners
            .iter()
            .find(|listener| listener["load_balancer"] == name && listener["port"] == port)
            .and_then(|listener| listener["address"].as_str()?.parse().ok())
            .ok_or_else(|| format!("no listener of {name} on port {port} in {status}"))
    }
}

impl Drop for LocalCloud {
    fn drop(&mut self) {
        // Tasks are the cloud's: a reset ends them, so that no container outlives its test.
        for command in [["reset"], ["stop"]] {
            if let Err(error) = self.command(&command) {
                eprintln!("pipeline cloud {}: {error}", command[0]);
            }
        }
        if let Some(process) = &mut self.foreground {
            // It was told to stop, or never answered.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn arguments(options: &LocalCloudOptions) -> Vec<String> {
    let (runtime, speed) = (options.runtime.to_owned(), options.speed.to_string());
    let mut arguments: Vec<String> = ["--port", "0", "--runtime"].map(str::to_owned).into();
    arguments.extend([runtime, "--speed".to_owned(), speed]);
    if options.inert {
        arguments.push("--inert".to_owned());
    }
    arguments
}

/// Asks `question` until it has an answer.
///
/// # Errors
/// The last reason why there was none, when `limit` has passed.
pub fn eventually<T>(limit: Duration, mut question: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let started = Instant::now();
    loop {
        match question() {
            Ok(answer) => return Ok(answer),
            Err(reason) if started.elapsed() > limit => return Err(reason),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
