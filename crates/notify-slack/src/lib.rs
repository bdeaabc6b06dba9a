//! The notifier `uses = "slack"`: tells a Slack channel about runs, through an incoming webhook.
//!
//! Each message says what happened, in which pipeline, where and when, and has a button to the AWS
//! console once a stage has said where to look.

#![warn(missing_docs)]

mod inputs;
mod message;
mod notifier;
mod story;
mod webhook;

use std::sync::Arc;

use pipeline_sdk::{JsonSchema, Manifest, NotifierKind};

pub use inputs::{Moment, SlackInputs};

/// A notifier gives nothing to refer to.
#[derive(JsonSchema)]
struct NoOutputs {}

/// The notifier kind `slack`.
pub fn kind() -> NotifierKind {
    NotifierKind {
        manifest: Manifest::of::<SlackInputs, NoOutputs>("slack", "Tells a Slack channel about runs"),
        create: Arc::new(|inputs| Ok(Arc::new(notifier::Slack::new(inputs.parse()?)?))),
    }
}
