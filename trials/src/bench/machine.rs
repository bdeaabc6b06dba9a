//! What it was measured on and with: numbers without it say nothing.

use std::path::Path;
use std::process::Command;

use super::tools;
use xtask::shell::{self, StepError};

/// A Markdown list of the machine and of the programs' versions.
pub(super) fn describe(python: &Path) -> Result<String, StepError> {
    let rustc = shell::quiet(Command::new("rustc").arg("--version"))?;
    let kernel = shell::quiet(Command::new("uname").args(["-sr"]))?;
    let date = shell::quiet(Command::new("date").args(["-u", "+%F"]))?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let lines = [
        format!("measured on {}", date.trim()),
        format!("{}, {cores} cores, {} of memory", processor(), memory()),
        format!("{}, {}", kernel.trim(), rustc.trim()),
        format!(
            "haproxy {}, wrk {}, moto {}, awscli {}",
            version("haproxy", "HAProxy version "),
            version("wrk", "wrk "),
            package(python, "moto"),
            package(python, "awscli"),
        ),
    ];
    Ok(lines.map(|line| format!("- {line}\n")).concat())
}

fn processor() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into())
}

fn memory() -> String {
    let kilobytes = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches("kB").trim().parse::<f64>().ok());
    kilobytes.map_or_else(|| "an unknown amount".into(), |kb| format!("{:.0} GiB", kb / 1024.0 / 1024.0))
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// The word after `prefix` in what `name -v` says, which some programs do as an error.
fn version(name: &str, prefix: &str) -> String {
    let said = tools::ensure(name).ok().and_then(|program| Command::new(program).arg("-v").output().ok());
    let said = said.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let found = said.split_once(prefix).and_then(|(_, rest)| rest.split_whitespace().next());
    found.unwrap_or("(not installed)").to_owned()
}

fn package(python: &Path, name: &str) -> String {
    let program = format!("import importlib.metadata as m; print(m.version('{name}'))");
    shell::quiet(Command::new(python.join("python")).args(["-c", &program]))
        .map_or_else(|_| "(not installed)".into(), |version| version.trim().to_owned())
}
