//! The notifier `uses = "webhook"`: posts the events of runs as JSON to a URL of the user's own.
//!
//! The body is the [`EventRecord`](pipeline_sdk::EventRecord) with the pipeline that it belongs to. A
//! receiver tells repetitions apart by `X-Pipeline-Delivery`, and who sent it by `X-Pipeline-Signature`.

#![warn(missing_docs)]

mod delivery;
mod inputs;
mod notifier;
mod signature;

use std::sync::Arc;

use pipeline_sdk::{JsonSchema, Manifest, NotifierKind};

pub use inputs::{EventName, WebhookInputs};

/// A notifier gives nothing to refer to.
#[derive(JsonSchema)]
struct NoOutputs {}

/// The notifier kind `webhook`.
pub fn kind() -> NotifierKind {
    NotifierKind {
        manifest: Manifest::of::<WebhookInputs, NoOutputs>("webhook", "Posts the events of runs to a URL"),
        create: Arc::new(|inputs| Ok(Arc::new(notifier::Webhook::new(inputs.parse()?)?))),
    }
}
