//! Where the demo plays: a cloud and a state of its own below `target/demo`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use pipeline_tests::load::{self, LoadOptions};
use pipeline_tests::{Load, binary, dns};
use serde_json::Value;

use super::{Options, SUCCEEDED};
use xtask::release;
use xtask::shell::{self, StepError};

/// The sample's load balancer, as `pipeline.toml` names it.
const LOAD_BALANCER: &str = "hello-local";

/// The name that the sample's stage `dns` gives to the app.
const HOST: &str = "hello-local.pipeline.test";

/// The folder, with the cloud that lives in it.
pub(super) struct Stage {
    folder: PathBuf,
}

/// The app as its users reach it.
pub(super) struct Site {
    /// Its name.
    pub(super) host: &'static str,
    /// What the name resolves to, with the port of the HTTPS listener.
    pub(super) address: SocketAddr,
    /// The certificates that a client has to trust.
    authority: String,
}

impl Stage {
    /// Clears the folder and starts the cloud.
    pub(super) fn set(options: &Options) -> Result<Self, StepError> {
        let stage = Self { folder: shell::target().join("demo") };
        // What an earlier demo left, if it was interrupted.
        if stage.cloud_folder().exists() {
            stage.cloud(&["reset"])?;
            stage.cloud(&["stop"])?;
            std::fs::remove_dir_all(&stage.folder).map_err(StepError::file(&stage.folder))?;
        }
        std::fs::create_dir_all(stage.cloud_folder()).map_err(StepError::file(&stage.folder))?;
        let speed = options.speed.to_string();
        stage.cloud(&["start", "--port", "0", "--speed", &speed, "--runtime", &options.runtime])?;
        Ok(stage)
    }

    fn cloud_folder(&self) -> PathBuf {
        self.folder.join("cloud")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(release::binary());
        command
            .current_dir(shell::root())
            .args(arguments)
            .stdin(Stdio::null())
            .env("PIPELINE_CLOUD_DIR", self.cloud_folder())
            .env("PIPELINE_STATE", self.folder.join("state"))
            .env("PIPELINE_VAR_healthy", "true");
        command
    }

    fn cloud(&self, arguments: &[&str]) -> Result<String, StepError> {
        shell::quiet(self.command(&["cloud"]).args(arguments))
    }

    /// What the cloud runs tasks as: `docker` or `process`.
    pub(super) fn runtime(&self) -> Result<String, StepError> {
        let status = self.status()?;
        let runtime = status["runtime"].as_str().map(str::to_owned);
        runtime.ok_or_else(|| StepError::Other(format!("no runtime in {status}")))
    }

    fn status(&self) -> Result<Value, StepError> {
        let text = self.cloud(&["status", "--json"])?;
        serde_json::from_str(&text).map_err(|error| StepError::Other(format!("{error}: {text}")))
    }

    /// Runs `pipeline` with its output shown; fails if it ends with another code than `code`.
    pub(super) fn pipeline(&self, arguments: &[&str], code: i32) -> Result<(), StepError> {
        println!("\n$ pipeline {}", arguments.join(" "));
        let mut command = self.command(arguments);
        let status =
            command.status().map_err(|source| StepError::Start { program: "pipeline".into(), source })?;
        if status.code() == Some(code) {
            return Ok(());
        }
        Err(StepError::Other(format!("pipeline ended with {status}, which should be exit code {code}")))
    }

    /// Runs `pipeline` where nothing is to be done, and checks that it called nothing that changes.
    pub(super) fn unchanged(&self, arguments: &[&str]) -> Result<(), StepError> {
        println!("\n$ pipeline {}", arguments.join(" "));
        let finished = self
            .command(arguments)
            .output()
            .map(binary::Finished::from)
            .map_err(|source| StepError::Start { program: "pipeline".into(), source })?;
        print!("{}{}", finished.stdout, finished.stderr);
        let says_so = finished.stdout.contains("no mutating call");
        if finished.code == SUCCEEDED && says_so {
            return Ok(());
        }
        Err(StepError::Other(format!(
            "pipeline should have found nothing to do (exit code {})",
            finished.code
        )))
    }

    /// Finds the app by its name, as a client would.
    pub(super) fn site(&self) -> Result<Site, StepError> {
        let status = self.status()?;
        let text = |key: &str| {
            status[key]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| StepError::Other(format!("no {key} in {status}")))
        };
        let server = text("dns")?.parse().map_err(|_| StepError::Other("the DNS address is none".into()))?;
        let addresses = dns::lookup(server, HOST).map_err(StepError::Other)?;
        let address =
            addresses.first().ok_or_else(|| StepError::Other(format!("{HOST} does not resolve")))?;
        let listener =
            listener(&status).ok_or_else(|| StepError::Other(format!("no HTTPS listener in {status}")))?;
        if listener.ip() != *address {
            return Err(StepError::Other(format!(
                "{HOST} resolves to {address}, the listener is at {listener}"
            )));
        }
        Ok(Site { host: HOST, address: listener, authority: text("certificate_authority")? })
    }

    /// Checks that `pipeline destroy` left nothing in the cloud.
    pub(super) fn nothing_left(&self) -> Result<(), StepError> {
        let status = self.status()?;
        let resources = status["resources"].as_object().cloned().unwrap_or_default();
        if resources.is_empty() {
            println!("\nNothing is left in the cloud.");
            return Ok(());
        }
        Err(StepError::Other(format!("left in the cloud: {}", Value::Object(resources))))
    }
}

impl Drop for Stage {
    /// However the demo ends, nothing goes on running. What is there stays to be looked at, until the next demo.
    fn drop(&mut self) {
        if let Err(error) = self.cloud(&["stop"]) {
            eprintln!("the cloud of the demo was not stopped: {error}");
        }
    }
}

fn listener(status: &Value) -> Option<SocketAddr> {
    let listeners = status["listeners"].as_array()?;
    let ours = listeners.iter().find(|one| one["load_balancer"] == LOAD_BALANCER && one["port"] == 443)?;
    ours["address"].as_str()?.parse().ok()
}

impl Site {
    /// The load that users put on it.
    pub(super) fn load(&self, rate: u32) -> Result<LoadOptions, StepError> {
        let tls = load::trusting(&self.authority).map_err(StepError::Other)?;
        Ok(LoadOptions { tls: Some(tls), ..LoadOptions::new(self.address, self.host, rate) })
    }

    /// The body of one answer.
    pub(super) async fn get(&self) -> Result<String, StepError> {
        let options = self.load(1)?;
        load::get(&options).await.map_err(StepError::Other)
    }

    /// Starts a load on it.
    pub(super) fn start_load(&self, rate: u32) -> Result<Load, StepError> {
        Ok(Load::start(&self.load(rate)?))
    }
}
