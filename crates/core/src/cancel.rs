//! Asking a run to stop, with a reason.

use std::sync::{Arc, OnceLock};

use pipeline_sdk::CancellationToken;

/// Asks a run to stop: nothing new is started, and what was done is undone.
///
/// Clones ask for the same.
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    token: CancellationToken,
    cause: Arc<OnceLock<String>>,
}

impl Cancellation {
    /// Nothing is asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop. The first cause is the one that is told: `SIGINT`.
    pub fn request(&self, cause: impl Into<String>) {
        let _ = self.cause.set(cause.into());
        self.token.cancel();
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns once somebody asked.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Why the run should stop.
    pub(crate) fn cause(&self) -> String {
        self.cause.get().cloned().unwrap_or_else(|| "cancelled".to_owned())
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}
