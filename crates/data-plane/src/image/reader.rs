//! From a reference in a task definition to an image that can be run.

use std::io;
use std::sync::Arc;

use oci_spec::image::ImageConfiguration;

use super::manifest::{Content, LARGEST_MANIFEST, Manifest, ManifestError, Part, matches_this_machine};
use super::{BlobStore, Digest, ImageRef, Location};
use crate::registry::{ManifestRecord, Reference, Refusal, Repositories, Scope};

/// Configurations are a few KiB; one beyond this is garbage.
const LARGEST_CONFIG: u64 = 8 << 20;

/// The images of this cloud's registry.
#[derive(Debug, Clone)]
pub struct Images {
    store: BlobStore,
    repositories: Arc<dyn Repositories>,
}

/// An image for this machine's platform.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of what the reference meant: a manifest or an index.
    pub digest: Digest,
    /// The configuration, which also identifies the content.
    pub config: Part,
    /// The layers, the lowest first.
    pub layers: Vec<Part>,
    /// How its program is started.
    pub run: RunConfig,
}

/// How an image wants to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// `ENTRYPOINT`.
    pub entry_point: Vec<String>,
    /// `CMD`.
    pub command: Vec<String>,
    /// `ENV`, as name and value.
    pub environment: Vec<(String, String)>,
    /// `WORKDIR`.
    pub working_directory: Option<String>,
    /// `USER`.
    pub user: Option<String>,
}

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No such tag or digest.
    #[error("failed to resolve ref {0}: {0}: not found")]
    NotFound(String),
    /// No such repository.
    #[error("failed to resolve ref {reference}: {refusal}")]
    Refused {
        /// What was asked for.
        reference: String,
        /// Why not.
        refusal: Refusal,
    },
    /// Nothing in it runs here.
    #[error("image Manifest does not contain descriptor matching platform 'linux/{0}'")]
    Platform(&'static str),
    /// It is in the registry, but broken.
    #[error("image {reference} is malformed: {message}; push it again")]
    Malformed {
        /// What was asked for.
        reference: String,
        /// What is wrong.
        message: String,
    },
    /// It is in no registry of this cloud.
    #[error(
        "failed to resolve ref {0}: only images in the cloud's own registry can be run here; push it there, or use \
         the Docker task runtime"
    )]
    Elsewhere(String),
}

impl Images {
    /// The images in `store` that `repositories` know.
    pub fn new(store: BlobStore, repositories: Arc<dyn Repositories>) -> Self {
        Self { store, repositories }
    }

    /// Where the bytes are.
    pub fn store(&self) -> &BlobStore {
        &self.store
    }

    /// The image that `reference` means to a task of `scope`.
    ///
    /// # Errors
    /// See [`ImageError`]; the texts are those of ECS.
    pub fn find(&self, scope: &Scope, reference: &ImageRef) -> Result<Image, ImageError> {
        let text = reference.to_string();
        let scope = match reference.location() {
            Location::Store(owner) => owner.unwrap_or_else(|| scope.clone()),
            Location::Elsewhere => return Err(ImageError::Elsewhere(text)),
        };
        let wanted = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => Reference::Digest(digest.clone()),
            (None, tag) => Reference::Tag(tag.clone().unwrap_or_else(|| "latest".to_owned())),
        };
        let lookup = Lookup { images: self, scope, repository: &reference.repository, text };
        let record = lookup.record(&wanted)?;
        let (config, layers) = lookup.image_of(&record)?;
        let run = lookup.run_config(&config)?;
        Ok(Image { digest: record.digest, config, layers, run })
    }
}

/// One search, with what its errors need.
struct Lookup<'a> {
    images: &'a Images,
    scope: Scope,
    repository: &'a str,
    text: String,
}

impl Lookup<'_> {
    fn record(&self, reference: &Reference) -> Result<ManifestRecord, ImageError> {
        let found = self.images.repositories.resolve(&self.scope, self.repository, reference);
        found
            .map_err(|refusal| ImageError::Refused { reference: self.text.clone(), refusal })?
            .ok_or_else(|| ImageError::NotFound(self.text.clone()))
    }

    fn manifest(&self, record: &ManifestRecord) -> Result<Manifest, ImageError> {
        let bytes = self.images.store.read(&record.digest, LARGEST_MANIFEST);
        let bytes = bytes.map_err(|error| self.malformed(&error))?;
        Manifest::parse(&bytes, Some(&record.media_type))
            .map_err(|error: ManifestError| self.malformed(&error))
    }

    /// Configuration and layers of the image, or of the one for this platform in an index.
    fn image_of(&self, record: &ManifestRecord) -> Result<(Part, Vec<Part>), ImageError> {
        let children = match self.manifest(record)?.content {
            Content::Image { config, layers } => return Ok((config, layers)),
            Content::Index(children) => children,
        };
        let fits = children.iter().find(|child| matches_this_machine(child));
        let child = fits.ok_or(ImageError::Platform(std::env::consts::ARCH))?;
        let record = self.record(&Reference::Digest(child.digest.clone()))?;
        match self.manifest(&record)?.content {
            Content::Image { config, layers } => Ok((config, layers)),
            Content::Index(_) => Err(self.malformed(&"an index inside of an index")),
        }
    }

    fn run_config(&self, config: &Part) -> Result<RunConfig, ImageError> {
        let bytes = self.images.store.read(&config.digest, LARGEST_CONFIG);
        let bytes = bytes.map_err(|error: io::Error| self.malformed(&error))?;
        let parsed: ImageConfiguration =
            serde_json::from_slice(&bytes).map_err(|error| self.malformed(&error))?;
        Ok(parsed.config().as_ref().map(RunConfig::from).unwrap_or_default())
    }

    fn malformed(&self, error: &dyn std::fmt::Display) -> ImageError {
        ImageError::Malformed { reference: self.text.clone(), message: error.to_string() }
    }
}

impl From<&oci_spec::image::Config> for RunConfig {
    fn from(config: &oci_spec::image::Config) -> Self {
        let pair = |entry: &String| {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            (name.to_owned(), value.to_owned())
        };
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Self {
            entry_point: config.entrypoint().clone().unwrap_or_default(),
            command: config.cmd().clone().unwrap_or_default(),
            environment: config.env().iter().flatten().map(pair).collect(),
            working_directory: given(config.working_dir()),
            user: given(config.user()),
        }
    }
}
