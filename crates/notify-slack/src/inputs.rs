//! What the notifier takes.

use pipeline_sdk::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where to send messages, and which.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackInputs {
    /// The incoming webhook's URL. Whoever has it can post: take it from the environment,
    /// `${{ env.SLACK_WEBHOOK }}`.
    #[schemars(with = "String", extend("x-secret" = true))]
    pub webhook: SecretString,
    /// The channel, such as `#deployments`. Only webhooks of legacy integrations can choose it; a
    /// Slack app's webhook belongs to one channel and ignores this.
    #[serde(default)]
    pub channel: Option<String>,
    /// What to tell; everything unless given.
    #[serde(default)]
    pub events: Option<Vec<Moment>>,
    /// What to call the project; the pipeline's name and environment unless given.
    #[serde(default)]
    pub project: Option<String>,
    /// Whom to call when something went wrong: `@here`, `@channel`, or a member's or group's id
    /// (`U…`, `W…`, `S…`).
    #[serde(default)]
    pub mention: Option<String>,
}

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// A run began to change something.
    Start,
    /// Something worth telling happened on the way.
    Progress,
    /// Everything planned was done.
    Success,
    /// A run failed.
    Failure,
    /// What a run had done is being undone, or was undone.
    Rollback,
    /// A run was asked to stop, or was stopped.
    Stop,
}
