//! What is tried out: the release binary, and the program that does it.

use std::path::PathBuf;
use std::process::Command;

use crate::sample;
use crate::shell::{self, StepError};

/// The packages, in one build: what they share is then built once, with the same features.
pub(crate) const PACKAGES: [&str; 4] = ["--package", "pipeline-cli", "--package", "trials"];

/// The release binary of `pipeline`, once [`try_out`] has built it.
pub fn binary() -> PathBuf {
    shell::target().join("release/pipeline")
}

/// Builds the release binaries.
///
/// # Errors
/// They cannot be built.
pub fn build() -> Result<(), StepError> {
    shell::run(shell::cargo(&["build", "--quiet", "--release"]).args(PACKAGES))
}

/// Builds all that is needed, and calls the demo or the benchmarks with `arguments`.
///
/// # Errors
/// What cannot be built or started, or fails.
pub fn try_out(arguments: &[String]) -> Result<(), StepError> {
    build()?;
    sample::build()?;
    shell::call(Command::new(shell::target().join("release/trials")).args(arguments))
}
