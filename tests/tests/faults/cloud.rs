//! The cloud of a place: `pipeline cloud serve` as a child of the test, asked over HTTP.
//!
//! Thousands of cases start one each: neither a start nor a question nor an end costs another process.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pipeline_tests::Pipeline;
use pipeline_tests::load::{self, LoadOptions};
use rustix::process::{Pid, Signal};
use serde_json::Value;

/// How much faster than real time its waits pass.
const SPEED: &str = "600";

/// How long a port may stay taken.
const PORT_BACK: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A running cloud, killed when dropped.
pub(crate) struct Cloud {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Cloud {
    /// Starts one on what is kept in `folder`, and returns once it answers. The one before may still hold the port.
    pub(crate) fn start(folder: &Path, port: u16) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let end = Instant::now() + PORT_BACK;
        loop {
            match Self::try_start(folder, port) {
                Ok(cloud) => return cloud,
                Err(log) if log.contains("in use") && Instant::now() < end => thread::sleep(POLL),
                Err(log) => panic!("the cloud does not say where it listens:\n{log}"),
            }
        }
    }

    /// The same once, or what it had to say.
    fn try_start(folder: &Path, port: u16) -> Result<Self, String> {
        let port = port.to_string();
        let args = ["cloud", "serve", "--port", &port, "--runtime", "simulated", "--speed", SPEED];
        let mut command = Pipeline::new(folder).args(args).env("PIPELINE_CLOUD_DIR", folder).into_command();
        let log = File::create(folder.join("cloud.log")).expect("a log");
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().expect("starts");
        let mut said = String::new();
        // It says where it listens, and nothing after that.
        BufReader::new(process.stdout.as_mut().expect("its output")).read_line(&mut said).expect("read");
        let address = said.strip_prefix("listening on http://").and_then(|rest| rest.split(';').next());
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            let _ = process.kill();
            let _ = process.wait();
            let log = std::fs::read_to_string(folder.join("cloud.log")).unwrap_or_default();
            return Err(format!("{said}{log}"));
        };
        Ok(Self { process, address })
    }

    /// What it says of itself.
    pub(crate) async fn status(&self) -> Result<Value, String> {
        let path = "/_cloud/status".to_owned();
        let text = load::get(&LoadOptions { path, ..LoadOptions::new(self.address, "localhost", 1) }).await?;
        serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}: {text}"))
    }

    /// Ends it in order, so that what is there is kept.
    pub(crate) fn stop(mut self) {
        let process = Pid::from_raw(self.process.id().cast_signed()).expect("a process");
        rustix::process::kill_process(process, Signal::TERM).expect("told to stop");
        let ended = self.process.wait().expect("it ends");
        assert!(ended.success(), "the cloud ended with {ended}");
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
