//! Previews of lifecycle policies: which images one would remove. Nothing is removed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::images::Listing;
use super::input::Name;
use super::state::Repository;
use super::{lifecycle, policies};
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};
use pipeline_data_plane::image::Digest;

/// The last preview of a repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Preview {
    policy: String,
    images: Vec<Expiring>,
}

/// An image that the policy would remove.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Expiring {
    digest: Digest,
    tags: Vec<String>,
    pushed_at: Timestamp,
    rule_priority: u64,
}

impl Expiring {
    fn described(&self) -> Value {
        json!({
            "imageDigest": self.digest,
            "imageTags": (!self.tags.is_empty()).then_some(&self.tags),
            "imagePushedAt": EpochSeconds(self.pushed_at),
            "action": { "type": "EXPIRE" },
            "appliedRulePriority": self.rule_priority,
        })
    }
}

impl Preview {
    fn of(policy: String, repository: &Repository, now: Timestamp) -> Result<Self, ApiError> {
        let rules = lifecycle::read(&policy)?;
        let expiring = lifecycle::expiring(&rules, repository, now).into_iter();
        let images = expiring.filter_map(|(digest, rule_priority)| {
            let pushed_at = repository.images.get(digest)?.pushed_at;
            Some(Expiring {
                digest: digest.clone(),
                tags: repository.tags_of(digest),
                pushed_at,
                rule_priority,
            })
        });
        Ok(Self { images: images.collect(), policy })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start {
    #[serde(flatten)]
    name: Name,
    lifecycle_policy_text: Option<String>,
}

/// Previews the policy given, or else that of the repository. The preview is complete at once.
pub(super) fn start(call: &mut Call<'_>, input: &Start) -> Result<Output, ApiError> {
    let (account, now) = (input.name.account(call), call.now);
    let repository = input.name.find(call)?;
    let text = input.lifecycle_policy_text.clone().or_else(|| repository.lifecycle_policy.clone());
    let text = text.ok_or_else(|| policies::no_lifecycle(&account, &repository.name))?;
    repository.lifecycle_preview = Some(Preview::of(text.clone(), repository, now)?);
    Output::of(&json!({
        "registryId": account, "repositoryName": repository.name, "lifecyclePolicyText": text,
        "status": "IN_PROGRESS",
    }))
}

pub(super) fn get(call: &mut Call<'_>, input: &Listing) -> Result<Output, ApiError> {
    let account = input.name.account(call);
    let repository = input.name.find(call)?;
    let preview =
        repository.lifecycle_preview.as_ref().ok_or_else(|| no_preview(&account, &repository.name))?;
    let asked = |image: &&Expiring| {
        let ids = input.image_ids.as_ref();
        ids.is_none_or(|ids| ids.iter().any(|id| id.resolve(repository).is_ok_and(|it| it == image.digest)))
    };
    let images = preview.images.iter().filter(asked);
    let results = images.filter(|image| input.filter.takes(!image.tags.is_empty()));
    let (results, next_token) = input.page.of(results.map(Expiring::described).collect())?;
    Output::of(&json!({
        "registryId": account, "repositoryName": repository.name, "lifecyclePolicyText": preview.policy,
        "status": "COMPLETE", "nextToken": next_token, "previewResults": results,
        "summary": { "expiringImageTotalCount": preview.images.len() },
    }))
}

fn no_preview(account: &str, name: &str) -> ApiError {
    let text = format!(
        "Lifecycle policy preview does not exist for the repository with name '{name}' in the registry with \
         id '{account}'"
    );
    ApiError::sender("LifecyclePolicyPreviewNotFoundException", text)
}
