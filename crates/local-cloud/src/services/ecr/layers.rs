//! Layers by call, as clients without the registry protocol push them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::errors;
use super::input::Name;
use super::token;
use crate::services::Call;
use crate::wire::{ApiError, Output};
use pipeline_data_plane::image::{Digest, UploadError};
use pipeline_data_plane::registry::{Scope, UploadProblem};

/// What ECR asks clients to send in one part, in bytes.
const PART_SIZE: u64 = 20 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layers {
    #[serde(flatten)]
    name: Name,
    layer_digests: Vec<String>,
}

pub(super) fn batch_check(call: &mut Call<'_>, input: &Layers) -> Result<Output, ApiError> {
    let store = call.settings.uploads.store().clone();
    let repository = input.name.find(call)?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in &input.layer_digests {
        let Ok(digest) = text.parse::<Digest>() else {
            failures.push(json!({
                "layerDigest": text, "failureCode": "InvalidLayerDigest",
                "failureReason": "Invalid request parameters: layer digest must be sha256",
            }));
            continue;
        };
        let size = store.size(&digest).filter(|_| repository.layers.contains(&digest));
        layers.push(json!({
            "layerDigest": digest, "layerSize": size,
            // Only a manifest says more; this is what docker pushes.
            "mediaType": size.map(|_| "application/vnd.docker.image.rootfs.diff.tar.gzip"),
            "layerAvailability": if size.is_some() { "AVAILABLE" } else { "UNAVAILABLE" },
        }));
    }
    Output::of(&json!({ "layers": layers, "failures": failures }))
}

fn scope(call: &Call<'_>, name: &Name) -> Scope {
    Scope::new(name.account(call), call.place.region.clone())
}

pub(super) fn initiate(call: &mut Call<'_>, input: &Name) -> Result<Output, ApiError> {
    let scope = scope(call, input);
    let name = input.find(call)?.name.clone();
    let id = call.settings.uploads.begin(&scope, &name).map_err(|error| problem(&error))?;
    Output::of(&json!({ "uploadId": id, "partSize": PART_SIZE }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    #[serde(flatten)]
    name: Name,
    upload_id: String,
    part_first_byte: u64,
    part_last_byte: u64,
    layer_part_blob: String,
}

pub(super) fn upload_part(call: &mut Call<'_>, input: &Part) -> Result<Output, ApiError> {
    let scope = scope(call, &input.name);
    let name = input.name.find(call)?.name.clone();
    let bytes = STANDARD
        .decode(&input.layer_part_blob)
        .map_err(|_| errors::invalid("layerPartBlob", "must be base64"))?;
    let announced = (input.part_last_byte + 1).checked_sub(input.part_first_byte);
    if announced != Some(bytes.len() as u64) {
        return Err(errors::invalid("partLastByte", "must match the length of the layer part"));
    }
    let id = upload_id(&input.upload_id);
    let uploads = &call.settings.uploads;
    let length = uploads.append(&scope, &name, id, Some(input.part_first_byte), &bytes);
    let length = length.map_err(|error| match error {
        UploadProblem::OutOfOrder { expected, .. } => problem(&error)
            .with_field("registryId", json!(scope.account))
            .with_field("repositoryName", json!(name))
            .with_field("uploadId", json!(input.upload_id))
            .with_field("lastValidByteReceived", json!(expected.saturating_sub(1))),
        error => problem(&error),
    })?;
    Output::of(&json!({
        "registryId": scope.account, "repositoryName": name, "uploadId": input.upload_id,
        "lastByteReceived": length.saturating_sub(1),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Complete {
    #[serde(flatten)]
    name: Name,
    upload_id: String,
    layer_digests: Vec<String>,
}

pub(super) fn complete(call: &mut Call<'_>, input: &Complete) -> Result<Output, ApiError> {
    let scope = scope(call, &input.name);
    let name = input.name.find(call)?.name.clone();
    let digest = input.layer_digests.first().and_then(|text| text.parse::<Digest>().ok());
    let digest = digest.ok_or_else(|| errors::invalid("layerDigests", "must contain one sha256 digest"))?;
    let id = upload_id(&input.upload_id);
    let uploads = &call.settings.uploads;
    if uploads.length(&scope, &name, id).map_err(|error| problem(&error))? == 0 {
        let text = format!("The upload '{id}' does not contain any layer parts");
        return Err(ApiError::sender("EmptyUploadException", text));
    }
    uploads.finish(&scope, &name, id, &digest).map_err(|error| problem(&error))?;
    let added = input.name.find(call)?.layers.insert(digest.clone());
    if !added {
        let text = format!(
            "Layer with digest '{digest}' already exists in the repository with name '{name}' in the registry with \
             id '{}'",
            scope.account
        );
        return Err(ApiError::sender("LayerAlreadyExistsException", text));
    }
    Output::of(&json!({
        "registryId": scope.account, "repositoryName": name, "uploadId": input.upload_id, "layerDigest": digest,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Download {
    #[serde(flatten)]
    name: Name,
    layer_digest: String,
}

/// A URL of the cloud's own registry; it carries the credentials that this needs, for an hour.
pub(super) fn download_url(call: &mut Call<'_>, input: &Download) -> Result<Output, ApiError> {
    let scope = scope(call, &input.name);
    let repository = input.name.find(call)?;
    let name = repository.name.clone();
    let known = input.layer_digest.parse().is_ok_and(|digest: Digest| repository.layers.contains(&digest));
    if !known {
        let text = format!(
            "Layer with digest '{}' is not available in the repository with name '{name}' in the registry with id \
             '{}'",
            input.layer_digest, scope.account
        );
        return Err(ApiError::sender("LayersNotFoundException", text));
    }
    let password = token::short_lived(&scope, call.now)?;
    let password = utf8_percent_encode(&password, NON_ALPHANUMERIC);
    let url =
        format!("http://AWS:{password}@{}/v2/{name}/blobs/{}", call.settings.endpoint, input.layer_digest);
    Output::of(&json!({ "downloadUrl": url, "layerDigest": input.layer_digest }))
}

/// An id that is none of ours is as unknown as the nil one, which is never given out.
fn upload_id(text: &str) -> Uuid {
    text.parse().unwrap_or(Uuid::nil())
}

fn problem(problem: &UploadProblem) -> ApiError {
    let code = match problem {
        UploadProblem::Unknown => "UploadNotFoundException",
        UploadProblem::OutOfOrder { .. } => "InvalidLayerPartException",
        UploadProblem::Failed(UploadError::Mismatch { .. }) => "InvalidLayerException",
        UploadProblem::Failed(UploadError::Io(_)) => {
            return ApiError::receiver("ServerException", problem.to_string());
        }
    };
    ApiError::sender(code, problem.to_string())
}
