//! Delivers bodies to the receiver. Its URL and the headers are secrets: no error repeats any of them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use pipeline_sdk::{NotifyError, StageError};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::inputs::WebhookInputs;
use crate::signature::Signer;

const DELIVERY: &str = "x-pipeline-delivery";
const SIGNATURE: &str = "x-pipeline-signature";
const TIMESTAMP: &str = "x-pipeline-timestamp";

/// How long the receiver may take to answer, and how long its `Retry-After` is waited for. The engine, which
/// allows an attempt a little more, tries again after it.
const PATIENCE: Duration = Duration::from_secs(8);

/// Whoever gets the events.
pub(crate) struct Receiver {
    client: Client,
    url: Url,
    signer: Option<Signer>,
}

impl Receiver {
    pub(crate) fn new(inputs: &WebhookInputs) -> Result<Self, StageError> {
        let url = url(&inputs.url)?;
        let signer = inputs.secret.as_ref().map(Signer::new).transpose()?;
        // A second installation fails, and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .default_headers(headers(&inputs.headers)?)
            // Elsewhere the headers and the signature are nobody's business.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .user_agent(concat!("pipeline/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| StageError::failed(format!("cannot post anything: {}", error.without_url())))?;
        Ok(Self { client, url, signer })
    }

    /// Posts `body`. `delivery` is the same whenever the same event is posted.
    pub(crate) async fn post(&self, delivery: &str, body: Vec<u8>) -> Result<(), NotifyError> {
        let timestamp = Timestamp::now().as_second().to_string();
        let mut request = self.client.post(self.url.clone()).header(DELIVERY, delivery);
        if let Some(signer) = &self.signer {
            request = request.header(SIGNATURE, signer.sign(&timestamp, &body));
        }
        let response = request.header(TIMESTAMP, timestamp).body(body).send().await;
        match response.map_err(|error| self.unanswered(error))? {
            response if response.status().is_success() => Ok(()),
            response => Err(refused(response).await),
        }
    }

    fn unanswered(&self, error: reqwest::Error) -> NotifyError {
        let message = if error.is_timeout() {
            format!("the webhook did not answer within {} s", PATIENCE.as_secs())
        } else {
            format!("cannot reach the webhook: {}; check the network and HTTPS_PROXY", self.cause(&error))
        };
        NotifyError { message, retryable: true }
    }

    /// The innermost cause says what happened. It may name the host, as one about a certificate does.
    fn cause(&self, error: &reqwest::Error) -> String {
        let innermost =
            std::iter::successors(std::error::Error::source(error), |cause| cause.source()).last();
        let text = innermost.map_or_else(|| "the connection broke".to_owned(), ToString::to_string);
        self.url.host_str().map_or_else(|| text.clone(), |host| text.replace(host, "its host"))
    }
}

async fn refused(response: Response) -> NotifyError {
    let status = response.status();
    let retryable = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let advice = match status {
        _ if retryable => "it has trouble or is too busy",
        _ if status.is_redirection() => "redirects are not followed: set `url` to where it leads",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "check `headers`, `secret` and `url`",
        StatusCode::NOT_FOUND | StatusCode::GONE => "check `url`",
        _ => "check what it takes",
    };
    if let Some(wait) = retry_after(&response).filter(|_| retryable) {
        tokio::time::sleep(wait).await;
    }
    NotifyError { message: format!("the webhook answered {status}: {advice}"), retryable }
}

/// How long the receiver wants to be left alone. It may also name a date, which is not worth reading: the engine
/// pauses before it tries again anyway.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(PATIENCE))
}

fn url(secret: &SecretString) -> Result<Url, StageError> {
    let url = Url::parse(secret.expose_secret()).ok();
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    url.filter(is_http).ok_or_else(|| {
        StageError::input(
            "url",
            "this is not a URL: write one that begins with `https://`, such as `${{ env.WEBHOOK_URL }}`",
        )
    })
}

/// The headers of every request; those of the user over our own, but for those that a receiver relies on.
fn headers(wanted: &BTreeMap<String, SecretString>) -> Result<HeaderMap, StageError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (key, value) in wanted {
        let wrong = |what: &str| StageError::input(format!("headers.{key}"), what);
        let name = HeaderName::try_from(key).map_err(|_| wrong("this is not the name of a header"))?;
        if name == CONTENT_LENGTH || name.as_str().starts_with("x-pipeline-") {
            return Err(wrong("this header is always set by `pipeline` itself"));
        }
        let value = HeaderValue::try_from(value.expose_secret());
        let mut value =
            value.map_err(|_| wrong("a header holds one line of text without control characters"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
