//! Saving the state while a run goes on: soon after each change, without the run waiting for it.

use std::sync::Arc;

use pipeline_sdk::Redactor;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::EngineError;
use crate::recorder::RunRecorder;
use crate::state::{State, encode};
use crate::store::StateLock;

/// How many times longer than encoding a state takes the run goes on before it is encoded again: a
/// large state must not cost a run of many stages more than a tenth of its time.
const PAUSE: u32 = 10;

/// Saves a state that changes. Changes that come while a save is under way share the next one.
pub(crate) struct Saver {
    lock: Arc<dyn StateLock>,
    recorder: Arc<RunRecorder>,
    redactor: Redactor,
    dirty: bool,
    /// A save failed: the next one is made at the end, not again and again.
    failed: bool,
    /// When the next save may start.
    next: Instant,
    save: Option<JoinHandle<Result<(), EngineError>>>,
}

impl Saver {
    pub(crate) fn new(lock: Arc<dyn StateLock>, recorder: Arc<RunRecorder>, redactor: Redactor) -> Self {
        Self { lock, recorder, redactor, dirty: false, failed: false, next: Instant::now(), save: None }
    }

    /// The state changed.
    pub(crate) fn mark(&mut self) {
        self.dirty = true;
    }

    /// Starts a save if there is something new and none is under way.
    pub(crate) fn start(&mut self, state: &mut State) -> Result<(), EngineError> {
        if !self.dirty || self.failed || self.save.is_some() || Instant::now() < self.next {
            return Ok(());
        }
        self.dirty = false;
        state.serial += 1;
        let begin = Instant::now();
        let bytes = encode(state, &self.redactor)?;
        self.next = Instant::now() + begin.elapsed() * PAUSE;
        let (lock, recorder) = (self.lock.clone(), self.recorder.clone());
        self.save = Some(tokio::spawn(async move {
            recorder.begins().await?;
            Ok(lock.save(bytes).await?)
        }));
        Ok(())
    }

    /// Returns when the save that is under way ended, or the next one may start; never if there is
    /// nothing to save.
    pub(crate) async fn ended(&mut self) -> Result<(), EngineError> {
        let Some(save) = &mut self.save else {
            if self.dirty && !self.failed {
                tokio::time::sleep_until(self.next).await;
                return Ok(());
            }
            return std::future::pending().await;
        };
        let result = save.await;
        self.save = None;
        // The task never panics by itself; a store that does has not saved.
        let result = result.unwrap_or_else(|panic| Err(EngineError::SavePanicked(panic.to_string())));
        if result.is_err() {
            (self.dirty, self.failed) = (true, true);
        }
        result
    }

    /// Saves what is not saved yet and waits for it.
    pub(crate) async fn flush(&mut self, state: &mut State) -> Result<(), EngineError> {
        if self.save.is_some() {
            // What a failed save did not keep is in the next one, and only that one counts.
            let _ = self.ended().await;
        }
        self.failed = false;
        self.next = Instant::now();
        self.start(state)?;
        if self.save.is_some() { self.ended().await } else { Ok(()) }
    }
}
