//! The Python programs that `cargo xtask test` installs: clients and servers that are not ours.

use std::path::PathBuf;

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
