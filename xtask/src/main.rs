//! The project's own commands: `cargo xtask test`, `sample`, `schema`, `demo`, `bench`.
//!
//! They set up what they need below `target/`, so that a fresh machine with a Rust toolchain and a C
//! compiler is enough.

use std::process::ExitCode;

use xtask::shell::StepError;
use xtask::{release, sample, schema, test};

const HELP: &str = "\
The project's own commands.

Usage: cargo xtask COMMAND

  test [FILTER]   formatting, lints and all tests; with a FILTER, only tests whose names contain it
  test --full     the same, the interface of plugins under valgrind, every case of the fault matrix, and
                  whether the benchmarks still run
  sample          builds the sample app as a static binary, where its Dockerfile expects it
  schema          writes docs/plugin-protocol.schema.json, what hosts and plugins say to each other
  demo            builds the release binary and shows the main job on the embedded cloud
  bench           measures side by side with others, and writes docs/benchmarks.md

`demo` and `bench` have options: see `--help` of each.";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match carry_out(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(arguments: &[String]) -> Result<(), StepError> {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", options @ ..] => test::run(&test::Options::read(options)?),
        ["sample"] => sample::build().map(|place| println!("{}", place.display())),
        ["schema"] => schema::write().map(|place| println!("{}", place.display())),
        ["demo" | "bench", ..] => release::try_out(arguments),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        [other, ..] => Err(StepError::Other(format!("there is no command `{other}`\n\n{HELP}"))),
    }
}
