//! EC2 by its query protocol, for the few operations that a pipeline needs.
//!
//! `aws-sdk-ec2` has more than 700 operations and no features to choose among them: compiling it takes
//! longer than the rest of the program, and 5 GB. What an SDK crate stands on (signing, retries,
//! timeouts, endpoints, interceptors) is used here just the same; only requests and answers are ours.
//!
//! The protocol: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html>.

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{AuthSchemeOptionResolverParams, SharedAuthScheme};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SigningName;
use aws_types::region::{SigningRegion, SigningRegionSet};
use aws_types::service_config::ServiceConfigKey;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::calls::CallCounter;

/// The version of the API that requests name.
const VERSION: &str = "2016-11-15";

/// How an operation of EC2 failed: its code and its message.
#[derive(Debug)]
pub struct Ec2Error(ErrorMetadata);

impl fmt::Display for Ec2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Ec2Error {}

impl ProvideErrorMetadata for Ec2Error {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// A list in an answer: `<vpcSet><item>…</item></vpcSet>`.
#[derive(Clone, Debug, Deserialize)]
pub struct Items<T> {
    /// What is in it.
    #[serde(rename = "item", default = "Vec::new")]
    pub items: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

/// A client of EC2.
pub struct Ec2 {
    config: SdkConfig,
    endpoint: Option<String>,
    calls: CallCounter,
}

impl Ec2 {
    pub(crate) fn new(config: SdkConfig, endpoint: Option<String>, calls: CallCounter) -> Self {
        Self { config, endpoint, calls }
    }

    /// Calls `action` with `parameters` as they stand in the request (`Filter.1.Name`), and reads the
    /// answer's elements into `T`.
    ///
    /// # Errors
    /// As those of an SDK crate; see [`AwsResult`](crate::AwsResult).
    pub async fn call<T>(
        &self,
        action: &'static str,
        parameters: Vec<(String, String)>,
    ) -> Result<T, SdkError<Ec2Error, HttpResponse>>
    where
        T: DeserializeOwned + fmt::Debug + Send + Sync + 'static,
    {
        let config = &self.config;
        let Some(http_client) = config.http_client() else {
            return Err(SdkError::construction_failure("there is no HTTP client"));
        };
        let mut builder = Operation::builder()
            .service_name("EC2")
            .operation_name(action)
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client)
            .endpoint_url(&self.url())
            .retry_classifier(AwsErrorCodeClassifier::<Ec2Error>::new())
            .retry_classifier(TransientErrorClassifier::<Ec2Error>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .interceptor(self.calls.clone())
            .runtime_plugin(self.signing());
        if let Some(retries) = config.retry_config() {
            builder = builder.standard_retry(retries);
        }
        if let Some(timeouts) = config.timeout_config() {
            builder = builder.timeout_config(timeouts.clone());
        }
        if let Some(sleep) = config.sleep_impl() {
            builder = builder.sleep_impl(sleep);
        }
        if let Some(time) = config.time_source() {
            builder = builder.time_source(time);
        }
        let operation =
            builder.serializer(move |parameters| request(action, parameters)).deserializer(answer);
        operation.build().invoke(parameters).await
    }

    /// The endpoint: one that was set, or that of the region.
    fn url(&self) -> String {
        let key = ServiceConfigKey::builder()
            .service_id("EC2")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        let own = || self.config.service_config()?.load_config(key.ok()?);
        let set =
            self.endpoint.clone().or_else(own).or_else(|| self.config.endpoint_url().map(str::to_owned));
        set.unwrap_or_else(|| regional(self.config.region().map_or("us-east-1", |region| region.as_ref())))
    }

