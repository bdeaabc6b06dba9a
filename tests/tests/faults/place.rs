//! Where cases run, one after the other: a cloud at one address, a state, and a proxy between them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pipeline_tests::cloud::eventually;
use pipeline_tests::load::{self, LoadOptions};
use pipeline_tests::{Finished, Pipeline, binary, dns};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::cloud::Cloud;
use crate::proxy::Proxy;

const HOST: &str = "hello-local.pipeline.test";

/// Requests per second while a deployment is disturbed.
const RATE: u32 = 50;

const CERTIFICATES: &str = "certificates.pem";

/// A stage of a plugin takes part like any other; what it owns is another with another version.
const PLUGIN: &str = r#"[stages.audit]
uses = "./liblog_group.so"
name = "/hello/audit"
retention_days = "${{ 3 if var.version == '1' else 7 }}"
"#;

pub(crate) struct Place {
    folder: TempDir,
    pub(crate) runtime: Runtime,
    pub(crate) proxy: Proxy,
    /// Always at the same port, which the state knows.
    port: u16,
    cloud: Option<Cloud>,
}

/// A port that no connection is lent while the cloud is down between two cases: systems lend those from 32768 on
/// (Linux) or 49152 (RFC 6335). One that was lent may be held for as long as a connection lives. The one after it, at
/// which the cloud answers DNS, is no other place's.
fn quiet_port() -> u16 {
    const FIRST: u32 = 10_000;
    const PAIRS: u32 = 10_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        // Other tests that run now begin elsewhere.
        let next = std::process::id() + TRIED.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + next % PAIRS * 2).expect("a port");
        if [port, port + 1].iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()) {
            return port;
        }
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = folder();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let cloud = Cloud::start(&folder.path().join("now/cloud"), quiet_port());
        let proxy = runtime.block_on(Proxy::start(cloud.address));
        let mut place = Self { folder, runtime, proxy, port: cloud.address.port(), cloud: Some(cloud) };
        place.write_pipeline();
        place.write_certificates();
        place.keep("nothing");
        place
    }

    /// The sample, with the proxy as its endpoint and a program that no simulated task starts.
    fn write_pipeline(&self) {
        let original = fs::read_to_string(binary::repository().join("pipeline.toml")).expect("the sample");
        let target = format!("target = \"aws\"\nendpoint_url = \"http://{}\"", self.proxy.address);
        // A simulated task knows no image: its version and its health are in its environment.
        let environment = "environment = { VERSION = \"${{ var.version }}\", SIMULATE_HEALTH_STATUS = \"${{ var.status }}\", ";
        // At this speed the cloud would check each target twenty times a second, most of what it does.
        let interval = "path = \"/health-check\"\ninterval_seconds = 60\n";
        let changes = [
            ("target = \"local\"", target.as_str()),
            ("[vars]\n", "[vars]\nstatus = \"200\"\n"),
            ("environment = { ", environment),
            ("path = \"/health-check\"\n", interval),
            // A Docker daemon would cost more than all the rest.
            ("uses = \"image\"\n", "uses = \"image\"\nbuilder = \"embedded\"\n"),
        ];
        let text = changes.iter().fold(original, |text, (old, new)| {
            assert!(text.contains(old), "the sample has {old}");
            text.replacen(old, new, 1)
        });
        fs::write(self.path("pipeline.toml"), format!("{text}\n{PLUGIN}")).expect("written");
        let context = self.path("examples/hello");
        fs::create_dir_all(&context).expect("folder");
        let dockerfile = binary::repository().join("examples/hello/Dockerfile");
        fs::copy(dockerfile, context.join("Dockerfile")).expect("copied");
        fs::write(context.join("hello"), "a program").expect("written");
        binary::put_library("log_group", self.folder.path());
    }

    /// What the runs trust. They speak to nobody but the proxy; to read all that this machine trusts would be
    /// a seventh of a plan.
    fn write_certificates(&self) {
        let status = self.status().expect("a status");
        let certificates = status["certificate_authority"].as_str().expect("certificates");
        fs::write(self.path(CERTIFICATES), certificates).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn status(&self) -> Result<Value, String> {
        let cloud = self.cloud.as_ref().expect("a running cloud");
        self.runtime.block_on(cloud.status())
    }

    /// Ends the cloud; what is there is of no more use.
    pub(crate) fn end(&mut self) {
        self.cloud = None;
    }

    /// Stops the cloud and keeps it and the state under a name.
    pub(crate) fn keep(&mut self, name: &str) {
        self.cloud.take().expect("a running cloud").stop();
        copy(&self.path("now"), &self.path(name));
    }

    pub(crate) fn has_kept(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Puts the cloud and the state back as they were kept, and starts the cloud.
    pub(crate) fn restore(&mut self, name: &str) {
        self.end();
        let now = self.path("now");
        fs::remove_dir_all(&now).expect("removed");
        copy(&self.path(name), &now);
        self.cloud = Some(Cloud::start(&self.path("now/cloud"), self.port));
    }

    fn command(&self, args: &[&str]) -> Pipeline {
        Pipeline::new(self.folder.path())
            .args(args)
            .env("PIPELINE_CLOUD_DIR", self.path("now/cloud"))
            .env("PIPELINE_STATE", self.path("now/state"))
            .env("SSL_CERT_FILE", self.path(CERTIFICATES))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            // Otherwise nobody would be there to trust the plugin the first time.
            .env("CI", "")
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
    pub(crate) fn load(&self) -> Result<LoadOptions, String> {
        let status = self.status()?;
        let server = status["dns"].as_str().and_then(|text| text.parse().ok()).expect("a DNS server");
        let address = dns::lookup(server, HOST)?.pop().ok_or("no address")?;
        let tls = load::trusting(status["certificate_authority"].as_str().expect("certificates"))?;
        let address = SocketAddr::from((address, 443));
        let options =
            LoadOptions { tls: Some(tls), keep_alive: 3, fresh: 1, ..LoadOptions::new(address, HOST, RATE) };
        eventually(Duration::from_secs(20), || self.runtime.block_on(load::get(&options)))?;
        Ok(options)
    }
}

/// In memory where there is such a folder: processes are killed here, never the machine, and to wait for a disk
/// would only take time.
fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("pipeline-faults-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).expect("a folder")
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
