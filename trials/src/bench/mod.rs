//! `cargo xtask bench`: measures side by side with others, in one run, and writes the tables of
//! `docs/benchmarks.md`.
//!
//! Both sides of a comparison take turns, so that what else the machine does hits both; what is
//! judged is their ratio. A target that is missed is reported and is no failure: that belongs to a
//! reader, who sees the machine. A part that could not be measured is one.

mod aws;
mod balancer;
mod cloud;
mod deploy;
mod deployed;
mod engine;
mod http;
mod latency;
mod machine;
mod plugins;
mod recorder;
mod startup;
mod table;
mod tools;
mod traffic;
mod unchanged;
mod wrk;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use table::Section;
use xtask::shell::{self, StepError};
use xtask::{python, release, sample};

/// What to measure, and how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these parts; what they give is shown and not written down.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How often each side of a comparison has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How many seconds each load lasts.
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Another `pipeline` than the one that is built from here.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// One part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Requests that fail while something is deployed.
    Traffic,
    /// Load balancer against haproxy.
    Balancer,
    /// Embedded cloud against moto.
    Cloud,
    /// A run with nothing changed against its calls alone.
    Unchanged,
    /// A deployment against `aws ecs deploy`.
    Deploy,
    /// Many stages without a cloud, and the journal.
    Engine,
    /// What a call of a plugin costs.
    Plugins,
    /// A plan and a first run with every call slowed down.
    Latency,
    /// `pipeline --version` against `aws --version`, and the binary's size.
    Startup,
}

/// What all parts work with.
struct Bench {
    /// The release binary.
    program: PathBuf,
    /// The sample app's static binary.
    hello: PathBuf,
    /// Where the programs of the Python environment are.
    python: PathBuf,
    /// For what a part writes.
    folder: PathBuf,
    rounds: u32,
    seconds: u32,
}

/// Measures, prints, writes.
pub(crate) fn run(options: &Options) -> Result<(), StepError> {
    let bench = Bench::prepare(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StepError::Other(error.to_string()))?;
    let parts = if options.parts.is_empty() { Part::value_variants() } else { options.parts.as_slice() };
    let mut report = String::new();
    let mut failed = Vec::new();
    for part in parts {
        let measured = runtime.block_on(bench.measure(*part));
        let section = measured.unwrap_or_else(|(mut section, error)| {
            failed.push(section.title);
            section.missing = Some(error.to_string());
            section
        });
        let text = section.markdown();
        println!("\n{text}");
        report += &format!("\n{text}");
    }
    if !failed.is_empty() {
        return Err(StepError::Other(format!("not measured: {}", failed.join(", "))));
    }
    if options.parts.is_empty() {
        let machine = machine::describe(&bench.python)?;
        write(&shell::root().join("docs/benchmarks.md"), &format!("{machine}{report}"))?;
    }
    Ok(())
}

impl Bench {
    fn prepare(options: &Options) -> Result<Self, StepError> {
        let program = match &options.binary {
            Some(program) => std::path::absolute(program).map_err(StepError::file(program))?,
            None => release::binary(),
        };
        let hello = sample::place();
        let python = python::environment("bench-python", &["awscli", "moto[server]"])?.join("bin");
        let folder = shell::target().join("bench");
        std::fs::create_dir_all(&folder).map_err(StepError::file(&folder))?;
        let (rounds, seconds) = (options.rounds.max(1), options.seconds.max(1));
        Ok(Self { program, hello, python, folder, rounds, seconds })
    }

    /// Measures one part; a failure comes with the section that it leaves empty.
    async fn measure(&self, part: Part) -> Result<Section, (Section, StepError)> {
        let mut section = part.section();
        let measured = match part {
            Part::Traffic => traffic::measure(self, &mut section).await,
            Part::Balancer => balancer::measure(self, &mut section).await,
            Part::Cloud => cloud::measure(self, &mut section).await,
            Part::Unchanged => unchanged::measure(self, &mut section).await,
            Part::Deploy => deploy::measure(self, &mut section).await,
            Part::Engine => engine::measure(self, &mut section),
            Part::Plugins => plugins::measure(self, &mut section),
            Part::Latency => latency::measure(self, &mut section).await,
            Part::Startup => startup::measure(self, &mut section),
        };
        if let Err(error) = measured {
            section.rows.clear();
            return Err((section, error));
        }
        Ok(section)
    }
}

impl Part {
    /// Its table, with nothing in it yet.
    fn section(self) -> Section {
        let (title, other) = match self {
            Self::Traffic => ("Traffic while something is deployed", ""),
            Self::Balancer => ("Load balancer", "haproxy"),
            Self::Cloud => ("Embedded cloud", "moto_server"),
            Self::Unchanged => ("A run with nothing changed", "its calls at once"),
            Self::Deploy => ("The end of a deployment", "aws ecs deploy"),
            Self::Engine => ("The engine", "Terraform"),
            Self::Plugins => ("Plugins", ""),
            Self::Latency => ("Calls that take 50 ms longer", "critical path"),
            Self::Startup => ("Start and size", "aws"),
        };
        Section::new(title, other)
    }
}

const BEGIN: &str = "<!-- begin: written by `cargo xtask bench` -->\n";
const END: &str = "<!-- end: written by `cargo xtask bench` -->\n";

/// Replaces what is between the two markers of the document.
fn write(path: &Path, report: &str) -> Result<(), StepError> {
    let document = std::fs::read_to_string(path).map_err(StepError::file(path))?;
    let replaced = replace(&document, report)
        .ok_or_else(|| StepError::Other(format!("{} has not both markers", path.display())))?;
    std::fs::write(path, replaced).map_err(StepError::file(path))?;
    println!("written to {}", path.display());
    Ok(())
}

fn replace(document: &str, report: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{report}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let document = format!("# A\n{BEGIN}old\n{END}b\n");
        assert_eq!(replace(&document, "new"), Some(format!("# A\n{BEGIN}\nnew\n{END}b\n")));
        assert_eq!(replace("# A\n", "new"), None);
    }
}
