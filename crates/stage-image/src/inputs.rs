//! What the stage takes and what it gives.

use std::collections::BTreeMap;

use pipeline_sdk::{JsonSchema, Maybe};
use serde::{Deserialize, Serialize};

/// What an image is built from and where it is pushed to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageInputs {
    /// Build context: the folder whose files the Dockerfile can copy, relative to `pipeline.toml`.
    /// `.dockerignore` applies.
    #[serde(default = "default_context")]
    pub context: String,
    /// The Dockerfile, relative to the context.
    #[serde(default = "default_dockerfile")]
    pub dockerfile: String,
    /// Build arguments. `APP_NAME` and `ENVIRONMENT` are always there for a Dockerfile that declares
    /// them, and can be overridden. Not for secrets: they stay readable in the image's history.
    #[serde(default)]
    pub build_args: Maybe<BTreeMap<String, String>>,
    /// Image to build upon: becomes the build argument `PARENT_IMAGE`. Empty leaves the Dockerfile's
    /// default.
    #[serde(default)]
    pub parent_image: Maybe<String>,
    /// The ECR repository to push to, as the registry stage gives it:
    /// `123456789012.dkr.ecr.eu-central-1.amazonaws.com/hello`.
    pub repository_url: Maybe<String>,
    /// A tag to add beside the one computed from the content, such as `${{ git.sha }}`.
    #[serde(default)]
    pub tag: Option<Maybe<String>>,
    /// Operating system and processor of the image. Must match what the tasks run on.
    #[serde(default)]
    pub platform: Platform,
    /// The stage of a multi-stage Dockerfile to build; the last one unless given.
    #[serde(default)]
    pub target: Option<String>,
    /// What builds the image. `auto` takes the Docker daemon if one answers, else `embedded`.
    #[serde(default)]
    pub builder: Builder,
}

fn default_context() -> String {
    ".".to_owned()
}

fn default_dockerfile() -> String {
    "Dockerfile".to_owned()
}

/// What Fargate runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Platform {
    /// What Fargate runs unless a task definition says otherwise.
    #[default]
    #[serde(rename = "linux/amd64")]
    LinuxAmd64,
    /// Graviton.
    #[serde(rename = "linux/arm64")]
    LinuxArm64,
}

impl Platform {
    /// `linux/amd64` or `linux/arm64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "linux/amd64",
            Self::LinuxArm64 => "linux/arm64",
        }
    }

    /// The processor in Go's words, as images name it.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "amd64",
            Self::LinuxArm64 => "arm64",
        }
    }
}

/// What builds the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Builder {
    /// The Docker daemon if one answers, else the embedded builder.
    #[default]
    Auto,
    /// The Docker daemon (`DOCKER_HOST`, else the local socket).
    Docker,
    /// Assembles the image without a daemon, from a Dockerfile that needs no `RUN`.
    Embedded,
}

/// What other stages can refer to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageOutputs {
    /// The image pinned by its digest: `repository@sha256:…`.
    pub image: String,
    /// The digest of its manifest: `sha256:…`.
    pub digest: String,
    /// The tag it was pushed under: the one given, else the one computed from the content.
    pub tag: String,
    /// The repository it is in.
    pub repository_url: String,
    /// Its compressed size in bytes.
    pub size: u64,
}
