//! What a run did, stage by stage: the record that a rollback works from.
//!
//! It is kept in memory. A durable journal takes its place behind the same trait: then `intent`
//! returns only once the record is on disk.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pipeline_sdk::{Done, Event, Recorder, StageError, StageName, Value};

use crate::events::Emitter;

/// Remembers intents and results in their order.
pub(crate) struct RunRecorder {
    emitter: Emitter,
    stages: Mutex<HashMap<StageName, Vec<Done>>>,
}

impl RunRecorder {
    pub(crate) fn new(emitter: Emitter) -> Self {
        Self { emitter, stages: Mutex::default() }
    }

    /// What `stage` did, first to last. An intent without a result has no `after`.
    pub(crate) fn done_by(&self, stage: &StageName) -> Vec<Done> {
        self.stages().get(stage).cloned().unwrap_or_default()
    }

    fn stages(&self) -> MutexGuard<'_, HashMap<StageName, Vec<Done>>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Recorder for RunRecorder {
    async fn intent(&self, stage: &StageName, intent: Done) -> Result<u64, StageError> {
        let mut stages = self.stages();
        let done = stages.entry(stage.clone()).or_default();
        done.push(Done { after: None, ..intent });
        Ok(done.len() as u64 - 1)
    }

    async fn done(&self, stage: &StageName, intent: u64, after: Value) -> Result<(), StageError> {
        let (resource, action) = {
            let mut stages = self.stages();
            let entry = stages.get_mut(stage).and_then(|done| done.get_mut(intent as usize));
            let entry = entry.ok_or_else(|| {
                StageError::failed(format!("the stage `{stage}` reported a result without an intent"))
            })?;
            entry.after = Some(after);
            (entry.resource.clone(), entry.action)
        };
        self.emitter.emit(Event::ResourceChanged { stage: stage.clone(), resource, action });
        Ok(())
    }
}
