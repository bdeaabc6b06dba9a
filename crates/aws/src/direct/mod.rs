//! Services of which a pipeline needs a few operations, called by their protocol.
//!
//! An SDK crate has all operations of its service and no features to choose among them: `aws-sdk-ec2`
//! takes longer to compile than the rest of the program, and 5 GB. What an SDK crate stands on (signing,
//! retries, timeouts, interceptors) is used here just the same; only requests and answers are ours.

mod endpoint;
mod protocol;

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{AuthSchemeOptionResolverParams, SharedAuthScheme};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SigningName;
use aws_types::region::{Region, SigningRegion, SigningRegionSet};
use pipeline_sdk::StageError;
use serde::de::DeserializeOwned;

use crate::AwsResult;
use crate::calls::CallCounter;

pub(crate) use endpoint::{ACM, APPLICATION_AUTO_SCALING, CLOUDWATCH_LOGS, EC2, IAM, Service};
use protocol::Nothing;
pub use protocol::{Items, Parameters};

/// How an operation failed: its code and its message.
#[derive(Debug)]
pub struct Refusal(ErrorMetadata);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refusal {}

impl ProvideErrorMetadata for Refusal {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// What the answer of an operation is read into.
pub trait Answer: DeserializeOwned + fmt::Debug + Send + Sync + 'static {}

impl<T: DeserializeOwned + fmt::Debug + Send + Sync + 'static> Answer for T {}

/// A client of one service.
pub struct Direct {
    service: &'static Service,
    config: SdkConfig,
    endpoint: Option<String>,
    calls: CallCounter,
}

impl Direct {
    pub(crate) fn new(
        service: &'static Service,
        config: SdkConfig,
        endpoint: Option<String>,
        calls: CallCounter,
    ) -> Self {
        Self { service, config, endpoint, calls }
    }

    /// Calls an operation, given as IAM writes it (`ec2:DescribeVpcs`), and reads its answer into `T`.
    /// Parameters have the names of the API reference; those of a query protocol stand as in a request:
    /// `Filter.1.Name`.
    ///
    /// # Errors
    /// Whatever keeps the answer from coming, after retries.
    pub async fn call<T: Answer>(
        &self,
        operation: &'static str,
        parameters: impl Into<Parameters> + Send,
    ) -> Result<T, StageError> {
        self.send(operation, parameters.into()).await.or_fail(operation)
    }

    /// The same; nothing where AWS says that what was asked about does not exist.
    ///
    /// # Errors
    /// As of [`Direct::call`].
    pub async fn find<T: Answer>(
        &self,
        operation: &'static str,
        parameters: impl Into<Parameters> + Send,
    ) -> Result<Option<T>, StageError> {
        self.send(operation, parameters.into()).await.if_found(operation)
    }

    /// Calls an operation that answers nothing.
    ///
    /// # Errors
    /// As of [`Direct::call`].
    pub async fn tell(
        &self,
        operation: &'static str,
        parameters: impl Into<Parameters> + Send,
    ) -> Result<(), StageError> {
        self.call::<Nothing>(operation, parameters).await.map(|_| ())
    }

    /// Calls an operation that removes something; gone already is fine.
    ///
    /// # Errors
    /// As of [`Direct::call`].
    pub async fn remove(
        &self,
        operation: &'static str,
        parameters: impl Into<Parameters> + Send,
    ) -> Result<(), StageError> {
        self.find::<Nothing>(operation, parameters).await.map(|_| ())
    }

    async fn send<T: Answer>(
        &self,
        operation: &'static str,
        parameters: Parameters,
    ) -> Result<T, SdkError<Refusal, HttpResponse>> {
        let action = operation.split_once(':').map_or(operation, |(_, action)| action);
        let config = &self.config;
        let Some(http_client) = config.http_client() else {
            return Err(SdkError::construction_failure("there is no HTTP client"));
        };
        let (url, region) = self.service.place(config, self.endpoint.as_deref());
        let protocol = &self.service.protocol;
        let mut builder = Operation::builder()
            .service_name(self.service.id)
            .operation_name(action)
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client)
            .endpoint_url(&url)
            .retry_classifier(AwsErrorCodeClassifier::<Refusal>::new())
            .retry_classifier(TransientErrorClassifier::<Refusal>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .interceptor(self.calls.clone())
            .runtime_plugin(signing(config, SigningName::from_static(self.service.signing_name), region));
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
        let operation = builder
            .serializer(move |parameters: Parameters| protocol.request(action, parameters))
            .deserializer(move |response| protocol.answer(action, response));
        operation.build().invoke(parameters).await
    }
}

/// What makes the requests of an operation carry a signature for `service` in `region`, by the credentials
/// of `config`.
pub fn signing(config: &SdkConfig, service: SigningName, region: Option<Region>) -> StaticRuntimePlugin {
    let mut components = RuntimeComponentsBuilder::new("signing")
        .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])));
    if let Some(cache) = config.identity_cache() {
        components.set_identity_cache(Some(cache));
    }
    if let Some(credentials) = config.credentials_provider() {
        components.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(credentials));
    }
    let mut layer = Layer::new("signing");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SigV4OperationSigningConfig {
        region: region.clone().map(SigningRegion::from),
        region_set: region.map(SigningRegionSet::from),
        name: Some(service),
        signing_options: Default::default(),
    });
    StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
}
