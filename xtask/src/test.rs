//! `cargo xtask test`: formatting, lints, all tests.

use std::process::Command;

use crate::shell::{self, StepError};
use crate::{docker, python, release, sample};

/// Tests that need a Docker daemon have this in their names.
const DOCKER_TESTS: &str = "docker_";

/// Which tests.
#[derive(Debug)]
pub struct Options {
    /// Only tests whose names contain this, without formatting and lints.
    filter: Option<String>,
    /// The interface of library plugins under valgrind too, every case of the fault matrix on the release binary, and
    /// whether the benchmarks that drive it still can.
    full: bool,
}

impl Options {
    /// Reads the command line after `test`.
    ///
    /// # Errors
    /// An option that does not exist.
    pub fn read(words: &[&str]) -> Result<Self, StepError> {
        match words {
            [] => Ok(Self { filter: None, full: false }),
            ["--full"] => Ok(Self { filter: None, full: true }),
            [filter] if !filter.starts_with('-') => {
                Ok(Self { filter: Some((*filter).to_owned()), full: false })
            }
            _ => Err(StepError::Other("`cargo xtask test` takes `--full` or one FILTER".to_owned())),
        }
    }
}

/// Runs them.
pub fn run(options: &Options) -> Result<(), StepError> {
    if options.filter.is_none() {
        shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))?;
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
        shell::run(&mut shell::cargo(&clippy))?;
    }
    let docker = docker::ensure();
    if let (Err(reason), Some(_)) = (&docker, std::env::var_os("PIPELINE_REQUIRE_DOCKER")) {
        return Err(StepError::Other(format!("PIPELINE_REQUIRE_DOCKER is set: {reason}")));
    }
    programs()?;
    let python = python::environment("python", &["awscli", "boto3", "moto[server]"])?;
    sample::build()?;
    shell::run(&mut shell::cargo(&["build", "--quiet", "--workspace", "--all-targets"]))?;

    if let Some(filter) = &options.filter
        && tests_named(filter)?.is_empty()
    {
        return Err(StepError::Other(format!("no test has `{filter}` in its name")));
    }
    let mut tests = shell::cargo(&["test", "--workspace", "--quiet"]);
    tests.env("PIPELINE_TEST_PYTHON", python.join("bin"));
    tests.arg("--");
    tests.args(&options.filter);
    if docker.is_err() {
        tests.args(["--skip", DOCKER_TESTS]);
    }
    shell::run(&mut tests)?;
    if options.full {
        memory()?;
        every_fault()?;
        benchmarks()?;
    }
    match docker {
        Ok(()) => println!("all tests passed, those with Docker too"),
        Err(reason) => report_skipped(&reason)?,
    }
    Ok(())
}

/// The tests of the interface of library plugins under valgrind, which sees each access to memory that is not
/// there any more or was never written.
fn memory() -> Result<(), StepError> {
    if shell::quiet(Command::new("valgrind").arg("--version")).is_err() {
        println!("installing valgrind");
        python::apt_install(&["valgrind"])?;
    }
    let runner = "target.'cfg(all())'.runner = 'valgrind --quiet --error-exitcode=9 --leak-check=no'";
    let mut tests = shell::cargo(&["test", "--quiet", "--config", runner]);
    tests.args(["--package", "pipeline-plugin-host", "--test", "hostile"]);
    // Programs that cannot be started are told otherwise under valgrind.
    shell::run(tests.args(["--", "running", "table"]))
}

/// The whole fault matrix. Thousands of runs need a binary that is optimised, and so does what is between it
/// and the cloud.
fn every_fault() -> Result<(), StepError> {
    let plugin = ["--package", "log-group-plugin"];
    shell::run(shell::cargo(&["build", "--quiet", "--release"]).args(release::PACKAGES).args(plugin))?;
    let mut tests = shell::cargo(&["test", "--quiet", "--release"]);
    tests.args(release::PACKAGES).args(plugin).args(["--package", "pipeline-tests", "--test", "faults"]);
    tests.args(["--", "--nocapture"]).env("PIPELINE_FAULTS", "all").env("PIPELINE_BINARY", release::binary());
    shell::run(&mut tests)
}

/// The benchmarks whose way to the cloud no other test takes, once: their numbers are not judged here.
fn benchmarks() -> Result<(), StepError> {
    release::try_out(&["bench", "--rounds", "1", "unchanged", "latency"].map(str::to_owned))
}

/// Programs that tests call, and that build what is written in C; installed where Docker would be.
fn programs() -> Result<(), StepError> {
    let missing = |program, version| shell::quiet(Command::new(program).arg(version)).is_err();
    let packages = [("dig", "-v", "dnsutils"), ("curl", "--version", "curl"), ("make", "--version", "make")];
    let wanted: Vec<_> = packages
        .iter()
        .filter(|(program, version, _)| missing(program, version))
        .map(|(_, _, package)| *package)
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    println!("installing {}", wanted.join(" "));
    python::apt_install(&wanted)
}

fn report_skipped(reason: &str) -> Result<(), StepError> {
    let skipped = tests_named(DOCKER_TESTS)?;
    println!("all other tests passed; skipped, because {reason}:");
    for test in skipped {
        println!("  {test}");
    }
    Ok(())
}

/// The tests with `filter` in their names.
fn tests_named(filter: &str) -> Result<Vec<String>, StepError> {
    let listed =
        shell::quiet(&mut shell::cargo(&["test", "--workspace", "--quiet", "--", "--list", filter]))?;
    Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}
