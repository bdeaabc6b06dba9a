//! The demo and the benchmarks: the release binary tried out on this machine. `cargo xtask demo` and
//! `cargo xtask bench` build what this needs, and call it.

mod bench;
mod demo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What is shown and measured.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the main job on the embedded cloud.
    Demo(demo::Options),
    /// Measures side by side with others, and writes docs/benchmarks.md.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
