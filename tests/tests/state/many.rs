//! Many runs that begin on one environment at the same moment.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::bucket::Bucket;
use crate::place::{Keep, Place, finish};

/// Each run changes one thing, and says so in its name.
const FILE: &str = r#"
[pipeline]
name = "hello"

[cloud]
target = "local"

[vars]
number = "0"

[stages.registry]
uses = "ecr"
tags = { number = "${{ var.number }}" }
"#;

const RUNS: usize = 32;

#[test]
fn runs_that_begin_at_once_follow_each_other_on_local_files() {
    follow_each_other(&Place::new(FILE, Keep::Folder));
}

#[test]
fn runs_that_begin_at_once_follow_each_other_in_a_bucket() {
    follow_each_other(&Place::new(FILE, Keep::Bucket(Bucket::new())));
}

fn follow_each_other(place: &Place) {
    let _ = place.run(&["run"]).expect_code(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Whatever is read meanwhile is whole.
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::SeqCst) {
                place.ask(&["outputs", "--json"]);
                looks += 1;
            }
            looks
        });
        let start = |number: usize| {
            place.spawn(&["run", "--lock-timeout", "10m", "--var", &format!("number={number}")])
        };
        let runs: Vec<_> = (1..=RUNS).map(start).collect();
        let ended: Vec<_> = runs.into_iter().map(finish).collect();
        done.store(true, Ordering::SeqCst);
        assert!(reader.join().expect("what is read is whole") > 0);
        for finished in ended {
            let _ = finished.expect_code(0);
        }
    });
    let history = place.ask(&["history", "--json", "--limit", "1000"]);
    let runs = history.as_array().expect("a list");
    assert_eq!(runs.len(), RUNS + 1);
    let serials: Vec<u64> = runs.iter().rev().map(|run| serial_before(place, run)).collect();
    let gapless: Vec<u64> = (0..=RUNS as u64).collect();
    assert_eq!(serials, gapless, "each run begins with the state that the one before has left");
    let times: BTreeSet<_> = runs.iter().rev().map(|run| (text(run, "began"), text(run, "last"))).collect();
    let mut times = times.into_iter();
    let mut last = times.next().expect("a run").1;
    for (began, ended) in times {
        assert!(began >= last, "a run began at {began}, while one went on until {last}");
        last = ended;
    }
    for run in runs {
        assert_eq!(run["outcome"], "succeeded", "{run}");
    }
}

fn text(run: &Value, key: &str) -> jiff::Timestamp {
    run[key].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no time {key} in {run}"))
}

/// The serial number of the state that a run began with.
fn serial_before(place: &Place, run: &Value) -> u64 {
    let id = run["run"].as_str().expect("an id");
    let lines = place.run(&["history", id, "--json"]).expect_code(0).stdout;
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut began = records.filter(|record| record["entry"] == "began");
    began.next().expect("it began")["before"]["serial"].as_u64().expect("a number")
}
