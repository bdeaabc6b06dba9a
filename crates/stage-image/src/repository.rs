//! The ECR repository: what is in it, and how to log in to its registry.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ecr::types::{ImageIdentifier, ImageTagMutability};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipeline_aws::{Aws, AwsResult};
use pipeline_sdk::StageError;

/// Where a repository is: `HOST/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepositoryUrl {
    pub(crate) host: String,
    pub(crate) name: String,
}

impl RepositoryUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, StageError> {
        let wrong = || {
            let message = format!(
                "`{url}` is not a repository's URL: write HOST/NAME, such as \
                 123456789012.dkr.ecr.eu-central-1.amazonaws.com/hello, without a scheme and a tag"
            );
            StageError::input("repository_url", message)
        };
        let (host, name) = url.split_once('/').ok_or_else(wrong)?;
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let port = host.split_once(':').map_or("0", |(_, port)| port);
        let is_host = host.contains(['.', ':']) || host == "localhost";
        if !is_host || port.parse::<u16>().is_err() || name.is_empty() || !name.chars().all(legal) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), name: name.to_owned() })
    }

    /// The account whose registry it is; nothing where the host does not say.
    fn account(&self) -> Option<String> {
        let (account, rest) = self.host.split_once(".dkr.ecr.")?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        (is_account && !rest.is_empty()).then(|| account.to_owned())
    }
}

impl std::fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

/// Whether the host is this machine, where registries speak plain HTTP; Docker draws the same line.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name == "[::1]" || name.ends_with(".localhost") || name.starts_with("127.")
}

/// An image in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: String,
    /// Compressed, in bytes.
    pub(crate) size: u64,
}

/// User and password for the registry; valid for 12 hours.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Asks ECR about one repository.
pub(crate) struct Repository<'a> {
    aws: &'a Arc<Aws>,
    pub(crate) url: RepositoryUrl,
}

/// How often, and how far apart, ECR is asked for an image that was just pushed.
const LISTING_TRIES: u32 = 8;
const LISTING_WAIT: Duration = Duration::from_millis(100);

impl<'a> Repository<'a> {
    pub(crate) fn new(aws: &'a Arc<Aws>, url: &str) -> Result<Self, StageError> {
        Ok(Self { aws, url: RepositoryUrl::parse(url)? })
    }

    /// The image with this tag. Nothing if there is none, also if the repository does not exist yet.
    pub(crate) async fn tagged(&self, tag: &str) -> Result<Option<Found>, StageError> {
        self.find(ImageIdentifier::builder().image_tag(tag).build()).await
    }

    /// The image with this digest.
    pub(crate) async fn with_digest(&self, digest: &str) -> Result<Option<Found>, StageError> {
        self.find(ImageIdentifier::builder().image_digest(digest).build()).await
    }

    async fn find(&self, id: ImageIdentifier) -> Result<Option<Found>, StageError> {
        let request = self.aws.ecr().describe_images().repository_name(&self.url.name).image_ids(id);
        let answer = request.set_registry_id(self.url.account()).send().await;
        let Some(answer) = answer.if_found("ecr:DescribeImages")? else { return Ok(None) };
        Ok(answer.image_details.unwrap_or_default().into_iter().find_map(|detail| {
            let size = detail.image_size_in_bytes.and_then(|size| u64::try_from(size).ok());
            Some(Found { digest: detail.image_digest?, size: size.unwrap_or_default() })
        }))
    }

    /// The image that was just pushed under `tag`: ECR lists it a moment after it took it.
    pub(crate) async fn pushed(&self, tag: &str) -> Result<Found, StageError> {
        for attempt in 0..LISTING_TRIES {
            if let Some(found) = self.tagged(tag).await? {
                return Ok(found);
            }
            tokio::time::sleep(LISTING_WAIT * 2u32.pow(attempt)).await;
        }
        Err(StageError::failed(format!("{}:{tag} was pushed, but ECR does not list it", self.url))
            .with_help("check that `repository_url` is in the account and region that the pipeline works in"))
    }

    /// Whether a tag that exists can never point to another image.
    pub(crate) async fn is_immutable(&self) -> Result<bool, StageError> {
        let request = self.aws.ecr().describe_repositories().repository_names(&self.url.name);
        let answer = request.set_registry_id(self.url.account()).send().await;
        let Some(answer) = answer.if_found("ecr:DescribeRepositories")? else { return Ok(false) };
        let repositories = answer.repositories.unwrap_or_default();
        let mutability = repositories.first().and_then(|repository| repository.image_tag_mutability.as_ref());
        Ok(mutability == Some(&ImageTagMutability::Immutable))
    }

    pub(crate) async fn login(&self) -> Result<Login, StageError> {
        let answer = self.aws.ecr().get_authorization_token().send().await;
        let answer = answer.or_fail("ecr:GetAuthorizationToken")?;
        let data = answer.authorization_data.unwrap_or_default();
        let token = data.first().and_then(|data| data.authorization_token.as_deref()).unwrap_or_default();
        let plain = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match plain.as_deref().and_then(|plain| plain.split_once(':')) {
            Some((user, password)) => Ok(Login { user: user.to_owned(), password: password.to_owned() }),
            None => Err(StageError::failed("ecr:GetAuthorizationToken returned no usable token")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = RepositoryUrl::parse("123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/hello")
            .expect("a URL");
        assert_eq!((url.name.as_str(), url.account().as_deref()), ("team/hello", Some("123456789012")));
        let local = RepositoryUrl::parse("127.0.0.1:5000/hello").expect("a URL");
        assert_eq!((local.host.as_str(), local.account()), ("127.0.0.1:5000", None));
        for wrong in ["hello", "hello/world", "https://host.example/x", "host.example/", "host.example/x:tag"]
        {
            let error = RepositoryUrl::parse(wrong).expect_err(wrong).to_string();
            assert!(error.starts_with(&format!("`repository_url`: `{wrong}` is not")), "{error}");
        }
    }

    #[test]
    fn loopback_hosts_speak_plain_http() {
        for host in ["localhost:5000", "127.0.0.1:80", "127.4.5.6", "[::1]:80", "ecr.localhost:4566"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1:80", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
