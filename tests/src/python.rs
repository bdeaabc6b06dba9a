//! The Python programs that `cargo xtask test` installs: clients and servers that are not ours.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::binary::repository;

/// Their folder.
///
/// # Panics
/// When they are not installed.
pub fn programs() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let own = target.join("python/bin");
    let folder = std::env::var_os("PIPELINE_TEST_PYTHON").map_or(own, PathBuf::from);
    assert!(
        folder.join("python").exists(),
        "there is no Python environment with awscli, boto3 and moto in {}: `cargo xtask test` sets it up, or name \
         another in PIPELINE_TEST_PYTHON",
        folder.display()
    );
    folder
}

/// What the AWS CLI answers to `args` at `endpoint`: its JSON, or null if it says nothing.
///
/// # Panics
/// With what it says, if it fails.
pub fn aws(endpoint: &str, args: &[&str]) -> Value {
    let told = Command::new(programs().join("aws"))
        .args(["--endpoint-url", endpoint, "--region", "eu-central-1", "--output", "json"])
        .args(args)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(Stdio::null())
        .output()
        .expect("the AWS CLI");
    assert!(told.status.success(), "{args:?}: {}", String::from_utf8_lossy(&told.stderr));
    if told.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&told.stdout).expect("JSON") }
}
