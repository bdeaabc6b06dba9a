//! The engine without a cloud: many stages, and the journal under many writers.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use xtask::shell::{self, StepError};

use super::Bench;
use super::table::{Bound, NONE, Row, Section, figures, median};

/// Stages in the small and the large pipeline.
const SMALL: u32 = 10_000;
const LARGE: u32 = 100_000;

/// What the small one may take, in milliseconds and megabytes; the large one may take [`GROWTH`] times that.
const TIME: f64 = 1000.0;
const MEMORY: f64 = 150.0;
const GROWTH: f64 = 12.0;

/// The large pipeline takes seconds: its round is not repeated as often.
const LARGE_ROUNDS: u32 = 2;

/// Who appends to the journal at once.
const WRITERS: u32 = 64;

/// Fills `section`.
pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let program = build()?;
    let measure = |arguments: [&str; 2]| ask(bench, &program, &arguments);
    let mut small = Vec::new();
    for _ in 0..bench.rounds {
        small.push(measure(["stages", &SMALL.to_string()])?);
    }
    let mut large = Vec::new();
    for _ in 0..bench.rounds.min(LARGE_ROUNDS) {
        large.push(measure(["stages", &LARGE.to_string()])?);
    }
    let mut journal = Vec::new();
    for _ in 0..bench.rounds {
        journal.push(measure(["journal", &WRITERS.to_string()])?);
    }
    show_stages(section, &small, &large);
    show_journal(section, &journal);
    show_terraform(bench, section, &measure)?;
    section.notes.push(format!(
        "Stages that have a change and do nothing, in 50 layers, each referring to two of the layer before; state \
         and journal on the disk of `target/`; {} rounds, medians. Reading and checking the file is not counted and \
         took {} ms and {} ms.",
        bench.rounds,
        figures(of(&small, "load_ms")),
        figures(of(&large, "load_ms")),
    ));
    Ok(())
}

fn show_stages(section: &mut Section, small: &[Value], large: &[Value]) {
    let both = of(small, "both_ms");
    let took = |measured: &[Value]| {
        let (both, plan) = (of(measured, "both_ms"), of(measured, "plan_ms"));
        format!("{} ms, of these {} ms for the plan", figures(both), figures(plan))
    };
    section.rows.push(Row::new("plan and apply 10,000 stages", took(small), NONE).judged(
        both,
        Bound::Below(TIME),
        " ms",
    ));
    let memory = of(small, "peak_mb");
    section.rows.push(Row::new("memory for it, at most", format!("{} MB", figures(memory)), NONE).judged(
        memory,
        Bound::Below(MEMORY),
        " MB",
    ));
    let (both_of_large, memory_of_large) = (of(large, "both_ms"), of(large, "peak_mb"));
    section.rows.push(Row::new("plan and apply 100,000 stages", took(large), NONE).judged(
        both_of_large,
        Bound::Below(GROWTH * TIME),
        " ms",
    ));
    let said = format!("{} MB", figures(memory_of_large));
    section.rows.push(Row::new("memory for it, at most", said, NONE).judged(
        memory_of_large,
        Bound::Below(GROWTH * MEMORY),
        " MB",
    ));
    section.rows.push(Row::new("100,000 stages against 10,000, in time", NONE, NONE).judged(
        both_of_large / both,
        Bound::Below(GROWTH),
        "×",
    ));
}

fn show_journal(section: &mut Section, measured: &[Value]) {
    let (flushes, records) = (of(measured, "flushes"), of(measured, "records"));
    let said = format!("{} records/s at {} flushes/s", figures(records), figures(flushes));
    section.rows.push(Row::new("journal with 64 writers, of 64 × the disk's flushes", said, NONE).judged(
        of(measured, "share"),
        Bound::AtLeast(0.8),
        "×",
    ));
    let said = format!(
        "{} flushes/s; {}×",
        figures(of(measured, "long_flushes")),
        figures(of(measured, "share_of_long"))
    );
    section.rows.push(Row::new("the same, of flushes with as many bytes as 64 records", said, NONE));
    let said = format!(
        "{} flushes/s; {}×",
        figures(of(measured, "slow_flushes")),
        figures(of(measured, "share_of_slow"))
    );
    section.rows.push(Row::new("the same, if a flush takes 1 ms", said, NONE));
}

/// Terraform's own no-op resources of the same shape, where it is installed.
fn show_terraform(
    bench: &Bench,
    section: &mut Section,
    measure: &dyn Fn([&str; 2]) -> Result<Value, StepError>,
) -> Result<(), StepError> {
    const COUNT: usize = 1_000;
    if shell::quiet(Command::new("terraform").arg("version")).is_err() {
        section.notes.push("Terraform was not there to be compared with.".to_owned());
        return Ok(());
    }
    let folder = bench.folder.join("terraform");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(StepError::file(&folder))?;
    let file = folder.join("main.tf");
    std::fs::write(&file, resources(COUNT)).map_err(StepError::file(&file))?;
    let terraform = |arguments: &[&str]| {
        let began = std::time::Instant::now();
        shell::quiet(Command::new("terraform").current_dir(&folder).args(arguments))?;
        Ok::<_, StepError>(began.elapsed().as_secs_f64() * 1000.0)
    };
    terraform(&["init", "-input=false"])?;
    let theirs = terraform(&["plan", "-input=false", "-lock=false"])?;
    let ours = measure(["stages", &COUNT.to_string()])?["plan_ms"].as_f64().unwrap_or_default();
    let ms = |value: f64| format!("{} ms", figures(value));
    let ratio = format!("{} ms ({}×)", figures(theirs), figures(theirs / ours));
    section.rows.push(Row::new("plan 1,000 stages", ms(ours), ratio));
    Ok(())
}

fn resources(count: usize) -> String {
    let width = count.div_ceil(50);
    let one = |number: usize| {
        let input = if number < width {
            String::new()
        } else {
            let layer = number / width * width - width;
            let of = |step: usize| layer + (number + step) % width;
            format!("  input = [terraform_data.s{}.id, terraform_data.s{}.id]\n", of(0), of(1))
        };
        format!("resource \"terraform_data\" \"s{number}\" {{\n{input}}}\n")
    };
    (0..count).map(one).collect()
}

/// The median of one of the values that each measurement gave.
pub(super) fn of(measured: &[Value], key: &str) -> f64 {
    median(measured.iter().filter_map(|one| one[key].as_f64()))
}

fn build() -> Result<PathBuf, StepError> {
    let build = ["build", "--quiet", "--release", "--package", "pipeline-core", "--example", "engine"];
    shell::run(&mut shell::cargo(&build))?;
    Ok(shell::target().join("release/examples/engine"))
}

/// Runs the program in an empty folder; what it says.
pub(super) fn ask(bench: &Bench, program: &std::path::Path, arguments: &[&str]) -> Result<Value, StepError> {
    let folder = tempfile::tempdir_in(&bench.folder).map_err(StepError::file(&bench.folder))?;
    let said = shell::quiet(Command::new(program).current_dir(folder.path()).args(arguments))?;
    serde_json::from_str(&said).map_err(|error| StepError::Other(format!("{error}: {said}")))
}
