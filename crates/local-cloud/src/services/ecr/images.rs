//! Images: showing, listing, fetching, deleting, and putting manifests by call.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::errors;
use super::input::{Failure, ImageId, Name, Page};
use super::registry;
use super::scans;
use super::state::Repository;
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};
use pipeline_data_plane::image::Digest;
use pipeline_data_plane::image::manifest::{LARGEST_MANIFEST, Manifest};
use pipeline_data_plane::registry::NewImage;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listing {
    #[serde(flatten)]
    pub(super) name: Name,
    pub(super) image_ids: Option<Vec<ImageId>>,
    #[serde(default)]
    pub(super) filter: Filter,
    #[serde(flatten)]
    pub(super) page: Page,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    tag_status: Option<String>,
}

impl Filter {
    pub(super) fn takes(&self, tagged: bool) -> bool {
        match self.tag_status.as_deref() {
            Some("TAGGED") => tagged,
            Some("UNTAGGED") => !tagged,
            _ => true,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    registry_id: String,
    repository_name: String,
    image_digest: Digest,
    image_tags: Option<Vec<String>>,
    image_size_in_bytes: Option<u64>,
    image_pushed_at: EpochSeconds,
    image_manifest_media_type: String,
    artifact_media_type: Option<String>,
    image_scan_status: Option<Value>,
    image_scan_findings_summary: Option<Value>,
}

impl Detail {
    fn of(account: &str, repository: &Repository, digest: &Digest) -> Option<Self> {
        let image = repository.images.get(digest)?;
        let scanned = image.scanned_at.map(EpochSeconds);
        Some(Self {
            registry_id: account.to_owned(),
            repository_name: repository.name.clone(),
            image_digest: digest.clone(),
            image_tags: Some(repository.tags_of(digest)).filter(|tags| !tags.is_empty()),
            image_size_in_bytes: image.image_size,
            image_pushed_at: EpochSeconds(image.pushed_at),
            image_manifest_media_type: image.media_type.clone(),
            artifact_media_type: image.artifact_type.clone(),
            image_scan_status: scanned.map(|_| scans::complete()),
            image_scan_findings_summary: scanned.map(scans::summary),
        })
    }
}

pub(super) fn describe(call: &mut Call<'_>, input: &Listing) -> Result<Output, ApiError> {
    let account = input.name.account(call);
    let repository = input.name.find(call)?;
    let wanted: Vec<Digest> = match &input.image_ids {
        Some(ids) => {
            let mut wanted = Vec::new();
            for id in ids {
                let digest = id
                    .resolve(repository)
                    .map_err(|_| errors::no_image(&account, &repository.name, &id.describe()))?;
                if !wanted.contains(&digest) {
                    wanted.push(digest);
                }
            }
            wanted
        }
        None => repository.images.keys().cloned().collect(),
    };
    let details = wanted.iter().filter_map(|digest| Detail::of(&account, repository, digest));
    let details = details.filter(|detail| input.filter.takes(detail.image_tags.is_some())).collect();
    let (details, next_token) = input.page.of(details)?;
    Output::of(&json!({ "imageDetails": details, "nextToken": next_token }))
}

pub(super) fn list(call: &mut Call<'_>, input: &Listing) -> Result<Output, ApiError> {
    let repository = input.name.find(call)?;
    let mut ids = Vec::new();
    for digest in repository.images.keys() {
        let tags = repository.tags_of(digest);
        if tags.is_empty() && input.filter.takes(false) {
            ids.push(ImageId::of(digest, None));
        }
        if input.filter.takes(true) {
            ids.extend(tags.iter().map(|tag| ImageId::of(digest, Some(tag))));
        }
    }
    let (ids, next_token) = input.page.of(ids)?;
    Output::of(&json!({ "imageIds": ids, "nextToken": next_token }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    #[serde(flatten)]
    name: Name,
    image_ids: Vec<ImageId>,
}

pub(super) fn batch_get(call: &mut Call<'_>, input: &Batch) -> Result<Output, ApiError> {
    let account = input.name.account(call);
    let store = call.settings.uploads.store().clone();
    let repository = input.name.find(call)?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in &input.image_ids {
        let digest = match id.resolve(repository) {
            Ok(digest) => digest,
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        let bytes = store.read(&digest, LARGEST_MANIFEST);
        let bytes = bytes.map_err(|error| ApiError::receiver("ServerException", error.to_string()))?;
        images.push(json!({
            "registryId": account, "repositoryName": repository.name,
            "imageId": ImageId::of(&digest, id.image_tag.as_deref()),
            "imageManifest": String::from_utf8_lossy(&bytes),
            "imageManifestMediaType": repository.images.get(&digest).map(|image| &image.media_type),
        }));
    }
    Output::of(&json!({ "images": images, "failures": failures }))
}

/// A tag alone removes that tag, and the image with its last one; a digest removes the image.
pub(super) fn batch_delete(call: &mut Call<'_>, input: &Batch) -> Result<Output, ApiError> {
    let repository = input.name.find(call)?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    let going: BTreeSet<Digest> =
        input.image_ids.iter().filter_map(|id| id.resolve(repository).ok()).collect();
    for id in &input.image_ids {
        let digest = match id.resolve(repository) {
            Ok(digest) => digest,
            // Named twice in one call, by tag and by digest.
            Err(_) if deleted.iter().any(|other: &ImageId| other.image_digest == id.image_digest) => continue,
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        let tags = repository.tags_of(&digest);
        if let (Some(tag), None, true) = (&id.image_tag, &id.image_digest, tags.len() > 1) {
            repository.image_tags.remove(tag);
            deleted.push(ImageId::of(&digest, Some(tag)));
            continue;
        }
        let parents: Vec<&Digest> =
            repository.parents_of(&digest).into_iter().filter(|parent| !going.contains(parent)).collect();
        if !parents.is_empty() {
            let list: Vec<&str> = parents.iter().map(|parent| parent.as_str()).collect();
            failures.push(Failure {
                image_id: id.clone(),
                failure_code: "ImageReferencedByManifestList",
                failure_reason: format!("Requested image referenced by manifest list: [{}]", list.join(", ")),
            });
            continue;
        }
        repository.remove_image(&digest);
        if tags.is_empty() {
            deleted.push(ImageId::of(&digest, None));
        }
        deleted.extend(tags.iter().map(|tag| ImageId::of(&digest, Some(tag))));
    }
    Output::of(&json!({ "imageIds": deleted, "failures": failures }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Put {
    #[serde(flatten)]
    name: Name,
    image_manifest: String,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

pub(super) fn put(call: &mut Call<'_>, input: Put) -> Result<Output, ApiError> {
    let account = input.name.account(call);
    let (store, now) = (call.settings.uploads.store().clone(), call.now);
    let bytes = input.image_manifest.as_bytes();
    if input.image_manifest_media_type.is_none() && !says_its_type(bytes) {
        let text = "image manifest mediatype not provided in manifest or parameter";
        return Err(ApiError::sender("InvalidParameterException", text));
    }
    // A cloud that is inert takes images as records: nothing ever runs them.
    let needs_parts = !call.settings.inert;
    let manifest = Manifest::parse(bytes, input.image_manifest_media_type.as_deref())
        .map_err(|error| errors::invalid("ImageManifest", &error.to_string()))?;
    let digest = Digest::of(bytes);
    if input.image_digest.as_ref().is_some_and(|given| *given != digest.as_str()) {
        let text = format!("The provided digest does not match the image's digest '{digest}'");
        return Err(ApiError::sender("ImageDigestDoesNotMatchException", text));
    }
    let repository = input.name.find(call)?;
    if needs_parts {
        check_parts(&account, repository, &manifest)?;
    }
    check_new(&account, repository, &digest, input.image_tag.as_deref())?;
    store.insert(bytes).map_err(|error| ApiError::receiver("ServerException", error.to_string()))?;
    let new = NewImage::new(&manifest, digest.clone(), bytes.len() as u64, input.image_tag.clone());
    registry::add(repository, new, now)
        .map_err(|refusal| ApiError::sender("ImageTagAlreadyExistsException", refusal.to_string()))?;
    Output::of(&json!({ "image": {
        "registryId": account, "repositoryName": repository.name,
        "imageId": ImageId::of(&digest, input.image_tag.as_deref()),
        "imageManifest": input.image_manifest, "imageManifestMediaType": manifest.media_type,
    }}))
}

fn says_its_type(manifest: &[u8]) -> bool {
    let manifest: Result<Value, _> = serde_json::from_slice(manifest);
    // What is no JSON has another error.
    manifest.map_or(true, |manifest| manifest.get("mediaType").is_some())
}

fn check_parts(account: &str, repository: &Repository, manifest: &Manifest) -> Result<(), ApiError> {
    let layers =
        manifest.parts().map(|part| &part.digest).filter(|digest| !repository.layers.contains(digest));
    let layers: Vec<&str> = layers.map(Digest::as_str).collect();
    let images = manifest.children().iter().map(|child| &child.digest);
    let images: Vec<&str> =
        images.filter(|digest| !repository.images.contains_key(digest)).map(Digest::as_str).collect();
    for (code, what, missing) in [
        ("LayersNotFoundException", "Layers", layers),
        ("ReferencedImagesNotFoundException", "Images", images),
    ] {
        if !missing.is_empty() {
            let text = format!(
                "{what} with digests '[{}]' required for pushing image into repository with name '{}' in the \
                 registry with id '{account}' do not exist",
                missing.join(", "),
                repository.name
            );
            return Err(ApiError::sender(code, text));
        }
    }
    Ok(())
}

/// Unlike a push, this call refuses to put what is there already.
fn check_new(
    account: &str,
    repository: &Repository,
    digest: &Digest,
    tag: Option<&str>,
) -> Result<(), ApiError> {
    let known = repository.images.contains_key(digest);
    let same = match tag {
        Some(tag) => repository.image_tags.get(tag) == Some(digest),
        None => true,
    };
    if !known || !same {
        return Ok(());
    }
    let tag = tag.unwrap_or("null");
    let text = format!(
        "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{}' in registry \
         with id '{account}'",
        repository.name
    );
    Err(ApiError::sender("ImageAlreadyExistsException", text))
}
