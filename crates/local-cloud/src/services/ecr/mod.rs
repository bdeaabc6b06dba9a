//! Amazon Elastic Container Registry: repositories, images, tokens.
//!
//! Bytes of layers are in the data plane's blob store; the state here says what belongs to which
//! repository. The OCI registry asks it through [`registry::WorldRepositories`], so a `docker push`
//! and these calls see one truth.
//! Source: docs.aws.amazon.com/AmazonECR/latest/APIReference

mod errors;
mod images;
mod input;
mod layers;
mod lifecycle;
mod policies;
mod previews;
mod registry;
mod repositories;
mod scans;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod token;

use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};

pub(crate) use registry::WorldRepositories;
pub(crate) use state::EcrState;

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "CreateRepository" => repositories::create(call, input.parse()?),
        "DescribeRepositories" => repositories::describe(call, &input.parse()?),
        "DeleteRepository" => repositories::delete(call, &input.parse()?),
        "PutImageTagMutability" => repositories::put_mutability(call, input.parse()?),
        "PutImageScanningConfiguration" => repositories::put_scanning(call, input.parse()?),
        "DescribeRegistry" => settings::describe(call),
        "PutRegistryPolicy" => settings::put_policy(call, input.parse()?),
        "GetRegistryPolicy" => settings::get_policy(call),
        "DeleteRegistryPolicy" => settings::delete_policy(call),
        "PutReplicationConfiguration" => settings::put_replication(call, &input.parse()?),
        "PutRegistryScanningConfiguration" => settings::put_scanning(call, input.parse()?),
        "GetRegistryScanningConfiguration" => settings::get_scanning(call),
        "BatchGetRepositoryScanningConfiguration" => settings::batch_get_scanning(call, &input.parse()?),
        "ListTagsForResource" => repositories::list_tags(call, &input.parse()?),
        "TagResource" => repositories::tag(call, &input.parse()?),
        "UntagResource" => repositories::untag(call, &input.parse()?),
        "PutLifecyclePolicy" => policies::put_lifecycle(call, input.parse()?),
        "GetLifecyclePolicy" => policies::get_lifecycle(call, &input.parse()?),
        "DeleteLifecyclePolicy" => policies::delete_lifecycle(call, &input.parse()?),
        "StartLifecyclePolicyPreview" => previews::start(call, &input.parse()?),
        "GetLifecyclePolicyPreview" => previews::get(call, &input.parse()?),
        "SetRepositoryPolicy" => policies::set(call, input.parse()?),
        "GetRepositoryPolicy" => policies::get(call, &input.parse()?),
        "DeleteRepositoryPolicy" => policies::delete(call, &input.parse()?),
        "DescribeImages" => images::describe(call, &input.parse()?),
        "ListImages" => images::list(call, &input.parse()?),
        "BatchGetImage" => images::batch_get(call, &input.parse()?),
        "BatchDeleteImage" => images::batch_delete(call, &input.parse()?),
        "PutImage" => images::put(call, input.parse()?),
        "BatchCheckLayerAvailability" => layers::batch_check(call, &input.parse()?),
        "InitiateLayerUpload" => layers::initiate(call, &input.parse()?),
        "UploadLayerPart" => layers::upload_part(call, &input.parse()?),
        "CompleteLayerUpload" => layers::complete(call, &input.parse()?),
        "GetDownloadUrlForLayer" => layers::download_url(call, &input.parse()?),
        "StartImageScan" => scans::start(call, &input.parse()?),
        "DescribeImageScanFindings" => scans::describe(call, &input.parse()?),
        "GetAuthorizationToken" => token::get(call),
        _ => Err(missing(Service::Ecr, operation)),
    }
}
