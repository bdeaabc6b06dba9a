//! Runs that are killed in the middle of a deployment, on tasks that are processes.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use pipeline_tests::python;
use serde_json::Value;

use crate::{Sample, body, hello, last_versions};

/// Starts to deploy version 2, and is killed once it has the canary's share of the traffic.
fn killed_in_a_canary(sample: &Sample) {
    let mut command = sample.command(&["run", "--var", "version=2"]).into_command();
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let lines = BufReader::new(run.stdout.take().expect("piped")).lines();
    let mut lines = lines.map(|line| line.expect("text"));
    assert!(lines.any(|line| line.contains("10 %")), "it got no share of the traffic");
    run.kill().expect("killed");
    run.wait().expect("ended");
}

fn ask(sample: &Sample, args: &[&str]) -> Value {
    let endpoint = sample.cloud.endpoint().expect("an endpoint");
    python::aws(&endpoint, args)
}

fn nothing_is_under_way(sample: &Sample) {
    let active =
        ["deploy", "list-deployments", "--include-only-statuses", "Created", "Queued", "InProgress", "Ready"];
    assert_eq!(ask(sample, &active)["deployments"], serde_json::json!([]));
    let targets = ["application-autoscaling", "describe-scalable-targets", "--service-namespace", "ecs"];
    let suspended = &ask(sample, &targets)["ScalableTargets"][0]["SuspendedState"];
    assert_eq!(suspended["DynamicScalingOutSuspended"], false, "{suspended}");
}

#[test]
fn undoing_a_run_that_was_killed_stops_its_deployment() {
    assert!(hello().exists(), "{} is missing: `cargo xtask sample` builds it", hello().display());
    let sample = Sample::on("process");
    sample.run(&["run"], 0);
    killed_in_a_canary(&sample);

    let (finished, load) = sample.run_under_load(&["rollback"], 0);
    assert_eq!(load.failed, 0, "{:?}", load.failures);
    assert_eq!(last_versions(&load), ["1"], "{}", finished.stdout);
    nothing_is_under_way(&sample);
    sample.run(&["plan", "--detailed-exit-code"], 0);

    let asks = sample.run(&["rollback"], 1);
    assert!(asks.stderr.contains("confirm with `--yes`"), "{}", asks.stderr);
    assert!(body(&sample.load()).contains("version 1"), "nothing was removed");
    sample.run(&["rollback", "--yes"], 0);
}

#[test]
fn a_run_of_another_version_stops_the_deployment_of_one_that_was_killed() {
    assert!(hello().exists(), "{} is missing: `cargo xtask sample` builds it", hello().display());
    let sample = Sample::on("process");
    sample.run(&["run"], 0);
    killed_in_a_canary(&sample);

    let (finished, load) = sample.run_under_load(&["run", "--var", "version=3"], 0);
    assert_eq!(load.failed, 0, "{:?}", load.failures);
    assert_eq!(last_versions(&load), ["3"], "{}", finished.stdout);
    let all_of_two = load.timeline.iter().any(|slice| slice.answers.keys().eq(["2"]));
    assert!(!all_of_two, "nobody wants version 2 any more: {:?}", load.timeline);
    nothing_is_under_way(&sample);
}

/// What a pipeline made carries its tags: that is enough to remove it.
#[test]
fn a_destruction_finds_what_a_lost_state_knew() {
    assert!(hello().exists(), "{} is missing: `cargo xtask sample` builds it", hello().display());
    let sample = Sample::on("simulated");
    sample.run(&["run"], 0);
    std::fs::remove_dir_all(sample.state.path()).expect("removed");
    sample.run(&["destroy", "--yes"], 0);
    let left = sample.cloud.status().expect("status")["resources"].clone();
    assert_eq!(left, Value::Object(serde_json::Map::new()));
}
