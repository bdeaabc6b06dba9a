//! What the registry needs to know about repositories, which belongs to the ECR service's state.

use super::Digest;
use crate::image::manifest::{Content, Manifest};

/// One account in one region: what an AWS credential and an ECR token are good for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Twelve digits.
    pub account: String,
    /// For example `eu-west-1`.
    pub region: String,
}

impl Scope {
    /// A scope of `account` and `region`.
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self { account: account.into(), region: region.into() }
    }
}

/// A tag or a digest in a manifest path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By name, may move.
    Tag(String),
    /// By content.
    Digest(Digest),
}

/// A manifest as the repositories remember it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRecord {
    /// Digest of the manifest's bytes, which are in the blob store.
    pub digest: Digest,
    /// Media type it was pushed with.
    pub media_type: String,
    /// Length of the manifest itself in bytes.
    pub length: u64,
}

/// A manifest being pushed; its bytes are already in the blob store and its parts were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// The manifest.
    pub manifest: ManifestRecord,
    /// Tag to point at it, if it was pushed by tag.
    pub tag: Option<String>,
    /// What ECR shows as image size: the compressed layers, in bytes; `None` for an index.
    pub image_size: Option<u64>,
    /// Media type of the configuration, which tells images from other artifacts.
    pub config_media_type: Option<String>,
    /// Digest of the manifest this one refers to, if any.
    pub subject: Option<Digest>,
    /// `artifactType` of the manifest, or else its configuration's media type.
    pub artifact_type: Option<String>,
    /// Digests of the manifests an index lists.
    pub children: Vec<Digest>,
}

/// Why the repositories refuse a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The password belongs to no token.
    #[error("Not Authorized")]
    Unauthorized,
    /// The token was good for twelve hours, and they are over.
    #[error("Your authorization token has expired. Reauthenticate and try again.")]
    TokenExpired,
    /// No such repository.
    #[error("The repository with name '{name}' does not exist in the registry with id '{account}'")]
    NoRepository {
        /// Its name.
        name: String,
        /// Account that was asked.
        account: String,
    },
    /// The tag exists and may not move.
    #[error(
        "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten \
         because the tag is immutable."
    )]
    TagImmutable {
        /// The tag.
        tag: String,
        /// The repository.
        repository: String,
    },
}

impl Refusal {
    /// The refusal for a repository that does not exist in `scope`.
    pub fn no_repository(scope: &Scope, name: &str) -> Self {
        Self::NoRepository { name: name.to_owned(), account: scope.account.clone() }
    }
}

/// The repositories behind a registry: which exist, what was pushed to them, who may ask.
///
/// Calls are short and synchronous (they look into the cloud's state under its lock). Bytes are
/// never part of them: blobs and manifests lie in the [`BlobStore`](super::BlobStore).
pub trait Repositories: Send + Sync + std::fmt::Debug {
    /// The scope of the token whose password this is (user name `AWS`).
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] or [`Refusal::TokenExpired`].
    fn authenticate(&self, password: &str) -> Result<Scope, Refusal>;

    /// Whether the repository exists.
    fn exists(&self, scope: &Scope, repository: &str) -> bool;

    /// Whether `blob` was pushed or mounted to this repository.
    fn has_blob(&self, scope: &Scope, repository: &str, blob: &Digest) -> bool;

    /// Remembers that `blob` was pushed or mounted to this repository.
    ///
    /// # Errors
    /// [`Refusal::NoRepository`].
    fn add_blob(&self, scope: &Scope, repository: &str, blob: &Digest) -> Result<(), Refusal>;

    /// The repositories of `scope` that hold `blob`, for a mount that names no source.
    fn holds_blob(&self, scope: &Scope, blob: &Digest) -> bool;

    /// Adds a manifest and moves its tag.
    ///
    /// # Errors
    /// [`Refusal::NoRepository`], or [`Refusal::TagImmutable`] when the tag exists in a repository
    /// of immutable tags (also when it already means this manifest, as ECR does).
    fn put_image(&self, scope: &Scope, repository: &str, image: NewImage) -> Result<(), Refusal>;

    /// The manifest a tag or digest means; `None` when the repository does not have it.
    ///
    /// # Errors
    /// [`Refusal::NoRepository`].
    fn resolve(
        &self,
        scope: &Scope,
        repository: &str,
        reference: &Reference,
    ) -> Result<Option<ManifestRecord>, Refusal>;

    /// All tags, sorted.
    ///
    /// # Errors
    /// [`Refusal::NoRepository`].
    fn tags(&self, scope: &Scope, repository: &str) -> Result<Vec<String>, Refusal>;

    /// The manifests whose subject is `subject`, each with its artifact type.
    ///
    /// # Errors
    /// [`Refusal::NoRepository`].
    fn referrers(
        &self,
        scope: &Scope,
        repository: &str,
        subject: &Digest,
    ) -> Result<Vec<(ManifestRecord, Option<String>)>, Refusal>;

    /// Removes a tag, or a manifest with all its tags. `false` when it was not there.
    ///
    /// # Errors
    /// [`Refusal::NoRepository`].
    fn delete(&self, scope: &Scope, repository: &str, reference: &Reference) -> Result<bool, Refusal>;
}

impl NewImage {
    /// What repositories remember of `manifest`, whose bytes have this digest and length.
    pub fn new(manifest: &Manifest, digest: Digest, length: u64, tag: Option<String>) -> Self {
        let config_media_type = match &manifest.content {
            Content::Image { config, .. } => Some(config.media_type.clone()),
            Content::Index(_) => None,
        };
        Self {
            manifest: ManifestRecord { digest, media_type: manifest.media_type.clone(), length },
            tag,
            image_size: manifest.image_size(),
            config_media_type,
            subject: manifest.subject.clone(),
            artifact_type: manifest.artifact_type.clone(),
            children: manifest.children().iter().map(|child| child.digest.clone()).collect(),
        }
    }
}
