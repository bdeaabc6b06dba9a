//! The sample app as a static binary, so that its image can start from scratch.

use std::path::PathBuf;
use std::process::Command;

use crate::shell::{self, StepError};

/// Builds `examples/hello` and puts the binary where its Dockerfile expects it.
///
/// # Errors
/// It cannot be built or put there.
pub fn build() -> Result<PathBuf, StepError> {
    let host = host()?;
    let folder = shell::target().join("static");
    let mut cargo = shell::cargo(&["build", "--quiet", "--release", "--package", "hello", "--target", &host]);
    // With `--target`, flags do not reach build scripts, which cannot be static everywhere.
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_TARGET_DIR", &folder);
    shell::run(&mut cargo)?;
    let built = folder.join(&host).join("release/hello");
    let place = place();
    std::fs::copy(&built, &place).map_err(StepError::file(&built))?;
    Ok(place)
}

/// Where the binary is once it is built.
pub fn place() -> PathBuf {
    shell::root().join("examples/hello/hello")
}

fn host() -> Result<String, StepError> {
    let version = shell::quiet(Command::new("rustc").arg("-vV"))?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| StepError::Other("`rustc -vV` names no host".into()))
}
