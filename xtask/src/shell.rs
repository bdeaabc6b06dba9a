//! Running other programs, and saying so.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Why a step failed.
#[derive(Debug)]
pub enum StepError {
    /// A program could not be started.
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program failed.
    Failed {
        /// How it was called.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote, if that was not seen already.
        output: String,
    },
    /// A program failed and has said why.
    Said(ExitStatus),
    /// A file could not be used.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else, said in full.
    Other(String),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, source } => write!(f, "cannot start `{program}`: {source}"),
            Self::Failed { command, status, output } => write!(f, "`{command}` failed ({status}){output}"),
            Self::Said(status) => write!(f, "failed ({status})"),
            Self::File { path, source } => write!(f, "cannot use {}: {source}", path.display()),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StepError {}

impl StepError {
    /// For `map_err` on file operations.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// The folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Where builds go: `CARGO_TARGET_DIR`, or `target/` of the repository.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `cargo` of this toolchain, in the repository, as if a shell had called it. What cargo tells `xtask` of
/// its own package would be seen by build scripts, and `ring` with all above it be built again each time.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    let of_package = |name: &&str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let names: Vec<_> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    for name in names.iter().map(String::as_str).filter(of_package) {
        command.env_remove(name);
    }
    command
}

/// Says what is run, runs it with its output shown, and fails if it fails.
///
/// # Errors
/// It cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<(), StepError> {
    let text = describe(command);
    println!("$ {text}");
    let status = command.status().map_err(start(command))?;
    if status.success() {
        Ok(())
    } else {
        Err(StepError::Failed { command: text, status, output: String::new() })
    }
}

/// Runs a program of our own, which says itself what it does and why it fails.
///
/// # Errors
/// It cannot be started, or fails.
pub fn call(command: &mut Command) -> Result<(), StepError> {
    let status = command.status().map_err(start(command))?;
    if status.success() { Ok(()) } else { Err(StepError::Said(status)) }
}

/// Runs a command whose output matters only if it fails.
///
/// # Errors
/// It cannot be started, or fails.
pub fn quiet(command: &mut Command) -> Result<String, StepError> {
    let result = command.stdin(Stdio::null()).output().map_err(start(command))?;
    let stdout = String::from_utf8_lossy(&result.stdout).into_owned();
    if result.status.success() {
        return Ok(stdout);
    }
    let output = format!("\n{stdout}{}", String::from_utf8_lossy(&result.stderr));
    Err(StepError::Failed { command: describe(command), status: result.status, output })
}

/// Runs a command without showing its output; the code it ends with.
///
/// # Errors
/// It cannot be started, or a signal ended it.
pub fn exit_code(command: &mut Command) -> Result<i32, StepError> {
    let result = command.stdin(Stdio::null()).output().map_err(start(command))?;
    let output = String::from_utf8_lossy(&result.stderr).into_owned();
    let (command, status) = (describe(command), result.status);
    status.code().ok_or(StepError::Failed { command, status, output })
}

fn start(command: &Command) -> impl FnOnce(io::Error) -> StepError + use<> {
    let program = command.get_program().to_string_lossy().into_owned();
    move |source| StepError::Start { program, source }
}

fn describe(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}
