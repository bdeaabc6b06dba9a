//! A run that is stopped for longer than its lease lives, and goes on as if nothing had happened.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bucket::Bucket;
use crate::place::{Keep, Place, finish};

const FAILED: i32 = 1;
const STUCK: i32 = 4;

#[test]
fn a_run_that_could_not_plan_is_not_said_to_have_looked_after_another() {
    let place = Place::sample(Keep::Folder);
    let _ = place.run(&["run"]).expect_code(0);
    let mut killed = place.spawn_until("deployment", &["run", "--var", "version=2"]);
    killed.kill().expect("killed");
    drop(finish(killed));
    let file = place.path().join("pipeline.toml");
    let good = std::fs::read_to_string(&file).expect("the sample");
    std::fs::write(&file, good.replace("[stages.dns]", "[stages.name]")).expect("written");
    let _ = place.run(&["run", "--var", "version=2"]).expect_code(FAILED);
    let heir = |history: &Value| history[1]["taken_over_by"].clone();
    assert_eq!(heir(&place.ask(&["history", "--json"])), Value::Null);
    std::fs::write(&file, good).expect("written");
    let _ = place.run(&["run", "--var", "version=2"]).expect_code(0);
    let history = place.ask(&["history", "--json"]);
    assert_eq!(history[2]["taken_over_by"], history[0]["run"]);
}

#[test]
fn a_run_that_slept_through_its_lease_writes_nothing_more() {
    let place = Place::sample(Keep::Bucket(Bucket::new()));
    let _ = place.run(&["run"]).expect_code(0);
    let update = ["run", "--var", "version=2"];
    let sleeper = place.spawn_until("deployment", &update);
    let pid = Pid::from_raw(sleeper.id().try_into().expect("a process")).expect("a process");
    kill_process(pid, Signal::STOP).expect("stopped");
    let status = place.run(&["status"]).expect_code(0).stdout;
    for told in
        ["updated ecs:taskdefinition hello-local", "update codedeploy:deployment hello-local: under way"]
    {
        assert!(status.contains(told), "it says what it has changed so far:\n{status}");
    }

    let lock = place.run(&["lock", "status"]).expect_code(0).stdout;
    assert!(lock.contains("; free 30 s after its last renewal, which was at 2"), "{lock}");

    let second = place.run(&["run", "--var", "version=2", "--lock-timeout", "3m"]).expect_code(0);
    assert!(second.stderr.contains("another run holds the environment"), "{}", second.stderr);
    let history = place.ask(&["history", "--json"]);
    let state = place.ask(&["outputs", "--json"]);

    kill_process(pid, Signal::CONT).expect("goes on");
    let slept = finish(sleeper).expect_code(STUCK);
    let said = format!("{}{}", slept.stdout, slept.stderr);
    assert!(said.contains("lock"), "it says why it ends:\n{said}");
    assert_eq!(place.ask(&["history", "--json"]), history);
    assert_eq!(place.ask(&["outputs", "--json"]), state);
    let _ = place.run(&["plan", "--detailed-exit-code", "--var", "version=2"]).expect_code(0);
}
