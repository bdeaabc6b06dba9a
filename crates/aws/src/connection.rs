//! The connection to AWS or to the embedded cloud: one client per service, one pool of connections.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::{Builder, Connector, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::{TimeoutConfig, TimeoutConfigBuilder};
use pipeline_sdk::{Link, StageError};
use tokio::sync::OnceCell;

use crate::access::{Access, provided};
use crate::calls::{CallCounter, CallCounts};
use crate::direct::{self, Direct};
use crate::error::{AwsError, AwsResult};

/// Where to connect. What is not set here is taken from where the AWS CLI takes it: `AWS_PROFILE`,
/// `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`, `~/.aws/config` (SSO, roles to
/// assume, `credential_process`), and the container's or instance's role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The region, such as `eu-central-1`.
    pub region: Option<String>,
    /// The profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// The endpoint of every service.
    pub endpoint_url: Option<String>,
    /// The endpoints of single services, by the name in `AWS_ENDPOINT_URL_<SERVICE>` in lower case:
    /// `ecr`, `elastic_load_balancing_v2`. They go before `endpoint_url`.
    pub endpoints: BTreeMap<String, String>,
}

impl Settings {
    /// What these settings and the environment say.
    pub(crate) async fn load(&self) -> SdkConfig {
        let http = https_client();
        let mut loader = loader().http_client(http.clone());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            let region = self.region_of(profile).await;
            let ground = ProviderConfig::without_region().with_region(region).with_http_client(http);
            // By itself the SDK lets keys in the environment go before a profile that is asked for by name.
            let credentials =
                ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&ground);
            loader = loader.profile_name(profile).credentials_provider(credentials.build());
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        loader.load().await
    }

    /// The region in which `profile` gets its credentials.
    async fn region_of(&self, profile: &str) -> Option<Region> {
        match &self.region {
            Some(region) => Some(Region::new(region.clone())),
            None => DefaultRegionChain::builder().profile_name(profile).build().region().await,
        }
    }
}

/// A connection: made once, shared by every stage.
pub struct Aws {
    config: SdkConfig,
    endpoints: BTreeMap<String, String>,
    embedded: bool,
    calls: CallCounter,
    clients: Clients,
    directs: Directs,
    account: OnceCell<String>,
}

impl Aws {
    /// Reads the settings and the environment. Nothing is sent yet; see [`Aws::check`].
    pub async fn connect(settings: Settings) -> Arc<Self> {
        Self::new(settings.load().await, settings.endpoints, false)
    }

    /// Connects to the embedded cloud: plain HTTP, fixed test credentials, nothing read from the
    /// environment or the home directory.
    pub fn embedded(endpoint: impl Into<String>, region: impl Into<String>) -> Arc<Self> {
        let credentials = Credentials::new("embedded", "embedded", None, None, "embedded-cloud");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.into()))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            // What is known from the start needs nobody to remember it.
            .identity_cache(IdentityCache::no_cache())
            // Without TLS no root certificates are loaded, which costs more than the whole plan.
            .http_client(Builder::new().build_http())
            // What is on this machine and has not answered for some seconds was stopped.
            .retry_config(retries().with_max_attempts(6))
            // Within a machine a connection is made or refused at once and bytes do not stall. Each watch over them
            // wakes a thread for each call.
            .timeout_config(timeouts().disable_connect_timeout().build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self::new(config, BTreeMap::new(), true)
    }

    fn new(config: SdkConfig, endpoints: BTreeMap<String, String>, embedded: bool) -> Arc<Self> {
        let (calls, clients, directs) = (CallCounter::default(), Clients::default(), Directs::default());
        Arc::new(Self { config, endpoints, embedded, calls, clients, directs, account: OnceCell::new() })
    }

    /// The region, if one is set.
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(|region| region.as_ref())
    }

    /// The endpoint that replaces those of AWS, if one is set for all services.
    pub fn endpoint_url(&self) -> Option<&str> {
        self.config.endpoint_url()
    }

    /// The page `path` of the console, such as `codesuite/codedeploy/deployments`. Only AWS itself has one: nothing
    /// where an endpoint replaces it.
    pub fn console(&self, label: &str, path: &str) -> Option<Link> {
        if self.endpoint_url().is_some() {
            return None;
        }
        let region = self.region().unwrap_or_default();
        let url = format!("https://{region}.console.aws.amazon.com/{path}?region={region}");
        Some(Link { label: label.to_owned(), url })
    }

    /// Whether this is the embedded cloud.
    pub fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// What another library needs to reach AWS as this connection does.
    pub fn access(&self) -> Access {
        Access::of(&self.config)
    }

    /// The calls made so far over this connection.
    pub fn calls(&self) -> CallCounts {
        self.calls.counts()
    }

    /// Makes sure that there are a region and credentials and that the endpoint answers; returns
    /// the account's id.
    ///
    /// # Errors
    /// A failure that says which of these is missing and how to get it.
    pub async fn check(&self) -> Result<String, StageError> {
        if self.region().is_none() {
            return Err(StageError::failed("no AWS region is set")
                .with_help("set `region` in pipeline.toml, or AWS_REGION, or `region` in the profile"));
        }
        provided(self.config.credentials_provider().as_ref()).await?;
        let once = aws_sdk_sts::Config::builder().retry_config(RetryConfig::standard().with_max_attempts(2));
        let call = self.sts().get_caller_identity().customize().config_override(once);
        match call.send().await.or_fail("sts:GetCallerIdentity") {
            Ok(identity) => {
                let account = identity.account.unwrap_or_default();
                // Set already means the same account.
                let _ = self.account.set(account.clone());
                Ok(account)
            }
            Err(error) => Err(self.explain(error)),
        }
    }

    /// The account's id; asked for once.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn account(&self) -> Result<&str, StageError> {
        let account = self.account.get_or_try_init(|| async {
            let answer = self.sts().get_caller_identity().send().await.or_fail("sts:GetCallerIdentity")?;
            Ok::<_, StageError>(answer.account.unwrap_or_default())
        });
        account.await.map(String::as_str)
    }

    fn explain(&self, error: StageError) -> StageError {
        let unanswered = AwsError::behind(&error).is_some_and(|aws| aws.unanswered);
        match self.endpoint_url() {
            Some(url) if unanswered && self.embedded => {
                StageError::failed(format!("cannot reach {url}: is the embedded cloud running?"))
                    .with_help("start it with `pipeline cloud start`")
            }
            Some(url) if unanswered => StageError::failed(format!("cannot reach {url}: {error}"))
                .with_help("check `endpoint_url` and AWS_ENDPOINT_URL"),
            _ => error,
        }
    }
}

