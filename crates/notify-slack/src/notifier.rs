//! The notifier itself.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use pipeline_sdk::{EventRecord, Notifier, NotifyError, StageError};

use crate::inputs::SlackInputs;
use crate::message;
use crate::story::Story;
use crate::webhook::Webhook;

pub(crate) struct Slack {
    inputs: SlackInputs,
    webhook: Webhook,
    told: Mutex<Told>,
}

/// What was heard. An event that is delivered again after a failure is not heard twice.
#[derive(Default)]
struct Told {
    story: Story,
    last: Option<(pipeline_sdk::RunId, u64)>,
    payload: Option<serde_json::Value>,
}

impl Slack {
    pub(crate) fn new(inputs: SlackInputs) -> Result<Self, StageError> {
        let webhook = Webhook::new(&inputs.webhook)?;
        Ok(Self { inputs, webhook, told: Mutex::default() })
    }

    fn payload(&self, record: &EventRecord) -> Option<serde_json::Value> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last != Some((record.run, record.seq)) {
            told.last = Some((record.run, record.seq));
            let tale = told.story.hear(record);
            let wanted =
                tale.filter(|tale| self.inputs.events.as_ref().is_none_or(|all| all.contains(&tale.moment)));
            told.payload = wanted.map(|tale| message::payload(&tale, &self.inputs));
        }
        told.payload.clone()
    }
}

#[async_trait]
impl Notifier for Slack {
    async fn notify(&self, event: &EventRecord) -> Result<(), NotifyError> {
        match self.payload(event) {
            Some(payload) => self.webhook.post(&payload).await,
            None => Ok(()),
        }
    }
}
