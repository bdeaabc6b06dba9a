//! Calls to CloudWatch Logs: JSON over HTTP, signed with Signature Version 4, tried again where that helps.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use pipeline_plugin::{Context, StageError, Value};
use reqwest::{Client, StatusCode};

const VERSION: &str = "Logs_20140328";

/// How often a call is made at most.
const ATTEMPTS: u32 = 8;

/// The pause after the first attempt; each later one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// CloudWatch Logs in the region of the pipeline.
pub(crate) struct Logs<'a> {
    cx: &'a Context,
    client: Client,
    endpoint: String,
    region: String,
    credentials: Credentials,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The service said no, with this code.
    Refused { code: String, message: String },
    /// Anything else: it did not answer, or the run was cancelled.
    Failed(StageError),
}

impl From<CallError> for StageError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { code, message } => Self::failed(format!("{code}: {message}")),
            CallError::Failed(error) => error,
        }
    }
}

/// One attempt.
enum Attempt {
    Answered(Value),
    Refused { code: String, message: String },
    Again(String),
}

impl<'a> Logs<'a> {
    /// Asks the host for access.
    ///
    /// # Errors
    /// There is none, or no region.
    pub(crate) async fn of(cx: &'a Context) -> Result<Self, StageError> {
        // A second installation fails, and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let access = cx.aws().await?;
        let region = access.region.ok_or_else(|| {
            StageError::failed("no AWS region is set")
                .with_help("set `region` in pipeline.toml, or AWS_REGION")
        })?;
        let client = Client::builder().timeout(TIMEOUT).build().map_err(failed)?;
        let endpoint = access.endpoint_url.unwrap_or_else(|| format!("https://logs.{region}.amazonaws.com"));
        let (id, secret) = (access.access_key_id, access.secret_access_key);
        let credentials = Credentials::new(id, secret, access.session_token, None, "pipeline");
        Ok(Self { cx, client, endpoint, region, credentials })
    }

    /// Calls `operation` until it is answered or refused for good.
    ///
    /// # Errors
    /// It was refused; it did not answer in [`ATTEMPTS`] attempts; the run was cancelled.
    pub(crate) async fn call(&self, operation: &str, body: Value) -> Result<Value, CallError> {
        let (mut pause, mut attempt) = (PAUSE, 1);
        loop {
            let wrong = match self.attempt(operation, &body).await.map_err(CallError::Failed)? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Refused { code, message } => return Err(CallError::Refused { code, message }),
                Attempt::Again(wrong) => wrong,
            };
            if attempt == ATTEMPTS {
                let message = format!("logs:{operation} failed {ATTEMPTS} times: {wrong}");
                return Err(CallError::Failed(StageError::failed(message)));
            }
            let slept = self.cx.cancel().run_until_cancelled(tokio::time::sleep(pause)).await;
            slept.ok_or(CallError::Failed(StageError::Cancelled))?;
            (pause, attempt) = (pause * 2, attempt + 1);
        }
    }

    async fn attempt(&self, operation: &str, body: &Value) -> Result<Attempt, StageError> {
        let request = self.request(operation, body.to_string())?;
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Again(error.to_string())),
        };
        let status = response.status();
        let text = match response.text().await {
            Ok(text) => text,
            Err(error) => return Ok(Attempt::Again(error.to_string())),
        };
        // Many operations answer with an empty body.
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(read(status, answer))
    }

    /// A signed request.
    fn request(&self, operation: &str, body: String) -> Result<reqwest::Request, StageError> {
        let mut request = http::Request::post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("{VERSION}.{operation}"))
            .body(body)
            .map_err(failed)?;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("logs")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(failed)?
            .into();
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
        let body = SignableBody::Bytes(request.body().as_bytes());
        let signable =
            SignableRequest::new("POST", request.uri().to_string(), headers, body).map_err(failed)?;
        let (signature, _) = sign(signable, &params).map_err(failed)?.into_parts();
        signature.apply_to_request_http1x(&mut request);
        reqwest::Request::try_from(request).map_err(failed)
    }
}

/// What an answer means.
fn read(status: StatusCode, answer: Value) -> Attempt {
    if status.is_success() {
        return Attempt::Answered(answer);
    }
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    // The code may have a namespace: `com.amazonaws.logs#ResourceNotFoundException`.
    let kind = text("__type");
    let code = kind.rsplit('#').next().unwrap_or_default().to_owned();
    // Another writer was at work, or there were too many calls: both pass.
    let passes = ["ThrottlingException", "OperationAbortedException", "ServiceUnavailableException"];
    if status.is_server_error() || passes.contains(&code.as_str()) {
        return Attempt::Again(format!("{status} {code}"));
    }
    Attempt::Refused { code, message: text("message") }
}

fn failed(error: impl std::fmt::Display) -> StageError {
    StageError::failed(format!("cannot call CloudWatch Logs: {error}"))
}

#[cfg(test)]
mod tests {
    use pipeline_plugin::Value;
    use serde_json::json;

    use super::*;

    fn again(status: u16, answer: Value) -> bool {
        matches!(read(StatusCode::from_u16(status).unwrap(), answer), Attempt::Again(_))
    }

    #[test]
    fn what_passes_is_tried_again() {
        assert!(again(500, Value::Null));
        assert!(again(400, json!({ "__type": "ThrottlingException" })));
        assert!(!again(400, json!({ "__type": "InvalidParameterException" })));
        assert!(!again(200, json!({})));
    }

    #[test]
    fn the_code_of_a_refusal_has_no_namespace() {
        let answer =
            json!({ "__type": "com.amazonaws.logs#ResourceNotFoundException", "message": "not there" });
        let Attempt::Refused { code, message } = read(StatusCode::BAD_REQUEST, answer) else {
            panic!("it was refused")
        };
        assert_eq!((code.as_str(), message.as_str()), ("ResourceNotFoundException", "not there"));
    }
}
