//! What the notifier takes.

use std::collections::BTreeMap;

use pipeline_sdk::{Event, JsonSchema, ProgressLevel, json};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where to post events, and which.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookInputs {
    /// Where each event is posted to. Whoever has the URL can often post too: take it from the
    /// environment, `${{ env.WEBHOOK_URL }}`.
    #[schemars(with = "String", extend("x-secret" = true))]
    pub url: SecretString,
    /// Further headers of each request, such as `Authorization`.
    #[serde(default)]
    #[schemars(
        with = "BTreeMap<String, String>",
        extend("additionalProperties" = json!({ "type": "string", "x-secret": true }))
    )]
    pub headers: BTreeMap<String, SecretString>,
    /// What to post, by the names of events. Unless given: how runs and stages begin and end, what is
    /// undone or stopped, milestones and warnings.
    #[serde(default)]
    pub events: Option<Vec<EventName>>,
    /// Signs each request with HMAC-SHA256, in the header `X-Pipeline-Signature`: `sha256=` and the
    /// hexadecimal code of `TIMESTAMP.BODY`, where the header `X-Pipeline-Timestamp` has the timestamp.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    pub secret: Option<SecretString>,
}

/// The name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventName {
    /// A run began.
    RunStarted,
    /// A stage was planned.
    StagePlanned,
    /// The whole plan is known.
    Planned,
    /// A stage began to apply its plan.
    StageStarted,
    /// A stage has something to say.
    StageProgress,
    /// A resource was changed.
    ResourceChanged,
    /// A stage ended.
    StageFinished,
    /// A run is being undone.
    RollbackStarted,
    /// A run was asked to stop.
    CancelRequested,
    /// Something is wrong beside the run itself.
    Warning,
    /// A run ended.
    RunFinished,
}

impl EventName {
    fn of(event: &Event) -> Self {
        match event {
            Event::RunStarted { .. } => Self::RunStarted,
            Event::StagePlanned { .. } => Self::StagePlanned,
            Event::Planned { .. } => Self::Planned,
            Event::StageStarted { .. } => Self::StageStarted,
            Event::StageProgress { .. } => Self::StageProgress,
            Event::ResourceChanged { .. } => Self::ResourceChanged,
            Event::StageFinished { .. } => Self::StageFinished,
            Event::RollbackStarted { .. } => Self::RollbackStarted,
            Event::CancelRequested { .. } => Self::CancelRequested,
            Event::Warning { .. } => Self::Warning,
            Event::RunFinished { .. } => Self::RunFinished,
        }
    }
}

impl WebhookInputs {
    /// Whether `event` is to be posted.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        match &self.events {
            Some(events) => events.contains(&EventName::of(event)),
            None => tells_enough(event),
        }
    }
}

/// Whether `event` is posted unless told otherwise: it says how the run is going without its details.
fn tells_enough(event: &Event) -> bool {
    match event {
        Event::RunStarted { .. }
        | Event::StageFinished { .. }
        | Event::RollbackStarted { .. }
        | Event::CancelRequested { .. }
        | Event::Warning { .. }
        | Event::RunFinished { .. } => true,
        Event::StageProgress { progress, .. } => progress.level > ProgressLevel::Note,
        Event::StagePlanned { .. }
        | Event::Planned { .. }
        | Event::StageStarted { .. }
        | Event::ResourceChanged { .. } => false,
    }
}
