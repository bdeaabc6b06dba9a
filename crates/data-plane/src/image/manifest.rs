//! Reading manifests: what an image consists of, in each of the formats registries speak.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use super::{Digest, InvalidDigest};

/// Docker's image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// ECR's limit on a manifest, 4 MiB.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
pub const LARGEST_MANIFEST: u64 = 4 << 20;

/// A manifest, reduced to what this cloud does with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// One of the four media types above.
    pub media_type: String,
    /// What it lists.
    pub content: Content,
    /// The manifest this one is about, if any.
    pub subject: Option<Digest>,
    /// Its own artifact type, or its configuration's media type.
    pub artifact_type: Option<String>,
}

/// What a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One image.
    Image {
        /// Its configuration.
        config: Part,
        /// Its layers, the lowest first.
        layers: Vec<Part>,
    },
    /// One image for each of several platforms.
    Index(Vec<Child>),
}

/// A blob of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its digest.
    pub digest: Digest,
    /// Its media type, which tells how a layer is compressed.
    pub media_type: String,
    /// Length in bytes.
    pub size: u64,
    /// Whether it is fetched from elsewhere (`foreign` and non-distributable layers) and so need not be here.
    pub foreign: bool,
}

/// A manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// `linux`, for example.
    pub os: Option<String>,
    /// `amd64`, for example.
    pub architecture: Option<String>,
}

/// Why bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not one of the four formats.
    #[error("manifests of type '{0}' are not supported; push an OCI or Docker schema 2 image")]
    UnknownType(String),
    /// Not what the type says.
    #[error("the manifest is malformed: {0}")]
    Malformed(String),
    /// A digest of another algorithm.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl Manifest {
    /// Reads a manifest. `declared` is the content type it came with; without one the manifest's own
    /// `mediaType` counts, and without that its shape.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Self, ManifestError> {
        let malformed = |error: &dyn std::fmt::Display| ManifestError::Malformed(error.to_string());
        let probe: Probe = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        let media_type = match (declared, probe.media_type) {
            (Some(declared), Some(own)) if declared != own => {
                return Err(ManifestError::Malformed(format!(
                    "it was sent as '{declared}' but says '{own}'"
                )));
            }
            (Some(declared), _) => declared.to_owned(),
            (None, Some(own)) => own,
            (None, None) if probe.manifests.is_some() => OCI_INDEX.to_owned(),
            (None, None) => OCI_MANIFEST.to_owned(),
        };
        match media_type.as_str() {
            DOCKER_MANIFEST | OCI_MANIFEST => {
                let manifest = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
                image(media_type, &manifest)
            }
            DOCKER_LIST | OCI_INDEX => {
                let index = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
                index_of(media_type, &index)
            }
            _ => Err(ManifestError::UnknownType(media_type)),
        }
    }

    /// What ECR calls the image's size: its compressed layers, in bytes.
    pub fn image_size(&self) -> Option<u64> {
        match &self.content {
            Content::Image { layers, .. } => Some(layers.iter().map(|layer| layer.size).sum()),
            Content::Index(_) => None,
        }
    }

    /// Every blob that must be in the repository before this manifest.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let (config, layers) = match &self.content {
            Content::Image { config, layers } => (Some(config), layers.as_slice()),
            Content::Index(_) => (None, [].as_slice()),
        };
        config.into_iter().chain(layers).filter(|part| !part.foreign)
    }

    /// The manifests an index lists; none for an image.
    pub fn children(&self) -> &[Child] {
        match &self.content {
            Content::Image { .. } => &[],
            Content::Index(children) => children,
        }
    }
}

/// Whether an image of an index runs here. Containers are Linux everywhere, also behind Docker on
/// other systems.
pub fn matches_this_machine(child: &Child) -> bool {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    child.os.as_deref() == Some("linux") && child.architecture.as_deref() == Some(architecture)
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
}

fn image(media_type: String, manifest: &ImageManifest) -> Result<Manifest, ManifestError> {
    let config = part(manifest.config())?;
    let layers = manifest.layers().iter().map(part).collect::<Result<_, _>>()?;
    let artifact_type = manifest.artifact_type().as_ref().map(ToString::to_string);
    Ok(Manifest {
        media_type,
        subject: manifest.subject().as_ref().map(digest).transpose()?,
        artifact_type: artifact_type.or_else(|| Some(config.media_type.clone())),
        content: Content::Image { config, layers },
    })
}

fn index_of(media_type: String, index: &ImageIndex) -> Result<Manifest, ManifestError> {
    let child = |descriptor: &Descriptor| {
        let platform = descriptor.platform().as_ref();
        Ok(Child {
            digest: digest(descriptor)?,
            os: platform.map(|platform| platform.os().to_string()),
            architecture: platform.map(|platform| platform.architecture().to_string()),
        })
    };
    let children = index.manifests().iter().map(child).collect::<Result<_, ManifestError>>()?;
    Ok(Manifest {
        media_type,
        subject: index.subject().as_ref().map(digest).transpose()?,
        artifact_type: index.artifact_type().as_ref().map(ToString::to_string),
        content: Content::Index(children),
    })
}

fn part(descriptor: &Descriptor) -> Result<Part, ManifestError> {
    let media_type = descriptor.media_type().to_string();
    let foreign = media_type.contains("foreign") || media_type.contains("nondistributable");
    Ok(Part { digest: digest(descriptor)?, media_type, size: descriptor.size(), foreign })
}

fn digest(descriptor: &Descriptor) -> Result<Digest, ManifestError> {
    Ok(descriptor.digest().to_string().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(text: &str) -> serde_json::Value {
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": Digest::of(text.as_bytes()).as_str(),
            "size": text.len(),
        })
    }

    fn bytes(value: &serde_json::Value) -> Vec<u8> {
        serde_json::to_vec(value).unwrap()
    }

    #[test]
    fn reads_images_and_indexes() {
        let image = bytes(&serde_json::json!({
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
            "config": blob("config"), "layers": [blob("one"), blob("three")],
        }));
        let manifest = Manifest::parse(&image, Some(DOCKER_MANIFEST)).unwrap();
        assert_eq!(manifest.image_size(), Some(8));
        assert_eq!(manifest.parts().count(), 3);
        let index = bytes(&serde_json::json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": OCI_MANIFEST, "digest": Digest::of(&image).as_str(), "size": 1,
                "platform": {"os": "linux", "architecture": "amd64"},
            }],
        }));
        let manifest = Manifest::parse(&index, None).unwrap();
        assert_eq!(manifest.media_type, OCI_INDEX);
        assert_eq!(manifest.children()[0].architecture.as_deref(), Some("amd64"));
    }

    #[test]
    fn refuses_what_it_cannot_serve() {
        let error =
            |text: &str, declared| Manifest::parse(text.as_bytes(), declared).unwrap_err().to_string();
        insta::assert_snapshot!(error("{", None), @"the manifest is malformed: EOF while parsing an object at line 1 column 1");
        insta::assert_snapshot!(
            error("{}", Some("application/json")),
            @"manifests of type 'application/json' are not supported; push an OCI or Docker schema 2 image"
        );
        insta::assert_snapshot!(
            error(r#"{"mediaType":"a/b"}"#, Some(OCI_INDEX)),
            @"the manifest is malformed: it was sent as 'application/vnd.oci.image.index.v1+json' but says 'a/b'"
        );
    }
}
