//! `cargo xtask schema`: the JSON schema of what hosts and plugins say to each other.

use std::path::PathBuf;

use crate::shell::{self, StepError};

/// Writes it where it is checked in.
///
/// # Errors
/// It cannot be built or written.
pub fn write() -> Result<PathBuf, StepError> {
    let example = ["run", "--quiet", "--package", "pipeline-sdk", "--example", "schema"];
    let schema = shell::quiet(&mut shell::cargo(&example))?;
    let place = shell::root().join("docs/plugin-protocol.schema.json");
    std::fs::write(&place, schema).map_err(StepError::file(&place))?;
    Ok(place)
}
