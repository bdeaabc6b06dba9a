//! The sample pipeline, from nothing to live traffic and back, on the real binary.

mod cut_off;

use std::path::PathBuf;
use std::time::Duration;

use pipeline_tests::cloud::eventually;
use pipeline_tests::load::{self, LoadOptions};
use pipeline_tests::{
    Finished, Load, LoadSummary, LocalCloud, LocalCloudOptions, Pipeline, binary, dns, python,
};
use serde_json::Value;
use tempfile::TempDir;

const HOST: &str = "hello-local.pipeline.test";

/// Requests per second while something is deployed: enough that a gap of 10 ms shows.
const RATE: u32 = 300;

/// A cloud and a state of its own for the sample at the top of the repository.
struct Sample {
    cloud: LocalCloud,
    state: TempDir,
}

impl Sample {
    fn on(runtime: &'static str) -> Self {
        let options = LocalCloudOptions { runtime, ..LocalCloudOptions::default() };
        let cloud = LocalCloud::start(&options).expect("a cloud");
        Self { cloud, state: tempfile::tempdir().expect("folder") }
    }

    fn command(&self, args: &[&str]) -> Pipeline {
        Pipeline::new(&binary::repository())
            .args(args)
            .env("PIPELINE_CLOUD_DIR", self.cloud.directory())
            .env("PIPELINE_STATE", self.state.path())
    }

    fn run(&self, args: &[&str], code: i32) -> Finished {
        self.command(args).run().expect("runs").expect_code(code)
    }

    fn load(&self) -> LoadOptions {
        let status = self.cloud.status().expect("status");
        let server = status["dns"].as_str().and_then(|text| text.parse().ok()).expect("a DNS server");
        let addresses = dns::lookup(server, HOST).expect("an answer");
        let address = self.cloud.listener("hello-local", 443).expect("a listener");
        assert_eq!(
            addresses,
            [match address.ip() {
                std::net::IpAddr::V4(address) => address,
                std::net::IpAddr::V6(_) => unreachable!("load balancers have IPv4 addresses"),
            }]
        );
        let tls =
            load::trusting(status["certificate_authority"].as_str().expect("certificates")).expect("TLS");
        LoadOptions { tls: Some(tls), ..LoadOptions::new(address, HOST, RATE) }
    }

    /// Runs `args` while requests are sent.
    fn run_under_load(&self, args: &[&str], code: i32) -> (Finished, LoadSummary) {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let options = self.load();
        let load = runtime.block_on(async { Load::start(&options) });
        let answered = |wanted: usize| {
            let enough = || if load.counts().0 >= wanted { Ok(()) } else { Err("no answers yet".to_owned()) };
            eventually(Duration::from_secs(10), enough).expect("load");
        };
        answered(50);
        let finished = self.run(args, code);
        // The last slice of the timeline is to be one after its end, also where that came at once.
        answered(load.counts().0 + usize::try_from(options.rate).unwrap_or_default());
        (finished, runtime.block_on(load.stop()))
    }
}

fn body(options: &LoadOptions) -> String {
    tokio::runtime::Runtime::new().expect("runtime").block_on(load::get(options)).expect("an answer")
}

fn last_versions(summary: &LoadSummary) -> Vec<&String> {
    summary.timeline.last().map(|slice| slice.answers.keys().collect()).unwrap_or_default()
}

/// The whole life of the sample.
fn walk(runtime: &'static str) {
    let sample = Sample::on(runtime);
    sample.run(&["run"], 0);
    assert!(body(&sample.load()).contains("version 1"));

    let (_, canary) = sample.run_under_load(&["run", "--var", "version=2"], 0);
    assert_eq!(canary.failed, 0, "{:?}", canary.failures);
    let mixed = canary.timeline.iter().any(|slice| slice.answers.len() == 2);
    assert!(mixed, "a canary has both versions in traffic: {:?}", canary.timeline);
    assert_eq!(last_versions(&canary), ["2"]);

    let broken = ["run", "--var", "version=3", "--var", "healthy=false"];
    let (finished, failing) = sample.run_under_load(&broken, 3);
    assert_eq!(failing.failed, 0, "{:?}", failing.failures);
    assert_eq!(last_versions(&failing), ["2"]);
    assert!(finished.stdout.contains("Failed and rolled back"), "{}", finished.stdout);

    let again = sample.run(&["run", "--var", "version=2"], 0);
    assert!(again.stdout.contains("no mutating call was made"), "{}", again.stdout);
    sample.run(&["plan", "--detailed-exit-code", "--var", "version=2"], 0);

    sample.run(&["destroy", "--yes"], 0);
    let left = sample.cloud.status().expect("status")["resources"].clone();
    assert_eq!(left, Value::Object(serde_json::Map::new()));
}