    /// What makes requests carry a signature, by the connection's credentials.
    fn signing(&self) -> StaticRuntimePlugin {
        let mut components = RuntimeComponentsBuilder::new("ec2")
            .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])));
        if let Some(cache) = self.config.identity_cache() {
            components.set_identity_cache(Some(cache));
        }
        if let Some(credentials) = self.config.credentials_provider() {
            components.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(credentials));
        }
        let mut layer = Layer::new("ec2");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        let region = self.config.region().cloned();
        layer.store_put(SigV4OperationSigningConfig {
            region: region.clone().map(SigningRegion::from),
            region_set: region.map(SigningRegionSet::from),
            name: Some(SigningName::from_static("ec2")),
            signing_options: Default::default(),
        });
        StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
    }
}

/// AWS's own endpoint: <https://docs.aws.amazon.com/general/latest/gr/ec2-service.html>.
fn regional(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://ec2.{region}.{suffix}")
}

fn request(action: &str, parameters: Vec<(String, String)>) -> Result<HttpRequest, BoxError> {
    let fixed = [("Action", action), ("Version", VERSION)];
    let own = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let body =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fixed).extend_pairs(own).finish();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
    Ok(request)
}

fn answer<T>(response: &HttpResponse) -> Result<T, OrchestratorError<Ec2Error>>
where
    T: DeserializeOwned,
{
    let text = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    if response.status().is_success() {
        return quick_xml::de::from_str(&text).map_err(OrchestratorError::other);
    }
    Err(OrchestratorError::operation(refusal(&text, response.status().as_u16())))
}

/// `<Response><Errors><Error><Code>…</Code><Message>…</Message></Error></Errors></Response>`
fn refusal(text: &str, status: u16) -> Ec2Error {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "Errors")]
        errors: Errors,
    }
    #[derive(Deserialize)]
    struct Errors {
        #[serde(rename = "Error")]
        error: Why,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Why {
        code: String,
        message: String,
    }
    let builder = match quick_xml::de::from_str::<Refusal>(text) {
        Ok(Refusal { errors: Errors { error } }) => {
            ErrorMetadata::builder().code(error.code).message(error.message)
        }
        Err(_) => ErrorMetadata::builder().message(format!("HTTP status {status}: {text}")),
    };
    Ec2Error(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_form() {
        let request = request("DescribeVpcs", vec![("Filter.1.Value.1".into(), "a b&c".into())]);
        let request = request.expect("a request");
        let body = request.body().bytes().expect("in memory");
        assert_eq!(body, b"Action=DescribeVpcs&Version=2016-11-15&Filter.1.Value.1=a+b%26c");
    }

    #[test]
    fn an_error_has_a_code_and_a_message() {
        let text = "<?xml version=\"1.0\"?><Response><Errors><Error><Code>InvalidGroup.NotFound</Code>\
                    <Message>The security group 'sg-1' does not exist</Message></Error></Errors>\
                    <RequestID>1</RequestID></Response>";
        let error = refusal(text, 400);
        assert_eq!(error.meta().code(), Some("InvalidGroup.NotFound"));
        assert_eq!(error.meta().message(), Some("The security group 'sg-1' does not exist"));
        assert_eq!(refusal("busy", 503).meta().message(), Some("HTTP status 503: busy"));
    }

    #[test]
    fn a_list_may_be_empty() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Vpcs {
            vpc_set: Items<Vpc>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Vpc {
            vpc_id: String,
        }
        let read = |text| quick_xml::de::from_str::<Vpcs>(text).expect("reads").vpc_set.items;
        assert!(read("<R><requestId>1</requestId><vpcSet/></R>").is_empty());
        let two = read("<R><vpcSet><item><vpcId>a</vpcId></item><item><vpcId>b</vpcId></item></vpcSet></R>");
        assert_eq!(two.iter().map(|vpc| vpc.vpc_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn regions_have_endpoints() {
        assert_eq!(regional("eu-central-1"), "https://ec2.eu-central-1.amazonaws.com");
        assert_eq!(regional("cn-north-1"), "https://ec2.cn-north-1.amazonaws.com.cn");
    }
}
