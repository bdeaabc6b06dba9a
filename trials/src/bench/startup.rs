//! How long `pipeline` takes to start, against the AWS CLI, and how large it is.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::Bench;
use super::table::{Bound, NONE, Row, Section, figures, median};
use xtask::shell::{self, StepError};

/// How often each is started.
const RUNS: u32 = 20;

/// Fills `section`.
pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<(), StepError> {
    let aws = bench.python.join("aws");
    // Whoever is first reads the files from the disk.
    milliseconds(&bench.program)?;
    milliseconds(&aws)?;
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..RUNS {
        ours.push(milliseconds(&bench.program)?);
        theirs.push(milliseconds(&aws)?);
    }
    let ratio = median(theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours));
    let show = |values: Vec<f64>| format!("{} ms", figures(median(values)));
    section.rows.push(Row::new("`--version`, median", show(ours), show(theirs)).judged(
        ratio,
        Bound::AtLeast(20.0),
        "×",
    ));
    let size = std::fs::metadata(&bench.program).map_err(StepError::file(&bench.program))?.len();
    #[expect(clippy::cast_precision_loss, reason = "a file's size is far below 2^52")]
    let megabytes = size as f64 / 1e6;
    section.rows.push(Row::new("size of the binary", format!("{} MB", figures(megabytes)), NONE).judged(
        megabytes,
        Bound::Below(60.0),
        " MB",
    ));
    section.notes.push(format!("{RUNS} starts of each, in turns."));
    Ok(())
}

/// The time that `PROGRAM --version` takes.
pub(super) fn milliseconds(program: &Path) -> Result<f64, StepError> {
    let began = Instant::now();
    shell::quiet(Command::new(program).arg("--version"))?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}
