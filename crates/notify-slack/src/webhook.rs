//! Delivers a payload to the incoming webhook
//! (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

use std::time::Duration;

use pipeline_sdk::{NotifyError, StageError};
use reqwest::{Client, StatusCode, Url, header::RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// A notification that takes longer is worth less than the next one.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The longest that Slack's `Retry-After` is waited for in one attempt. The engine, which allows an
/// attempt a little more than this, tries again after it.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// The webhook. Its URL is a secret: no error names it.
pub(crate) struct Webhook {
    client: Client,
    url: Url,
}

impl Webhook {
    pub(crate) fn new(url: &SecretString) -> Result<Self, StageError> {
        let parsed = Url::parse(url.expose_secret()).ok();
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let Some(url) = parsed.filter(is_http) else {
            let message = "this is not a URL: write the incoming webhook's URL, \
                           `https://hooks.slack.com/services/…`, such as `${{ env.SLACK_WEBHOOK }}`";
            return Err(StageError::input("webhook", message));
        };
        // A second installation fails, and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("pipeline/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| StageError::failed(format!("cannot talk to Slack: {}", error.without_url())))?;
        Ok(Self { client, url })
    }

    pub(crate) async fn post(&self, payload: &Value) -> Result<(), NotifyError> {
        let response = self.client.post(self.url.clone()).json(payload).send().await.map_err(|error| {
            let timed_out = error.is_timeout();
            let cause = root_cause(&error.without_url());
            let message = if timed_out {
                format!("Slack did not answer within {} s", TIMEOUT.as_secs())
            } else {
                format!("cannot reach Slack: {cause}; check the network and HTTPS_PROXY")
            };
            NotifyError { message, retryable: true }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let wait =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let wait = Duration::from_secs(wait.unwrap_or(1)).min(LONGEST_WAIT);
            tokio::time::sleep(wait).await;
            let message = format!("Slack takes no more messages for now (429; waited {} s)", wait.as_secs());
            return Err(NotifyError { message, retryable: true });
        }
        let reason = response.text().await.unwrap_or_default();
        Err(refused(status, reason.trim()))
    }
}

/// What Slack's answer means (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors).
fn refused(status: StatusCode, reason: &str) -> NotifyError {
    let reason: String = reason.chars().take(200).collect();
    let advice = match reason.as_str() {
        "no_service" | "no_service_id" | "no_team" | "team_disabled" | "invalid_token" => {
            "the webhook was disabled or removed: make a new one and set it"
        }
        "channel_not_found" | "channel_is_archived" => {
            "the webhook's channel is gone or archived: choose another one"
        }
        "action_prohibited" | "posting_to_general_channel_denied" => {
            "an administrator forbids it: choose another channel"
        }
        "invalid_payload" | "invalid_blocks" => "this is a bug: please report it",
        _ if status.is_server_error() => "Slack has trouble: see slack-status.com",
        _ => "check the webhook",
    };
    NotifyError {
        message: format!("Slack refused the message ({status}, {reason}): {advice}"),
        retryable: status.is_server_error(),
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
