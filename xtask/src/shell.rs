//! Running other programs, and saying so.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// A program could not be started.
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: std::io::Error },
    /// A program failed.
    #[error("`{command}` failed ({status}){output}")]
    Failed { command: String, status: std::process::ExitStatus, output: String },
    /// A file could not be used.
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// Anything else, said in full.
    #[error("{0}")]
    Other(String),
}

impl StepError {
    /// For `map_err` on file operations.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    pipeline_tests::binary::repository()
}

/// Where builds go: `CARGO_TARGET_DIR`, or `target/` of the repository.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `cargo` of this toolchain, in the repository, as if a shell had called it. What cargo tells `xtask` of
/// its own package would be seen by build scripts, and `ring` with all above it be built again each time.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
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
pub(crate) fn run(command: &mut Command) -> Result<(), StepError> {
    let text = describe(command);
    println!("$ {text}");
    let status = command.status().map_err(start(command))?;
    if status.success() {
        Ok(())
    } else {
        Err(StepError::Failed { command: text, status, output: String::new() })
    }
}

/// Runs a command whose output matters only if it fails.
pub(crate) fn quiet(command: &mut Command) -> Result<String, StepError> {
    let result = command.stdin(Stdio::null()).output().map_err(start(command))?;
    let stdout = String::from_utf8_lossy(&result.stdout).into_owned();
    if result.status.success() {
        return Ok(stdout);
    }
    let output = format!("\n{stdout}{}", String::from_utf8_lossy(&result.stderr));
    Err(StepError::Failed { command: describe(command), status: result.status, output })
}

/// Runs a command without showing its output; the code it ends with.
pub(crate) fn exit_code(command: &mut Command) -> Result<i32, StepError> {
    let result = command.stdin(Stdio::null()).output().map_err(start(command))?;
    let output = String::from_utf8_lossy(&result.stderr).into_owned();
    let (command, status) = (describe(command), result.status);
    status.code().ok_or(StepError::Failed { command, status, output })
}

fn start(command: &Command) -> impl FnOnce(std::io::Error) -> StepError + use<> {
    let program = command.get_program().to_string_lossy().into_owned();
    move |source| StepError::Start { program, source }
}

fn describe(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}
