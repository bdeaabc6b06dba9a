//! boto3 walks through the cloud; what it expects is in the scripts.

use std::time::Duration;

use pipeline_tests::cloud::eventually;
use pipeline_tests::{LocalCloud, LocalCloudOptions};
use rustix::process::{Pid, Signal, kill_process};

use crate::outside::python;

#[test]
fn boto3_creates_deploys_fails_and_stops() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    python(&cloud, "walk.py", &[]);
}

#[test]
fn boto3_meets_the_errors_of_aws() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    python(&cloud, "refusals.py", &[]);
}

#[test]
fn boto3_pages_through_lists_and_resets() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    python(&cloud, "lists.py", &[]);
}

#[test]
fn boto3_stops_a_deployment_by_an_alarm() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    python(&cloud, "alarms.py", &[]);
}

#[test]
fn boto3_finds_nothing_moving_in_an_inert_cloud() {
    let options = LocalCloudOptions { inert: true, ..LocalCloudOptions::default() };
    let cloud = LocalCloud::start(&options).expect("starts");
    python(&cloud, "inert.py", &[]);
}

#[test]
fn boto3_finds_everything_again_after_a_restart() {
    let options = LocalCloudOptions::default();
    let cloud = LocalCloud::start(&options).expect("starts");
    python(&cloud, "persistence.py", &["make"]);
    cloud.command(&["stop"]).expect("stops");
    cloud.restart(&options).expect("starts again");
    python(&cloud, "persistence.py", &["again"]);
    let deployment = python(&cloud, "persistence.py", &["begin"]);
    saved(&cloud, deployment.trim());
    kill(&cloud);
    cloud.restart(&options).expect("starts after it was killed");
    python(&cloud, "persistence.py", &["finish", deployment.trim()]);
    python(&cloud, "persistence.py", &["again"]);
}

/// Waits until the cloud has written down that a tenth of the traffic moved for `deployment`.
fn saved(cloud: &LocalCloud, deployment: &str) {
    let file = cloud.directory().join("world.json");
    eventually(Duration::from_secs(10), || {
        let world = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        if world.contains(deployment) { Ok(()) } else { Err(format!("{deployment} was not saved")) }
    })
    .expect("is saved");
}

/// Ends it with SIGKILL: it cannot say goodbye.
fn kill(cloud: &LocalCloud) {
    let record = std::fs::read(cloud.directory().join("cloud.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    let pid = record["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::KILL).expect("is killed");
    eventually(Duration::from_secs(10), || match cloud.status() {
        Err(_) => Ok(()),
        Ok(_) => Err("it still runs".to_owned()),
    })
    .expect("is dead");
}
