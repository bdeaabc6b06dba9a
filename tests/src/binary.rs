//! The `pipeline` binary, called as a user calls it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The folder of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The `pipeline` binary of this build: beside the program that asks, or named by
/// `PIPELINE_BINARY`.
pub fn pipeline() -> PathBuf {
    if let Some(named) = std::env::var_os("PIPELINE_BINARY") {
        return PathBuf::from(named);
    }
    built().join("pipeline")
}

/// Where the binaries and libraries of this build are.
pub fn built() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let folder = here.parent().unwrap_or(Path::new("."));
    // Test programs lie one folder below the binaries.
    if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned()
}

/// Puts a library of this build into `folder`, where a pipeline finds it as `./libNAME.so`.
///
/// # Panics
/// It was not built, or cannot be copied.
pub fn put_library(name: &str, folder: &Path) {
    let file = format!("lib{name}.so");
    std::fs::copy(built().join(&file), folder.join(&file))
        .unwrap_or_else(|error| panic!("{file} of this build: {error}; `cargo xtask test` builds it"));
}

/// A command line in the making.
pub struct Pipeline {
    command: Command,
}

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Pipeline {
    /// `pipeline` in `directory`, with nothing of the caller's AWS settings.
    pub fn new(directory: &Path) -> Self {
        let mut command = Command::new(pipeline());
        command.current_dir(directory).stdin(Stdio::null()).env("NO_COLOR", "1");
        for (name, _) in std::env::vars() {
            if name.starts_with("AWS_") || name.starts_with("PIPELINE_VAR_") {
                command.env_remove(name);
            }
        }
        Self { command }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The command itself, to start it and let it run.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(mut self) -> std::io::Result<Finished> {
        self.command.output().map(Finished::from)
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Finished {
    /// This result, if the exit code is `code`.
    ///
    /// # Panics
    /// With everything that was printed, if it is another.
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}
