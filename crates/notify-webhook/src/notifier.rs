//! The notifier itself.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use pipeline_sdk::{Event, EventRecord, Notifier, NotifyError, PipelineId, RunId, StageError};
use serde::Serialize;

use crate::delivery::Receiver;
use crate::inputs::WebhookInputs;

pub(crate) struct Webhook {
    inputs: WebhookInputs,
    receiver: Receiver,
    /// The run that was last heard of, and whose it is.
    current: Mutex<Option<(RunId, PipelineId)>>,
}

/// What is posted.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    record: &'a EventRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<PipelineId>,
}

impl Webhook {
    pub(crate) fn new(inputs: WebhookInputs) -> Result<Self, StageError> {
        let receiver = Receiver::new(&inputs)?;
        Ok(Self { inputs, receiver, current: Mutex::default() })
    }

    /// Whose run `record` belongs to, if the record does not say it itself.
    fn pipeline(&self, record: &EventRecord) -> Option<PipelineId> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::RunStarted { pipeline, .. } = &record.event {
            *current = Some((record.run, pipeline.clone()));
            return None;
        }
        current.as_ref().filter(|(run, _)| *run == record.run).map(|(_, pipeline)| pipeline.clone())
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn notify(&self, event: &EventRecord) -> Result<(), NotifyError> {
        let pipeline = self.pipeline(event);
        if !self.inputs.wants(&event.event) {
            return Ok(());
        }
        let body = serde_json::to_vec(&Body { record: event, pipeline }).map_err(|error| NotifyError {
            message: format!("the event cannot be written as JSON: {error}"),
            retryable: false,
        })?;
        self.receiver.post(&format!("{}/{}", event.run, event.seq), body).await
    }
}