/// The live tasks fail a check that asks for what they do not have: it is put back before they are stopped.
#[test]
fn a_health_check_that_running_tasks_fail_is_taken_back() {
    assert!(hello().exists(), "{} is missing: `cargo xtask sample` builds it", hello().display());
    let sample = Sample::on("process");
    sample.run(&["run"], 0);
    let folder = tempfile::tempdir().expect("folder");
    let text = std::fs::read_to_string(binary::repository().join("pipeline.toml")).expect("the sample");
    let wrong = text.replace("path = \"/health-check\"", "path = \"/missing\"");
    assert_ne!(text, wrong);
    std::fs::write(folder.path().join("pipeline.toml"), wrong).expect("written");
    std::os::unix::fs::symlink(binary::repository().join("examples"), folder.path().join("examples"))
        .expect("linked");
    let file = folder.path().join("pipeline.toml");
    let file = file.to_str().expect("UTF-8");

    // Without load: sixty times as fast as real time, ECS may stop a task before anybody could react.
    let finished = sample.run(&["run", "--file", file], 3);
    assert!(finished.stdout.contains("fail the new health check of /missing"), "{}", finished.stdout);
    let again = sample.run(&["run"], 0);
    assert!(again.stdout.contains("no mutating call was made"), "{}", again.stdout);
}

/// A saved plan is carried out once, and the deployment of the first run comes back without its file.
#[test]
fn a_saved_plan_is_applied_and_an_earlier_deployment_brought_back() {
    assert!(hello().exists(), "{} is missing: `cargo xtask sample` builds it", hello().display());
    let sample = Sample::on("process");
    sample.run(&["run"], 0);
    let history: Value = serde_json::from_str(&sample.run(&["history", "--json"], 0).stdout).expect("JSON");
    let first = history[0]["run"].as_str().expect("a run").to_owned();

    let folder = tempfile::tempdir().expect("folder");
    let plan = folder.path().join("plan.json");
    let plan = plan.to_str().expect("UTF-8");
    sample.run(&["plan", "--var", "version=2", "--out", plan], 0);
    let other = sample.run(&["apply", plan], 1);
    assert!(other.stderr.contains("stage `image` is another one now, perhaps"), "{}", other.stderr);
    sample.run(&["apply", plan, "--var", "version=2"], 0);
    assert!(body(&sample.load()).contains("version 2"));
    let stale = sample.run(&["apply", plan, "--var", "version=2"], 1);
    assert!(stale.stderr.contains("the environment was changed since the plan was made"), "{}", stale.stderr);

    let back = ["rollback", "--to", &first, "--var", "version=2"];
    let (finished, load) = sample.run_under_load(&back, 0);
    assert_eq!(load.failed, 0, "{:?}", load.failures);
    assert_eq!(last_versions(&load), ["1"], "{}", finished.stdout);
    sample.run(&["plan", "--detailed-exit-code", "--var", "version=2"], 10);
    let (_, load) = sample.run_under_load(&["rollback", "--var", "version=2"], 0);
    assert_eq!(load.failed, 0, "{:?}", load.failures);
    assert_eq!(last_versions(&load), ["2"]);
    sample.run(&["plan", "--detailed-exit-code", "--var", "version=2"], 0);

    let endpoint = sample.cloud.endpoint().expect("an endpoint");
    python::aws(&endpoint, &["ecs", "deregister-task-definition", "--task-definition", "hello-local:1"]);
    let refused = sample.run(&back, 1);
    assert!(
        refused.stderr.contains("the task definition hello-local:1 was deregistered"),
        "{}",
        refused.stderr
    );
    python::aws(&endpoint, &["ecs", "delete-task-definitions", "--task-definitions", "hello-local:1"]);
    let refused = sample.run(&back, 1);
    let said = "the task definition hello-local:1 is not there any more";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
}

#[test]
fn processes_go_live_and_back() {
    assert!(hello().exists(), "{} is missing: `cargo xtask sample` builds it", hello().display());
    walk("process");
}

#[test]
fn docker_containers_go_live_and_back() {
    assert!(hello().exists(), "{} is missing: `cargo xtask sample` builds it", hello().display());
    walk("docker");
}

fn hello() -> PathBuf {
    binary::repository().join("examples/hello/hello")
}
