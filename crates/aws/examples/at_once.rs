//! Sends recorded AWS calls all at once, as an AWS client of Rust does, and ends: what a run that makes these
//! calls is measured against (`cargo xtask bench unchanged`).
//!
//! `at_once ENDPOINT FILE`: the file has one call a line, as JSON.

use std::error::Error;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SigningName;
use pipeline_aws::direct::signing;
use serde::Deserialize;

const REGION: &str = "eu-central-1";

/// A call as it was recorded.
#[derive(Clone, Debug, Deserialize)]
struct Call {
    /// The service in the scope of its signature.
    service: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Call {
    fn request(self) -> Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
        let mut request = HttpRequest::new(SdkBody::from(self.body));
        request.set_method(&self.method)?;
        request.set_uri(self.path)?;
        for (name, value) in self.headers {
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, endpoint, file] = arguments.as_slice() else { return Err("at_once ENDPOINT FILE".into()) };
    let calls: Vec<Call> =
        std::fs::read_to_string(file)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let credentials = Credentials::new("bench", "bench", None, None, "bench");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let client = Builder::new().build_http();
    let mut running = tokio::task::JoinSet::new();
    for call in calls {
        running.spawn(send(config.clone(), client.clone(), endpoint.clone(), call));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

async fn send(config: SdkConfig, client: SharedHttpClient, url: String, call: Call) -> Result<(), String> {
    let operation = Operation::builder()
        .service_name("recorded")
        .operation_name("call")
        .behavior_version(BehaviorVersion::latest())
        .http_client(client)
        .endpoint_url(&url)
        .standard_retry(&RetryConfig::standard())
        .timeout_config(TimeoutConfig::disabled())
        .runtime_plugin(signing(&config, SigningName::from(call.service.clone()), config.region().cloned()))
        .serializer(Call::request)
        .deserializer(answered)
        .build();
    operation.invoke(call).await.map_err(|error| format!("{error:?}"))
}

fn answered(response: &HttpResponse) -> Result<(), OrchestratorError<std::io::Error>> {
    if response.status().is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(response.body().bytes().unwrap_or_default()).into_owned();
    Err(OrchestratorError::other(text))
}
