//! What a call of a plugin costs, and many stages that are plugins.

use std::path::PathBuf;

use serde_json::Value;
use xtask::shell::{self, StepError};

use super::Bench;
use super::engine::{ask, of};
use super::table::{Bound, NONE, Row, Section, figures};

/// How many stages of a plugin run at once.
const STAGES: u32 = 1_000;

/// Where the examples that are measured lie.
struct Programs {
    folder: PathBuf,
}

/// Fills `section`.
pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let programs = Programs::build()?;
    let ways = [
        ("library", "libecho.so", "none", Some(5.0)),
        ("library whose work waits for something", "libecho_waiting.so", "none", None),
        ("library in a process of its own", "libecho.so", "process", None),
        ("executable", "echo-executable", "none", Some(200.0)),
    ];
    let mut measured = vec![Vec::new(); ways.len()];
    for _ in 0..bench.rounds {
        for (way, (_, file, isolation, _)) in ways.iter().enumerate() {
            measured[way].push(programs.ask(bench, &["calls", &programs.path(file), isolation])?);
        }
    }
    for ((name, _, _, limit), measured) in ways.iter().zip(&measured) {
        let [one, json, both, together] =
            ["us", "us_json", "us_both_ways", "us_at_once"].map(|field| of(measured, field));
        let [json, both, together] = [json, both, together].map(figures);
        let said = format!(
            "{} µs (its JSON alone {json} µs); with 1 KB back {both} µs, 64 at once {together} µs",
            figures(one)
        );
        let row = Row::new(format!("call of 1 KB: {name}"), said, NONE);
        section.rows.push(match limit {
            Some(limit) => row.judged(one, Bound::Below(*limit), " µs"),
            None => row,
        });
    }
    let mut runs = Vec::new();
    for _ in 0..bench.rounds {
        runs.push(programs.ask(bench, &["stages", &STAGES.to_string(), &programs.path("libecho.so")])?);
    }
    let ms = format!("{} ms", figures(of(&runs, "ms")));
    section.rows.push(Row::new("1,000 plugin stages in one run, from the file to its end", ms, NONE));
    section.notes.push(format!(
        "A call is `rollback` of a side effect whose `before` has 1,024 bytes, which is answered with nothing, or \
         `plan` of a stage that gives its inputs of 1,024 bytes back; with everything around it: the context of the \
         run, the conversions to and from JSON, and the answer; one after the other, {} rounds, medians. Its JSON \
         alone is writing and reading the same messages once, without a plugin: what no call can cost less than, and \
         what shows how fast the machine was just then. Calls that were quick over and over are carried out on the \
         thread of the caller; what waits goes on on a thread of the plugin.",
        bench.rounds
    ));
    Ok(())
}

impl Programs {
    fn build() -> Result<Self, StepError> {
        for package in ["pipeline-plugin", "pipeline-plugin-host"] {
            shell::run(&mut shell::cargo(&[
                "build",
                "--quiet",
                "--release",
                "--examples",
                "--package",
                package,
            ]))?;
        }
        Ok(Self { folder: shell::target().join("release/examples") })
    }

    fn path(&self, file: &str) -> String {
        self.folder.join(file).to_string_lossy().into_owned()
    }

    fn ask(&self, bench: &Bench, arguments: &[&str]) -> Result<Value, StepError> {
        ask(bench, &self.folder.join("plugins"), arguments)
    }
}
