//! The fault matrix: the sample pipeline with every fault at every call that it makes to AWS.
//!
//! The cases are generated: an undisturbed run through a proxy tells how many calls there are. Then the
//! scenario is run once for each call and each [`Fault`](proxy::Fault), each time from the same world. If
//! the run did not end as it should, it is run again without a fault. In the end the world has to be that
//! of the undisturbed run, and no request of the app's users may have failed.
//!
//! The ordinary test takes a part of the cases, spread evenly; `PIPELINE_FAULTS=all` takes all of them
//! (`cargo xtask test --full`), and the name of a case, such as `create, AnswerDropped at call 135`, only that one;
//! several names are separated by `;`.

mod cloud;
mod place;
mod proxy;
mod scenario;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use place::Place;
use proxy::{Call, Fault};
use scenario::{SCENARIOS, Scenario};

/// How many cases of each scenario the ordinary test takes.
const PART: usize = 10;

/// How many cases run at once: most of the time they wait.
const WORKERS: usize = 6;

/// How many run at once where there are thousands, on an optimised binary.
const WORKERS_OF_ALL: usize = 20;

/// How often the test says how far it is.
const EVERY: usize = 100;

struct Case {
    scenario: &'static Scenario,
    fault: Fault,
    at: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:?} at call {}", self.scenario.name, self.fault, self.at)
    }
}

#[test]
fn the_world_is_as_it_should_be_whatever_fails_at_whichever_call() {
    let asked = std::env::var("PIPELINE_FAULTS").unwrap_or_default();
    let all = asked == "all";
    let workers = if all { WORKERS_OF_ALL } else { WORKERS };
    let mut places: Vec<_> = (0..workers).map(|_| Place::new()).collect();
    let (mut cases, mut wanted) = (Vec::new(), BTreeMap::new());
    for scenario in SCENARIOS {
        let undisturbed = scenario.undisturbed(&mut places[0]);
        let generated = generate(scenario, &undisturbed.calls);
        println!("{}: {} calls, {} cases", scenario.name, undisturbed.calls.len(), generated.len());
        wanted.insert(scenario.name, undisturbed.world);
        cases.extend(pick(generated, &asked));
    }
    assert!(!cases.is_empty(), "there is no case `{asked}`");
    let began = Instant::now();
    let failures = carry_out(&cases, places, &wanted);
    println!("{} cases ran in {} s, {} failed", cases.len(), began.elapsed().as_secs(), failures.len());
    assert!(failures.is_empty(), "failed:\n{}", failures.join("\n"));
}

/// Those of `cases` that are asked for.
fn pick(cases: Vec<Case>, asked: &str) -> Vec<Case> {
    match asked {
        "all" => cases,
        "" => {
            let step = cases.len() as f64 / PART as f64;
            let picked: Vec<_> = (0..PART).map(|number| (number as f64 * step) as usize).collect();
            let cases = cases.into_iter().enumerate();
            cases.filter(|(number, _)| picked.contains(number)).map(|(_, case)| case).collect()
        }
        names => {
            let asked = |case: &Case| names.split(';').any(|name| name.trim() == case.to_string());
            cases.into_iter().filter(asked).collect()
        }
    }
}

/// Each fault at each call where it can make a difference.
fn generate(scenario: &'static Scenario, calls: &[Call]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            if fault.fits(call) {
                cases.push(Case { scenario, fault, at });
            }
        }
    }
    cases
}

fn carry_out(cases: &[Case], places: Vec<Place>, wanted: &BTreeMap<&str, String>) -> Vec<String> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for mut place in places {
            let (next, failures) = (&next, &failures);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(number) else { return };
                    if number > 0 && number.is_multiple_of(EVERY) {
                        println!("{number} of {} cases begun", cases.len());
                    }
                    let wanted = &wanted[case.scenario.name];
                    if let Err(reason) = case.scenario.disturbed(&mut place, case.fault, case.at, wanted) {
                        println!("FAILED {case}: {reason}");
                        failures.lock().expect("failures").push(case.to_string());
                    }
                }
            });
        }
    });
    failures.into_inner().expect("failures")
}
