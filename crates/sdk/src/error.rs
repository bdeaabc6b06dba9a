//! What can go wrong in a stage or a notifier.

use crate::Outputs;

/// Why a stage could not plan, apply or roll back.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// An input is wrong in a way that only the stage can tell.
    #[error("`{field}`: {message}")]
    Input {
        /// The input, dotted.
        field: String,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// The world refused: AWS, a registry, the Docker daemon.
    #[error("{message}")]
    Failed {
        /// What happened.
        message: String,
        /// What to do about it, if that is known.
        help: Option<String>,
        /// The cause below.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A deployment was rolled back by AWS: the world is as it was before.
    #[error("{message}")]
    RolledBack {
        /// Which deployment, and why it was rolled back.
        message: String,
        /// What to look at.
        help: Option<String>,
    },
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl StageError {
    /// A failure with a message and nothing else to say.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), help: None, source: None }
    }

    /// A wrong input.
    pub fn input(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Input { field: field.into(), message: message.into() }
    }

    /// Adds what to do about it. Does nothing to the variants that say it themselves.
    #[must_use]
    pub fn with_help(mut self, text: impl Into<String>) -> Self {
        if let Self::Failed { help, .. } | Self::RolledBack { help, .. } = &mut self {
            *help = Some(text.into());
        }
        self
    }

    /// What to do about it, if that is known.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Failed { help, .. } | Self::RolledBack { help, .. } => help.as_deref(),
            Self::Input { .. } | Self::Cancelled => None,
        }
    }
}

/// The message of `error` and of every cause below it that says something new, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        let said = below.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = below.source();
    }
    text
}

/// A failed apply, with what is known so far: the stage is rolled back from it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ApplyError {
    /// Why it failed.
    #[source]
    pub error: StageError,
    /// Outputs and resources that were already known when it failed.
    pub so_far: Outputs,
}

impl From<StageError> for ApplyError {
    fn from(error: StageError) -> Self {
        Self { error, so_far: Outputs::default() }
    }
}

/// Why a notification could not be delivered.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    /// What happened.
    pub message: String,
    /// Whether trying again can help.
    pub retryable: bool,
}
