//! The stage `uses = "image"`: builds a container image and pushes it to ECR.
//!
//! An image is known by the fingerprint of what it is made of ([`ImageInputs`]): it is pushed under
//! the tag `pipeline-<fingerprint>`, so a plan finds out by one read whether there is anything to
//! build. What was pushed is pinned by its digest from there on. Images are never deleted, not even
//! by a rollback: an image that nobody runs does no harm, and the repository's lifecycle policy
//! removes it in time.
//!
//! There are two builders with the same result: the Docker daemon's BuildKit, and one that assembles
//! the image without a daemon from a Dockerfile that needs no `RUN`.

#![warn(missing_docs)]

mod building;
mod compile;
mod context;
mod copy;
mod docker;
mod dockerfile;
mod embedded;
mod ignorefile;
mod image;
mod inputs;
mod planning;
mod program;
mod recipe;
mod registry;
mod rehearsal;
mod repository;
mod stage;
mod trace;
mod tree;
mod words;

use std::sync::Arc;

use pipeline_aws::Aws;
use pipeline_sdk::{Manifest, StageKind};

pub use inputs::{Builder, ImageInputs, ImageOutputs, Platform};

/// The stage kind `image`, working through `aws`.
pub fn kind(aws: Arc<Aws>) -> StageKind {
    StageKind {
        manifest: Manifest::of::<ImageInputs, ImageOutputs>(
            "image",
            "Builds a container image and pushes it to ECR, pinned by its digest",
        ),
        stage: Arc::new(stage::ImageStage { aws }),
    }
}
