//! Manifests, tags and referrers.

use axum::body::Body;
use http::{HeaderName, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::json;

use super::problem::Problem;
use super::{Answer, CONTENT_DIGEST, Call, Digest, ManifestRecord, NewImage, Reference, empty, with};
use crate::image::manifest::{DOCKER_LIST, LARGEST_MANIFEST, Manifest, OCI_INDEX, matches_this_machine};

impl Call<'_> {
    /// `GET` or `HEAD` of a manifest by tag or digest.
    pub(super) async fn read_manifest(&self, reference: &Reference) -> Answer {
        let record = self.record(reference)?;
        let record = self.acceptable(record, reference)?;
        let response = if self.request.method == http::Method::HEAD {
            empty(StatusCode::OK)
        } else {
            Response::new(Body::from(self.manifest_bytes(&record)?))
        };
        let response = with(response, header::CONTENT_TYPE, &record.media_type);
        let response = with(response, header::CONTENT_LENGTH, record.length);
        Ok(with(response, CONTENT_DIGEST, &record.digest))
    }

    fn record(&self, reference: &Reference) -> Result<ManifestRecord, Problem> {
        let found = self.registry.repositories.resolve(&self.scope, &self.repository, reference)?;
        found.ok_or_else(Problem::manifest_unknown)
    }

    fn manifest_bytes(&self, record: &ManifestRecord) -> Result<Vec<u8>, Problem> {
        let read = self.registry.store.read(&record.digest, LARGEST_MANIFEST);
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Problem::manifest_unknown(),
            _ => Problem::internal(&error),
        })
    }

    /// The manifest itself if the client takes its type. A client that asks for a tag and knows no
    /// indexes gets the image for this machine's platform instead.
    fn acceptable(&self, record: ManifestRecord, reference: &Reference) -> Result<ManifestRecord, Problem> {
        if self.accepts(&record.media_type) {
            return Ok(record);
        }
        let is_index = [DOCKER_LIST, OCI_INDEX].contains(&record.media_type.as_str());
        if is_index && matches!(reference, Reference::Tag(_)) {
            let bytes = self.manifest_bytes(&record)?;
            let index = Manifest::parse(&bytes, Some(&record.media_type))
                .map_err(|error| Problem::manifest_invalid(error.to_string()))?;
            let child = index.children().iter().find(|child| matches_this_machine(child));
            if let Some(child) = child {
                let image = self.record(&Reference::Digest(child.digest.clone()))?;
                if self.accepts(&image.media_type) {
                    return Ok(image);
                }
            }
        }
        Err(Problem::manifest_unknown())
    }

    /// Whether the client takes `media_type`. One that does not say takes everything.
    fn accepts(&self, media_type: &str) -> bool {
        let mut values = self.request.headers.get_all(header::ACCEPT).iter().peekable();
        if values.peek().is_none() {
            return true;
        }
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut types = texts
            .flat_map(|text| text.split(','))
            .map(|item| item.split_once(';').map_or(item, |(media_type, _)| media_type).trim());
        types.any(|accepted| matches!(accepted, "*/*" | "application/*") || accepted == media_type)
    }

    /// `PUT` of a manifest by tag or digest.
    pub(super) async fn put_manifest(&self, reference: Reference, body: Body) -> Answer {
        let declared = self.declared_type()?;
        let limit = usize::try_from(LARGEST_MANIFEST).unwrap_or(usize::MAX);
        let collected = Limited::new(body, limit).collect().await;
        let bytes = collected.map_err(|error| Problem::manifest_invalid(error.to_string()))?.to_bytes();
        let manifest = Manifest::parse(&bytes, declared.as_deref())
            .map_err(|error| Problem::manifest_invalid(error.to_string()))?;
        let digest = Digest::of(&bytes);
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(given) if given == digest => None,
            Reference::Digest(given) => {
                return Err(Problem::digest_invalid(format!(
                    "the manifest has digest {digest}, not {given}"
                )));
            }
        };
        self.check_parts(&manifest)?;
        let store = self.registry.store.clone();
        let length = bytes.len() as u64;
        tokio::task::spawn_blocking(move || store.insert(&bytes))
            .await
            .map_err(|error| Problem::internal(&error))?
            .map_err(|error| Problem::internal(&error))?;
        let subject = manifest.subject.clone();
        let image = NewImage::new(&manifest, digest.clone(), length, tag);
        self.registry.repositories.put_image(&self.scope, &self.repository, image)?;
        let location = format!("/v2/{}/manifests/{digest}", self.repository);
        let response = with(empty(StatusCode::CREATED), header::LOCATION, location);
        let response = with(response, CONTENT_DIGEST, &digest);
        Ok(match subject {
            Some(subject) => with(response, HeaderName::from_static("oci-subject"), subject),
            None => response,
        })
    }

    /// The content type. ECR refuses one with parameters.
    fn declared_type(&self) -> Result<Option<String>, Problem> {
        match self.header(header::CONTENT_TYPE) {
            Some(text) if text.contains(';') => Err(Problem::unsupported(format!(
                "Invalid parameter at 'ImageManifestMediaType': '{text}' must be a media type without parameters"
            ))),
            other => Ok(other.map(str::to_owned)),
        }
    }

    /// Everything a manifest names must have been pushed to its repository before.
    fn check_parts(&self, manifest: &Manifest) -> Result<(), Problem> {
        let repositories = &self.registry.repositories;
        let has = |digest: &Digest| {
            repositories.has_blob(&self.scope, &self.repository, digest)
                && self.registry.store.size(digest).is_some()
        };
        let missing: Vec<&Digest> =
            manifest.parts().map(|part| &part.digest).filter(|digest| !has(digest)).collect();
        if !missing.is_empty() {
            return Err(Problem::parts_missing("Layers", &missing, &self.repository, &self.scope.account));
        }
        let mut missing = Vec::new();
        for child in manifest.children() {
            let reference = Reference::Digest(child.digest.clone());
            if repositories.resolve(&self.scope, &self.repository, &reference)?.is_none() {
                missing.push(&child.digest);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Problem::parts_missing("Images", &missing, &self.repository, &self.scope.account))
    }

    /// `DELETE` of a tag or of a manifest with its tags.
    pub(super) fn delete_manifest(&self, reference: &Reference) -> Answer {
        if self.registry.repositories.delete(&self.scope, &self.repository, reference)? {
            return Ok(empty(StatusCode::ACCEPTED));
        }
        Err(Problem::manifest_unknown())
    }

    /// `GET …/tags/list`, in pages if the client asks for them.
    pub(super) fn list_tags(&self) -> Answer {
        let mut tags = self.registry.repositories.tags(&self.scope, &self.repository)?;
        if let Some(last) = self.parameter("last") {
            tags.retain(|tag| *tag > last);
        }
        let wanted = self.parameter("n").and_then(|n| n.parse::<usize>().ok());
        let cut = wanted.is_some_and(|wanted| wanted < tags.len());
        tags.truncate(wanted.unwrap_or(usize::MAX));
        let next = tags.last().filter(|_| cut).map(|last| {
            let n = wanted.unwrap_or_default();
            format!("</v2/{}/tags/list?n={n}&last={last}>; rel=\"next\"", self.repository)
        });
        let response = json_response(&json!({ "name": self.repository, "tags": tags }), "application/json");
        Ok(match next {
            Some(next) => with(response, header::LINK, next),
            None => response,
        })
    }

    /// `GET …/referrers/<digest>`.
    pub(super) fn referrers(&self, subject: &Digest) -> Answer {
        let wanted = self.parameter("artifactType");
        let found = self.registry.repositories.referrers(&self.scope, &self.repository, subject)?;
        let manifests: Vec<_> = found
            .into_iter()
            .filter(|(_, kind)| wanted.is_none() || *kind == wanted)
            .map(|(record, kind)| {
                json!({
                    "mediaType": record.media_type, "digest": record.digest, "size": record.length,
                    "artifactType": kind,
                })
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
        let response = json_response(&index, OCI_INDEX);
        Ok(match wanted {
            Some(_) => with(response, HeaderName::from_static("oci-filters-applied"), "artifactType"),
            None => response,
        })
    }
}

fn json_response(value: &serde_json::Value, media_type: &str) -> Response<Body> {
    with(Response::new(Body::from(value.to_string())), header::CONTENT_TYPE, media_type)
}
