//! Inputs that many operations share.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::errors;
use super::state::Repository;
use crate::services::Call;
use crate::wire::ApiError;
use pipeline_data_plane::image::Digest;

/// A repository and nothing else.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Name {
    pub(super) registry_id: Option<String>,
    pub(super) repository_name: String,
}

impl Name {
    /// The account asked: the caller's own if it names none.
    pub(super) fn account(&self, call: &Call<'_>) -> String {
        self.registry_id.clone().unwrap_or_else(|| call.place.account.clone())
    }

    /// The repository.
    pub(super) fn find<'a>(&self, call: &'a mut Call<'_>) -> Result<&'a mut Repository, ApiError> {
        let account = self.account(call);
        let region = call.place.region.clone();
        call.state.region_mut(&account, &region).ecr.repository_mut(&account, &self.repository_name)
    }
}

/// An image by digest, by tag, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageId {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_tag: Option<String>,
}

/// An image id that could not be served, in the answer of a batch operation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    pub(super) image_id: ImageId,
    pub(super) failure_code: &'static str,
    pub(super) failure_reason: String,
}

impl ImageId {
    pub(super) fn of(digest: &Digest, tag: Option<&str>) -> Self {
        Self { image_digest: Some(digest.to_string()), image_tag: tag.map(str::to_owned) }
    }

    /// As ECR writes it into its errors.
    pub(super) fn describe(&self) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
        format!("{{imageDigest:'{}', imageTag:'{}'}}", text(&self.image_digest), text(&self.image_tag))
    }

    /// The digest meant.
    pub(super) fn resolve(&self, repository: &Repository) -> Result<Digest, Failure> {
        let failure = |failure_code, reason: &str| Failure {
            image_id: self.clone(),
            failure_code,
            failure_reason: reason.to_owned(),
        };
        let missing = || failure("ImageNotFound", "Requested image not found");
        let tagged = match &self.image_tag {
            Some(tag) => Some(repository.image_tags.get(tag).ok_or_else(missing)?),
            None => None,
        };
        match (&self.image_digest, tagged) {
            (Some(text), tagged) => {
                let digest: Digest = text.parse().map_err(|_| {
                    let reason = "Invalid request parameters: image digest should satisfy the regex \
                                  '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
                    failure("InvalidImageDigest", reason)
                })?;
                if tagged.is_some_and(|tagged| *tagged != digest) {
                    return Err(failure("ImageTagDoesNotMatchDigest", "Tag does not match digest"));
                }
                if repository.images.contains_key(&digest) { Ok(digest) } else { Err(missing()) }
            }
            (None, Some(digest)) => Ok(digest.clone()),
            (None, None) => {
                let reason = "Invalid request parameters: both tag and digest cannot be null";
                Err(failure("MissingDigestAndTag", reason))
            }
        }
    }
}

/// The part of a list operation's input that asks for a page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Page {
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl Page {
    /// One page of `items` and the token of the next. 100 items if not asked otherwise, 1000 at most.
    pub(super) fn of<T>(&self, items: Vec<T>) -> Result<(Vec<T>, Option<String>), ApiError> {
        let size = match self.max_results {
            None => 100,
            Some(asked) => usize::try_from(asked)
                .ok()
                .filter(|asked| (1..=1000).contains(asked))
                .ok_or_else(|| errors::invalid("maxResults", "must be between 1 and 1000"))?,
        };
        let position = |token: &String| {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            String::from_utf8(bytes).ok()?.strip_prefix("ecr:")?.parse::<usize>().ok()
        };
        let start = match &self.next_token {
            None => 0,
            Some(token) => {
                position(token).ok_or_else(|| errors::invalid("nextToken", "must be a token of ECR"))?
            }
        };
        let next = start.saturating_add(size);
        let token = (items.len() > next).then(|| URL_SAFE_NO_PAD.encode(format!("ecr:{next}")));
        Ok((items.into_iter().skip(start).take(size).collect(), token))
    }
}