/// Makes a lazily built client per service. The literal is the service in `AWS_ENDPOINT_URL_…`.
macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident: $sdk:ident, $service:literal;)*) => {
        #[derive(Default)]
        struct Clients { $($name: OnceLock<$sdk::Client>,)* }

        impl Aws {
            $($(#[$doc])*
            pub fn $name(&self) -> &$sdk::Client {
                self.clients.$name.get_or_init(|| {
                    let mut config = $sdk::config::Builder::from(&self.config)
                        .interceptor(self.calls.clone());
                    if let Some(url) = self.endpoints.get($service) {
                        config = config.endpoint_url(url);
                    }
                    $sdk::Client::from_conf(config.build())
                })
            })*
        }
    };
}

clients! {
    /// Deployments.
    codedeploy: aws_sdk_codedeploy, "codedeploy";
    /// Repositories.
    ecr: aws_sdk_ecr, "ecr";
    /// Clusters, services, task definitions.
    ecs: aws_sdk_ecs, "ecs";
    /// Load balancers.
    elbv2: aws_sdk_elasticloadbalancingv2, "elastic_load_balancing_v2";
    /// Hosted zones and records.
    route53: aws_sdk_route53, "route_53";
    /// Who am I.
    sts: aws_sdk_sts, "sts";
}

/// The same for services that are called without an SDK crate.
macro_rules! directs {
    ($($(#[$doc:meta])* $name:ident: $service:ident, $key:literal;)*) => {
        #[derive(Default)]
        struct Directs { $($name: OnceLock<Direct>,)* }

        impl Aws {
            $($(#[$doc])*
            pub fn $name(&self) -> &Direct {
                self.directs.$name.get_or_init(|| {
                    let endpoint = self.endpoints.get($key).cloned();
                    Direct::new(&direct::$service, self.config.clone(), endpoint, self.calls.clone())
                })
            })*
        }
    };
}

directs! {
    /// Certificates.
    acm: ACM, "acm";
    /// Application Auto Scaling.
    autoscaling: APPLICATION_AUTO_SCALING, "application_auto_scaling";
    /// VPCs, subnets, security groups.
    ec2: EC2, "ec2";
    /// Roles.
    iam: IAM, "iam";
    /// Log groups.
    logs: CLOUDWATCH_LOGS, "cloudwatch_logs";
}

fn loader() -> ConfigLoader {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(retries())
        .timeout_config(timeouts().build());
    match AppName::new("pipeline") {
        Ok(name) => loader.app_name(name),
        Err(_) => loader,
    }
}

/// Throttling is no failure: it is waited out, up to about a minute per call.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(10)
        .with_initial_backoff(Duration::from_millis(200))
        .with_max_backoff(Duration::from_secs(10))
}

fn timeouts() -> TimeoutConfigBuilder {
    let mut timeouts = TimeoutConfig::builder();
    timeouts.set_connect_timeout(Some(Duration::from_secs(5)));
    timeouts.set_operation_attempt_timeout(Some(Duration::from_secs(60)));
    timeouts
}

/// HTTPS by rustls with ring, through the proxy of `HTTPS_PROXY` and `NO_PROXY`; plain HTTP works too.
fn https_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut builder = Connector::builder().proxy_config(ProxyConfig::from_env());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_embedded_cloud_that_does_not_run_is_named() {
        // Port 9 of the loopback address: nothing listens there.
        let aws = Aws::embedded("http://127.0.0.1:9", "eu-central-1");
        let error = aws.check().await.expect_err("nobody listens");
        assert_eq!(error.to_string(), "cannot reach http://127.0.0.1:9: is the embedded cloud running?");
        assert_eq!(error.help(), Some("start it with `pipeline cloud start`"));
        assert_eq!(aws.calls().reads(), 1);
    }
}
