//! What is disturbed, and what has to come of it.

use std::process::Child;
use std::time::Duration;

use pipeline_tests::cloud::eventually;
use pipeline_tests::{Finished, Load};
use serde_json::{Value, json};

use crate::place::Place;
use crate::proxy::{Call, Fault, Plan};

/// A command on a world.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What is there before it.
    before: Before,
    args: &'static [&'static str],
    code: i32,
    /// The version that answers in the end; none if nothing is left.
    version: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Deployed,
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "create", before: Before::Nothing, args: &["run"], code: 0, version: Some("1") },
    Scenario {
        name: "update",
        before: Before::Deployed,
        args: &["run", "--var", "version=2"],
        code: 0,
        version: Some("2"),
    },
    Scenario {
        name: "failing update",
        before: Before::Deployed,
        args: &["run", "--var", "version=3", "--var", "status=500"],
        code: 3,
        version: Some("1"),
    },
    Scenario {
        name: "destroy",
        before: Before::Deployed,
        args: &["destroy", "--yes"],
        code: 0,
        version: None,
    },
];

/// What came of a run without faults.
pub(crate) struct Undisturbed {
    pub(crate) calls: Vec<Call>,
    pub(crate) world: String,
}

impl Scenario {
    pub(crate) fn undisturbed(&self, place: &mut Place) -> Undisturbed {
        self.prepare(place);
        place.proxy.begin(None);
        let _ = place.run(self.args).expect_code(self.code);
        let calls = place.proxy.calls();
        let world = self.world(place, 1).expect("the world of a run without faults");
        place.end();
        Undisturbed { calls, world }
    }

    /// Runs it with `fault` at call `at`.
    pub(crate) fn disturbed(
        &self,
        place: &mut Place,
        fault: Fault,
        at: usize,
        wanted: &str,
    ) -> Result<(), String> {
        self.prepare(place);
        let load = if self.before == Before::Deployed && self.version.is_some() {
            let options = place.load()?;
            Some(place.runtime.block_on(async { Load::start(&options) }))
        } else {
            None
        };
        place.proxy.begin(Some(Plan { fault, at }));
        let child = place.spawn(self.args);
        place.proxy.kills(child.id());
        let first = finish(child);
        let (mut told, mut attempts) = (format!("first: {first:?}"), 1);
        if first.code != self.code || fault.kills() {
            place.proxy.begin(None);
            let second = place.run(self.args);
            attempts += 1;
            told = format!("{told}\nsecond: {second:?}");
            if second.code != self.code {
                place.end();
                return Err(format!("the second run ended with {}\n{told}", second.code));
            }
        }
        let world = self.world(place, attempts);
        let failed = load.map(|load| place.runtime.block_on(load.stop()));
        place.end();
        let world = world.map_err(|error| format!("{error}\n{told}"))?;
        if world != wanted {
            return Err(format!("the world differs:\n{}\n{told}", difference(wanted, &world)));
        }
        match failed {
            Some(summary) if summary.failed > 0 => {
                Err(format!("{} requests failed: {:?}\n{told}", summary.failed, summary.failures))
            }
            _ => Ok(()),
        }
    }

    fn prepare(&self, place: &mut Place) {
        match self.before {
            Before::Nothing => place.restore("nothing"),
            Before::Deployed => {
                if !place.has_kept("deployed") {
                    place.restore("nothing");
                    place.proxy.begin(None);
                    let _ = place.run(&["run"]).expect_code(0);
                    place.keep("deployed");
                }
                place.restore("deployed");
            }
        }
    }

    /// What is there: how many resources of each kind, what the state knows, which version answers, and
    /// that a plan finds nothing to do.
    fn world(&self, place: &Place, attempts: u64) -> Result<String, String> {
        // Old tasks end a while after the command.
        let settled = || {
            let found = place.status()?["resources"].clone();
            let tasks = if self.version.is_some() { json!(2) } else { Value::Null };
            if found["ecs:task"] == tasks { Ok(found) } else { Err(format!("{} tasks", found["ecs:task"])) }
        };
        let mut found = eventually(Duration::from_secs(30), settled)?;
        if self.code != 0 {
            // A revision that was taken back stays, inactive: one of each attempt that came so far.
            let revisions = found["ecs:taskdefinition"].take().as_u64().unwrap_or_default();
            if !(2..=1 + attempts).contains(&revisions) {
                return Err(format!("{revisions} revisions after {attempts} attempts"));
            }
        }
        let mut world = vec![format!("resources: {found}")];
        for (name, stage) in place.state()["stages"].as_object().into_iter().flatten() {
            let owned = stage["outputs"]["resources"].as_array().into_iter().flatten();
            let owned: Vec<_> = owned.map(|one| format!("{} {}", one["kind"], one["name"])).collect();
            world.push(format!("{name}: {}", owned.join(", ")));
        }
        if let Some(version) = self.version {
            let options = place.load()?;
            let body = place.runtime.block_on(pipeline_tests::load::get(&options))?;
            let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
            world.push(format!("version: {}", answer["version"]));
            let mut plan = vec!["plan", "--detailed-exit-code", "--var"];
            let variable = format!("version={version}");
            plan.push(&variable);
            place.proxy.begin(None);
            let planned = place.run(&plan);
            if planned.code != 0 {
                return Err(format!("a plan finds something to do: {planned:?}"));
            }
        }
        Ok(world.join("\n"))
    }
}

fn finish(child: Child) -> Finished {
    child.wait_with_output().map(Finished::from).expect("it ends")
}

fn difference(wanted: &str, found: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (wanted, found) = (lines(wanted), lines(found));
    let only = |some: &[String], other: &[String], sign: &str| {
        let lines = some.iter().filter(|line| !other.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect::<Vec<_>>().join("\n")
    };
    format!("{}\n{}", only(&wanted, &found, "-"), only(&found, &wanted, "+"))
}
