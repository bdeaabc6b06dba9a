//! What is needed to reach AWS by another library than its SDK: region, endpoint, keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use pipeline_sdk::StageError;
use tokio::sync::Mutex;

use crate::connection::Settings;
use crate::error::NO_CREDENTIALS;

/// Keys are asked for anew when they have less than this left.
const LEFT: Duration = Duration::from_secs(300);

/// Where AWS is and who we are, found where the AWS CLI finds it.
#[derive(Clone, Debug)]
pub struct Access {
    /// The region, if one is set.
    pub region: Option<String>,
    /// The endpoint that replaces those of AWS, if one is set for all services.
    pub endpoint_url: Option<String>,
    provider: Option<SharedCredentialsProvider>,
    known: Arc<Mutex<Option<Credentials>>>,
}

/// Keys to sign requests with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The token of keys that are valid for a while only.
    pub session_token: Option<String>,
}

impl Access {
    /// Reads the settings and the environment. Nothing is sent yet.
    pub async fn find(settings: &Settings) -> Self {
        Self::of(&settings.load().await)
    }

    pub(crate) fn of(config: &SdkConfig) -> Self {
        Self {
            region: config.region().map(ToString::to_string),
            endpoint_url: config.endpoint_url().map(str::to_owned),
            provider: config.credentials_provider(),
            known: Arc::default(),
        }
    }

    /// The keys; asked for once, and again shortly before they end.
    ///
    /// # Errors
    /// There are none, with where to put them.
    pub async fn keys(&self) -> Result<Keys, StageError> {
        let mut known = self.known.lock().await;
        let lasts = |credentials: &Credentials| {
            credentials.expiry().is_none_or(|expiry| expiry > SystemTime::now() + LEFT)
        };
        let credentials = match known.as_ref().filter(|credentials| lasts(credentials)) {
            Some(credentials) => credentials.clone(),
            None => known.insert(provided(self.provider.as_ref()).await?).clone(),
        };
        Ok(Keys {
            access_key_id: credentials.access_key_id().to_owned(),
            secret_access_key: credentials.secret_access_key().to_owned(),
            session_token: credentials.session_token().map(str::to_owned),
        })
    }
}

/// Whether nothing was asked of AWS because there is nobody to ask as.
pub fn has_no_credentials(error: &StageError) -> bool {
    error.help() == Some(NO_CREDENTIALS)
}

/// Asks `provider` for credentials.
pub(crate) async fn provided(
    provider: Option<&SharedCredentialsProvider>,
) -> Result<Credentials, StageError> {
    let missing = |cause: String| {
        StageError::failed(format!("no AWS credentials found: {cause}")).with_help(NO_CREDENTIALS)
    };
    let provider = provider.ok_or_else(|| missing("no provider is configured".into()))?;
    provider.provide_credentials().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        missing(cause.unwrap_or_else(|| error.to_string()))
    })
}
