//! What went wrong in a stage, as text for people.

use pipeline_sdk::{StageError, StageName, with_causes};

use crate::config::ConfigError;

/// A stage that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stage `{stage}`: {message}")]
pub struct StageFailure {
    /// The stage.
    pub stage: StageName,
    /// What happened, with its causes.
    pub message: String,
    /// What to do about it, if that is known.
    pub help: Option<String>,
    /// The input that is wrong (dotted), if it is one.
    pub input: Option<String>,
    /// The failure once more, as a diagnostic with the place of that input in the file.
    pub place: Option<Box<ConfigError>>,
}

impl StageFailure {
    pub(crate) fn of(stage: &StageName, error: &StageError) -> Self {
        let input = match error {
            StageError::Input { field, .. } => Some(field.clone()),
            _ => None,
        };
        let (message, help) = (with_causes(error), error.help().map(str::to_owned));
        Self { stage: stage.clone(), message, help, input, place: None }
    }
}

/// What a panic said.
pub(crate) fn panic_error(panic: &(dyn std::any::Any + Send)) -> StageError {
    let said =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    StageError::failed(format!("the stage panicked: {}", said.unwrap_or("without a message")))
        .with_help("this is a defect of the stage's kind")
}
