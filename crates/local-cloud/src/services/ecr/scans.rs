//! Image scans: they end at once and find nothing, since there is nothing here to find it with.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors;
use super::input::{ImageId, Name};
use super::state::Image;
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};
use pipeline_data_plane::image::Digest;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scan {
    #[serde(flatten)]
    name: Name,
    image_id: ImageId,
}

/// Status of a finished scan.
pub(super) fn complete() -> Value {
    json!({ "status": "COMPLETE", "description": "The scan was completed successfully." })
}

/// Findings in short.
pub(super) fn summary(at: EpochSeconds) -> Value {
    json!({ "imageScanCompletedAt": at, "vulnerabilitySourceUpdatedAt": at, "findingSeverityCounts": {} })
}

impl Scan {
    fn find<'a>(&self, call: &'a mut Call<'_>) -> Result<(Digest, &'a mut Image), ApiError> {
        let account = self.name.account(call);
        let repository = self.name.find(call)?;
        let missing = || errors::no_image(&account, &self.name.repository_name, &self.image_id.describe());
        let digest = self.image_id.resolve(repository).map_err(|_| missing())?;
        let image = repository.images.get_mut(&digest).ok_or_else(missing)?;
        Ok((digest, image))
    }

    fn answer(&self, account: &str, digest: &Digest, status: &Value) -> Value {
        json!({
            "registryId": account, "repositoryName": self.name.repository_name,
            "imageId": ImageId::of(digest, self.image_id.image_tag.as_deref()), "imageScanStatus": status,
        })
    }
}

pub(super) fn start(call: &mut Call<'_>, input: &Scan) -> Result<Output, ApiError> {
    let (account, now) = (input.name.account(call), call.now);
    let (digest, image) = input.find(call)?;
    // <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_StartImageScan.html>: once in 24 hours,
    // the scan on push included.
    if image.scanned_at.is_some_and(|at| now.duration_since(at) < SignedDuration::from_hours(24)) {
        let text = "The scan quota per image has been exceeded. Wait and try again.";
        return Err(ApiError::sender("LimitExceededException", text));
    }
    image.scanned_at = Some(now);
    Output::of(&input.answer(&account, &digest, &json!({ "status": "IN_PROGRESS" })))
}

pub(super) fn describe(call: &mut Call<'_>, input: &Scan) -> Result<Output, ApiError> {
    let account = input.name.account(call);
    let (digest, image) = input.find(call)?;
    let Some(at) = image.scanned_at else {
        let text = format!(
            "Image scan does not exist for the image with '{}' in the repository with name '{}' in the registry \
             with id '{account}'",
            input.image_id.describe(),
            input.name.repository_name
        );
        return Err(ApiError::sender("ScanNotFoundException", text));
    };
    let mut answer = input.answer(&account, &digest, &complete());
    let mut findings = summary(EpochSeconds(at));
    if let Some(findings) = findings.as_object_mut() {
        findings.insert("findings".to_owned(), json!([]));
    }
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("imageScanFindings".to_owned(), findings);
    }
    Output::of(&answer)
}
