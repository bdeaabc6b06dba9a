//! Where cases run, one after the other: a cloud at one address, a state, and a proxy between them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use pipeline_tests::cloud::eventually;
use pipeline_tests::load::{self, LoadOptions};
use pipeline_tests::{Finished, Pipeline, binary, dns};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::proxy::Proxy;

const HOST: &str = "hello-local.pipeline.test";

/// Requests per second while a deployment is disturbed.
const RATE: u32 = 50;

/// How much faster than real time the cloud's waits pass.
const SPEED: &str = "600";

pub(crate) struct Place {
    folder: TempDir,
    pub(crate) runtime: Runtime,
    pub(crate) proxy: Proxy,
    port: u16,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("pipeline-faults-").tempdir().expect("folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        cloud(folder.path(), &["start", "--port", "0", "--runtime", "simulated", "--speed", SPEED]);
        let endpoint = status(folder.path())["endpoint"].as_str().unwrap_or_default().to_owned();
        let address: SocketAddr =
            endpoint.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an endpoint");
        let proxy = runtime.block_on(Proxy::start(address));
        let place = Self { folder, runtime, proxy, port: address.port() };
        place.write_pipeline();
        place.stop();
        place.keep("nothing");
        place
    }

    /// The sample, with the proxy as its endpoint and a program that no simulated task starts.
    fn write_pipeline(&self) {
        let original = fs::read_to_string(binary::repository().join("pipeline.toml")).expect("the sample");
        let target = format!("target = \"aws\"\nendpoint_url = \"http://{}\"", self.proxy.address);
        // A simulated task knows no image: its version and its health are in its environment.
        let environment = "environment = { VERSION = \"${{ var.version }}\", SIMULATE_HEALTH_STATUS = \"${{ var.status }}\", ";
        let changes = [
            ("target = \"local\"", target.as_str()),
            ("[vars]\n", "[vars]\nstatus = \"200\"\n"),
            ("environment = { ", environment),
        ];
        let text = changes.iter().fold(original, |text, (old, new)| {
            assert!(text.contains(old), "the sample has {old}");
            text.replacen(old, new, 1)
        });
        fs::write(self.path("pipeline.toml"), text).expect("written");
        let context = self.path("examples/hello");
        fs::create_dir_all(&context).expect("folder");
        let dockerfile = binary::repository().join("examples/hello/Dockerfile");
        fs::copy(dockerfile, context.join("Dockerfile")).expect("copied");
        fs::write(context.join("hello"), "a program").expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cloud(&self, args: &[&str]) -> String {
        cloud(self.folder.path(), args)
    }

    pub(crate) fn status(&self) -> Value {
        status(self.folder.path())
    }

    pub(crate) fn stop(&self) {
        self.cloud(&["stop"]);
    }

    /// Keeps the stopped cloud and the state under a name.
    pub(crate) fn keep(&self, name: &str) {
        copy(&self.path("now"), &self.path(name));
    }

    pub(crate) fn has_kept(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Puts the cloud and the state back as they were kept, and starts the cloud.
    pub(crate) fn restore(&self, name: &str) {
        let now = self.path("now");
        fs::remove_dir_all(&now).expect("removed");
        copy(&self.path(name), &now);
        let port = self.port.to_string();
        self.cloud(&["start", "--port", &port, "--runtime", "simulated", "--speed", SPEED]);
    }

    fn command(&self, args: &[&str]) -> Pipeline {
        Pipeline::new(self.folder.path())
            .args(args)
            .env("PIPELINE_CLOUD_DIR", self.path("now/cloud"))
            .env("PIPELINE_STATE", self.path("now/state"))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        self.command(args).run().expect("runs")
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args).into_command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
    }

    pub(crate) fn state(&self) -> Value {
        let bytes = fs::read(self.path("now/state/local/state.json")).expect("a state");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// A load on the app, which answers.
    pub(crate) fn load(&self) -> LoadOptions {
        let status = self.status();
        let server = status["dns"].as_str().and_then(|text| text.parse().ok()).expect("a DNS server");
        let address = dns::lookup(server, HOST).expect("an answer").pop().expect("an address");
        let tls =
            load::trusting(status["certificate_authority"].as_str().expect("certificates")).expect("TLS");
        let address = SocketAddr::from((address, 443));
        let options =
            LoadOptions { tls: Some(tls), keep_alive: 3, fresh: 1, ..LoadOptions::new(address, HOST, RATE) };
        eventually(Duration::from_secs(20), || self.runtime.block_on(load::get(&options)))
            .expect("an answer");
        options
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.path("now/cloud").exists() {
            self.stop();
        }
    }
}

/// Runs `pipeline cloud ARGS` on the cloud of a place.
fn cloud(folder: &Path, args: &[&str]) -> String {
    let command = Pipeline::new(folder).args(["cloud"]).args(args);
    let finished = command.env("PIPELINE_CLOUD_DIR", folder.join("now/cloud")).run().expect("runs");
    finished.expect_code(0).stdout
}

fn status(folder: &Path) -> Value {
    serde_json::from_str(&cloud(folder, &["status", "--json"])).expect("JSON")
}

/// Copies what a stopped cloud and a state consist of.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else if !matches!(entry.file_name().to_str(), Some("cloud.json" | "lock" | "cloud.log")) {
            fs::copy(&from, &to).expect("copied");
        }
    }
}
