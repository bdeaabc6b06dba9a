//! The project's own commands: `cargo xtask test`, `demo`, `bench`.
//!
//! They set up what they need below `target/`, so that a fresh machine with a Rust toolchain and a C
//! compiler is enough.

mod bench;
mod demo;
mod docker;
mod python;
mod sample;
mod shell;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Formatting, lints and all tests.
    Test(test::Options),
    /// Builds the sample app as a static binary, where its Dockerfile expects it.
    Sample,
    /// Builds the release binary and shows the main job on the embedded cloud.
    Demo(demo::Options),
    /// Measures side by side with others, and writes docs/benchmarks.md.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Sample => sample::build().map(|place| println!("{}", place.display())),
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
