//! Why a task could not be run, in the words ECS uses for it.

use std::net::SocketAddr;

/// Why a runtime did not do what it was asked to.
///
/// The text is what ECS puts into a container's `reason` and a task's `stoppedReason`:
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// The image does not exist, or cannot be read or fetched.
    #[error("CannotPullContainerError: {message}")]
    CannotPull {
        /// Name of the container.
        container: String,
        /// What happened.
        message: String,
    },
    /// The container could not be made from its image.
    #[error("CannotCreateContainerError: {message}")]
    CannotCreate {
        /// Name of the container.
        container: String,
        /// What happened.
        message: String,
    },
    /// The container exists but its program does not start.
    #[error("CannotStartContainerError: {message}")]
    CannotStart {
        /// Name of the container.
        container: String,
        /// What happened.
        message: String,
    },
    /// The task's address or port is taken, or cannot be used on this system.
    #[error(
        "ResourceInitializationError: cannot listen on {address}: {message}{}",
        if cfg!(target_os = "macos") {
            ". macOS carries only 127.0.0.1 by default; add the address with: sudo ifconfig lo0 alias <address> up"
        } else {
            ""
        }
    )]
    Address {
        /// What was tried.
        address: SocketAddr,
        /// The system's answer.
        message: String,
    },
    /// The runtime itself does not answer. Nothing is known about the task; try again.
    #[error("the {runtime} runtime does not answer: {message}; start it, or choose another task runtime")]
    Unavailable {
        /// Name of the runtime.
        runtime: &'static str,
        /// What happened.
        message: String,
    },
}

impl RuntimeError {
    /// Whether the task itself is fine, and starting it again later may work.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The container at fault, if one is.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::CannotPull { container, .. }
            | Self::CannotCreate { container, .. }
            | Self::CannotStart { container, .. } => Some(container),
            Self::Address { .. } | Self::Unavailable { .. } => None,
        }
    }
}
