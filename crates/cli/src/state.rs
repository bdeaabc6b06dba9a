//! Where states, locks and journals are kept: a folder, or a bucket of S3.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, ObjectStore, RetryConfig};
use pipeline_aws::{Access, Settings};
use pipeline_core::{LocalStore, ObjectStateStore, Pipeline, StateStore};
use pipeline_sdk::StageError;
use reqwest::Url;

use crate::host::{self, HostError};

/// Says where states are kept, instead of `[pipeline] state`.
const VARIABLE: &str = "PIPELINE_STATE";

/// Says where S3 is, instead of AWS_ENDPOINT_URL.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_S3";

/// The scheme of a place in a bucket.
const S3: &str = "s3://";

/// How long a store that does not answer is asked again: much less than a lease lives.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there is nowhere to keep a state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// Neither a folder nor a bucket.
    #[error(
        "a state cannot be kept in `{0}`: name a folder, or a bucket as `s3://BUCKET/PREFIX`, with `?region=REGION` \
         behind it if the bucket is in another region"
    )]
    Place(String),
    /// `[cloud]` cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The bucket cannot be used.
    #[error("the state in `{place}`: {source}")]
    Bucket {
        /// The place.
        place: String,
        /// Why.
        source: object_store::Error,
    },
    /// The endpoint is no address.
    #[error(
        "`{0}` is no endpoint of S3: set AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL to a URL as `https://s3.example.com`"
    )]
    Endpoint(String),
    /// There is no region.
    #[error("the state in `{0}`: no AWS region is set; set AWS_REGION, or `region` in the profile")]
    Region(String),
}

/// A place for states.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Bucket(Bucket),
}

#[derive(Debug, PartialEq, Eq)]
struct Bucket {
    name: String,
    prefix: String,
    /// If it is another one than that of what is deployed.
    region: Option<String>,
}

impl Place {
    /// What `PIPELINE_STATE` says, or the file, or `.pipeline` beside the file.
    fn of(pipeline: &Pipeline) -> Result<Option<Self>, StateError> {
        match (std::env::var(VARIABLE), pipeline.state()) {
            (Ok(text), _) => Self::read(&text, Path::new("")).map(Some),
            (Err(_), Some(text)) => Self::read(text, pipeline.directory()).map(Some),
            (Err(_), None) => Ok(None),
        }
    }

    /// A folder is relative to `base`.
    fn read(text: &str, base: &Path) -> Result<Self, StateError> {
        let Some(rest) = text.strip_prefix(S3) else {
            return match text.contains("://") || text.is_empty() {
                true => Err(StateError::Place(text.to_owned())),
                false => Ok(Self::Folder(base.join(text))),
            };
        };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let region = query.map(|query| query.strip_prefix("region=").unwrap_or_default());
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // Stores that are not Amazon's take more than the names that Amazon's does.
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if name.is_empty() || !is_name(name) || region.is_some_and(str::is_empty) {
            return Err(StateError::Place(text.to_owned()));
        }
        let [name, prefix] = [name, prefix].map(str::to_owned);
        Ok(Self::Bucket(Bucket { name, prefix, region: region.map(str::to_owned) }))
    }
}

/// The store for the states of `pipeline`.
///
/// # Errors
/// The place cannot be read, or a bucket has no region.
pub(crate) async fn open(pipeline: &Pipeline) -> Result<Arc<dyn StateStore>, StateError> {
    Ok(match Place::of(pipeline)? {
        None => Arc::new(LocalStore::beside(pipeline.directory())),
        Some(Place::Folder(folder)) => Arc::new(LocalStore::new(folder)),
        Some(Place::Bucket(Bucket { name, prefix, region })) => {
            let settings = host::settings(pipeline.cloud())?;
            let region = region.or_else(|| settings.region.clone());
            let store = bucket(&name, &Settings { region, ..settings }).await?;
            Arc::new(ObjectStateStore::new(store, prefix))
        }
    })
}

/// The bucket, with credentials and endpoint as the AWS CLI finds them.
async fn bucket(name: &str, settings: &Settings) -> Result<Arc<dyn ObjectStore>, StateError> {
    let place = || format!("{S3}{name}");
    let access = Access::find(settings).await;
    let region = access.region.clone().ok_or_else(|| StateError::Region(place()))?;
    let endpoint = endpoint(std::env::var(ENDPOINT).ok(), access.endpoint_url.clone())?;
    let retries = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(region)
        .with_credentials(Arc::new(Bridge(access)))
        .with_retry(retries);
    if let Some(endpoint) = endpoint {
        builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
    }
    let store = builder.build().map_err(|source| StateError::Bucket { place: place(), source })?;
    Ok(Arc::new(store))
}

/// Where S3 is, if not at AWS: what is set for it alone, or for all services. An empty variable is one that is not set.
fn endpoint(own: Option<String>, all: Option<String>) -> Result<Option<String>, StateError> {
    let Some(endpoint) = own.filter(|own| !own.is_empty()).or(all) else { return Ok(None) };
    let is_url = Url::parse(&endpoint)
        .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.host().is_some());
    if is_url { Ok(Some(endpoint)) } else { Err(StateError::Endpoint(endpoint)) }
}

/// Hands the keys of AWS's own configuration to the object store.
#[derive(Debug)]
struct Bridge(Access);

/// A failure to find keys, as the object store's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}{help}", help = .0.help().map(|help| format!("; {help}")).unwrap_or_default())]
struct NoKeys(StageError);

#[async_trait]
impl CredentialProvider for Bridge {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |error| object_store::Error::Generic { store: "S3", source: Box::new(NoKeys(error)) };
        let keys = self.0.keys().await.map_err(failed)?;
        Ok(Arc::new(AwsCredential {
            key_id: keys.access_key_id,
            secret_key: keys.secret_access_key,
            token: keys.session_token,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket() {
        let read = |text: &str| Place::read(text, Path::new("/app")).ok();
        assert_eq!(read("states"), Some(Place::Folder("/app/states".into())));
        assert_eq!(read("/var/states"), Some(Place::Folder("/var/states".into())));
        let bucket = |name: &str, prefix: &str, region: Option<&str>| {
            let region = region.map(str::to_owned);
            Some(Place::Bucket(Bucket { name: name.into(), prefix: prefix.into(), region }))
        };
        assert_eq!(read("s3://team"), bucket("team", "", None));
        assert_eq!(read("s3://team/shop/eu"), bucket("team", "shop/eu", None));
        assert_eq!(read("s3://team/shop?region=eu-west-1"), bucket("team", "shop", Some("eu-west-1")));
        for wrong in [
            "",
            "s3://",
            "s3:///prefix",
            "gs://team/shop",
            "s3://team?region=",
            "s3://team?place=eu",
            "s3://te am/x",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_is_a_url_and_an_empty_one_is_none() {
        let some = |text: &str| Some(text.to_owned());
        let found = |own, all| endpoint(own, all).map_err(|error| error.to_string());
        assert_eq!(found(None, None), Ok(None));
        assert_eq!(found(some(""), some("http://all:1")), Ok(some("http://all:1")));
        assert_eq!(
            found(some("http://127.0.0.1:9000"), some("http://all:1")),
            Ok(some("http://127.0.0.1:9000"))
        );
        for wrong in ["localhost:9000", "127.0.0.1:9000", "garbage", "file:///s3", "http://"] {
            let said = found(some(wrong), None).expect_err(wrong);
            assert!(
                said.starts_with(&format!("`{wrong}` is no endpoint of S3: set AWS_ENDPOINT_URL_S3")),
                "{said}"
            );
        }
    }
}
