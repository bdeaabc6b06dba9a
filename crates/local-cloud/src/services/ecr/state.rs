//! What ECR holds in a region.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::errors;
use crate::services::tag::Tags;
use crate::wire::ApiError;
use pipeline_data_plane::image::Digest;

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EcrState {
    /// By name.
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) registry: super::settings::Registry,
}

/// A repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) created_at: Timestamp,
    pub(super) mutability: Mutability,
    pub(super) scan_on_push: bool,
    pub(super) encryption: Encryption,
    pub(super) lifecycle_policy: Option<String>,
    /// When the lifecycle policy was put; it never acts.
    #[serde(default)]
    pub(super) lifecycle_policy_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) lifecycle_preview: Option<super::previews::Preview>,
    pub(super) policy: Option<String>,
    pub(super) tags: Tags,
    /// Digests of the blobs that were pushed or mounted here.
    pub(super) layers: BTreeSet<Digest>,
    /// By digest of the manifest.
    pub(super) images: BTreeMap<Digest, Image>,
    /// What each tag means.
    pub(super) image_tags: BTreeMap<String, Digest>,
}

/// Whether tags may move.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mutability {
    #[serde(rename = "imageTagMutability", default = "mutable")]
    pub(super) mode: String,
    /// Tags to which the opposite applies.
    #[serde(rename = "imageTagMutabilityExclusionFilters", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) exclusions: Vec<Exclusion>,
}

fn mutable() -> String {
    "MUTABLE".to_owned()
}

/// A pattern of tags.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exclusion {
    pub(super) filter_type: String,
    pub(super) filter: String,
}

/// How images are encrypted at rest: remembered, and of no effect here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Encryption {
    #[serde(default = "aes")]
    pub(super) encryption_type: String,
    pub(super) kms_key: Option<String>,
}

fn aes() -> String {
    "AES256".to_owned()
}

impl Default for Encryption {
    fn default() -> Self {
        Self { encryption_type: aes(), kms_key: None }
    }
}

/// A manifest in a repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    pub(super) media_type: String,
    pub(super) length: u64,
    pub(super) image_size: Option<u64>,
    pub(super) artifact_type: Option<String>,
    pub(super) subject: Option<Digest>,
    pub(super) children: Vec<Digest>,
    pub(super) pushed_at: Timestamp,
    /// When it was scanned last, if ever.
    pub(super) scanned_at: Option<Timestamp>,
}

impl Mutability {
    /// Whether `tag` may not move once it exists.
    pub(super) fn is_immutable(&self, tag: &str) -> bool {
        let excluded = self.exclusions.iter().any(|exclusion| matches(&exclusion.filter, tag));
        self.mode.starts_with("IMMUTABLE") != (self.mode.ends_with("_WITH_EXCLUSION") && excluded)
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|skip| rest.get(skip..).is_some_and(|rest| matches(tail, rest)))
        }),
    }
}

impl Repository {
    /// Tags of an image, sorted.
    pub(super) fn tags_of(&self, digest: &Digest) -> Vec<String> {
        let of_image = self.image_tags.iter().filter(|(_, tagged)| *tagged == digest);
        of_image.map(|(tag, _)| tag.clone()).collect()
    }

    /// Indexes that list the image.
    pub(super) fn parents_of(&self, digest: &Digest) -> Vec<&Digest> {
        let parents = self.images.iter().filter(|(_, image)| image.children.contains(digest));
        parents.map(|(parent, _)| parent).collect()
    }

    /// Removes an image and its tags.
    pub(super) fn remove_image(&mut self, digest: &Digest) -> bool {
        self.image_tags.retain(|_, tagged| tagged != digest);
        self.images.remove(digest).is_some()
    }
}

impl EcrState {
    /// The repository, or ECR's error.
    pub(super) fn repository(&self, account: &str, name: &str) -> Result<&Repository, ApiError> {
        self.repositories.get(name).ok_or_else(|| errors::no_repository(account, name))
    }

    /// The repository, or ECR's error.
    pub(super) fn repository_mut(&mut self, account: &str, name: &str) -> Result<&mut Repository, ApiError> {
        self.repositories.get_mut(name).ok_or_else(|| errors::no_repository(account, name))
    }
}

impl EcrState {
    /// How many repositories there are.
    pub(crate) fn repository_count(&self) -> usize {
        self.repositories.len()
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn exclusions_turn_the_rule_around() {
        let filter = |filter: &str| Exclusion { filter_type: "WILDCARD".into(), filter: filter.into() };
        let rule = |mode: &str| Mutability {
            mode: mode.into(),
            exclusions: vec![filter("dev-*"), filter("latest")],
        };
        for (mode, dev, release) in [
            ("MUTABLE", false, false),
            ("IMMUTABLE", true, true),
            ("IMMUTABLE_WITH_EXCLUSION", false, true),
            ("MUTABLE_WITH_EXCLUSION", true, false),
        ] {
            assert_eq!(rule(mode).is_immutable("dev-1"), dev, "{mode}");
            assert_eq!(rule(mode).is_immutable("v1"), release, "{mode}");
        }
    }
}
