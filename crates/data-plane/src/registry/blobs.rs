//! Blobs: reading them whole or in part, and the three ways to upload one.

use std::io::{Seek as _, SeekFrom};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderName, Response, StatusCode, header};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::path::parse_digest;
use super::problem::Problem;
use super::{Answer, CONTENT_DIGEST, Call, Digest, empty, with};

/// Bytes are handed to the disk in pieces of about this size.
const PIECE: usize = 1 << 20;

impl Call<'_> {
    /// `GET` or `HEAD` of a blob.
    pub(super) async fn read_blob(&self, digest: &Digest) -> Answer {
        let registry = self.registry;
        if !registry.repositories.has_blob(&self.scope, &self.repository, digest) {
            return Err(Problem::blob_unknown());
        }
        let size = registry.store.size(digest).ok_or_else(Problem::blob_unknown)?;
        let range = match self.header(header::RANGE) {
            Some(text) => wanted_range(text, size)?,
            None => None,
        };
        let (status, (first, length)) = match range {
            Some((first, last)) => (StatusCode::PARTIAL_CONTENT, (first, last - first + 1)),
            None => (StatusCode::OK, (0, size)),
        };
        let mut response = if self.request.method == http::Method::HEAD {
            empty(status)
        } else {
            let body = self.open(digest, first, length).map_err(|error| Problem::internal(&error))?;
            let mut response = Response::new(body);
            *response.status_mut() = status;
            response
        };
        response = with(response, header::CONTENT_LENGTH, length);
        response = with(response, header::CONTENT_TYPE, "application/octet-stream");
        response = with(response, header::ACCEPT_RANGES, "bytes");
        if status == StatusCode::PARTIAL_CONTENT {
            let last = first + length - 1;
            response = with(response, header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
        }
        Ok(with(response, CONTENT_DIGEST, digest))
    }

    fn open(&self, digest: &Digest, first: u64, length: u64) -> std::io::Result<Body> {
        let mut file = self.registry.store.reader(digest)?;
        file.seek(SeekFrom::Start(first))?;
        let reader = tokio::fs::File::from_std(file).take(length);
        Ok(Body::from_stream(ReaderStream::with_capacity(reader, 64 << 10)))
    }

    /// `POST …/blobs/uploads/`: mounts, takes a whole blob, or opens an upload.
    pub(super) async fn begin_upload(&self, body: Body) -> Answer {
        if let Some(mount) = self.parameter("mount")
            && let Ok(digest) = mount.parse::<Digest>()
            && self.can_mount(&digest)
        {
            self.registry.repositories.add_blob(&self.scope, &self.repository, &digest)?;
            return Ok(self.created(&digest));
        }
        let id = self.registry.uploads.begin(&self.scope, &self.repository)?;
        if let Some(digest) = self.parameter("digest") {
            let digest = parse_digest(&digest)?;
            self.receive(id, None, body).await?;
            return self.complete(id, digest).await;
        }
        Ok(self.upload_response(StatusCode::ACCEPTED, id, 0))
    }

    /// A blob can be mounted from a repository of the same account and region that has it.
    fn can_mount(&self, digest: &Digest) -> bool {
        let repositories = &self.registry.repositories;
        let held = match self.parameter("from") {
            Some(from) => repositories.has_blob(&self.scope, &from, digest),
            None => repositories.holds_blob(&self.scope, digest),
        };
        held && self.registry.store.size(digest).is_some()
    }

    /// `GET …/blobs/uploads/<id>`.
    pub(super) fn upload_status(&self, id: Uuid) -> Answer {
        let length = self.registry.uploads.length(&self.scope, &self.repository, id)?;
        Ok(self.upload_response(StatusCode::NO_CONTENT, id, length))
    }

    /// `PATCH …/blobs/uploads/<id>`: one chunk, or everything as a stream.
    pub(super) async fn append_upload(&self, id: Uuid, body: Body) -> Answer {
        let offset = self.chunk_offset()?;
        let length = self.receive(id, offset, body).await?;
        Ok(self.upload_response(StatusCode::ACCEPTED, id, length))
    }

    /// `PUT …/blobs/uploads/<id>?digest=…`, with the last chunk, everything, or nothing.
    pub(super) async fn finish_upload(&self, id: Uuid, body: Body) -> Answer {
        let text =
            self.parameter("digest").ok_or_else(|| Problem::digest_invalid("The digest is missing"))?;
        let digest = parse_digest(&text)?;
        let offset = self.chunk_offset()?;
        self.receive(id, offset, body).await?;
        self.complete(id, digest).await
    }

    /// `DELETE …/blobs/uploads/<id>`.
    pub(super) fn cancel_upload(&self, id: Uuid) -> Answer {
        self.registry.uploads.cancel(&self.scope, &self.repository, id)?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Where the chunk begins, by its `Content-Range: <first>-<last>`.
    fn chunk_offset(&self) -> Result<Option<u64>, Problem> {
        let Some(text) = self.header(header::CONTENT_RANGE) else { return Ok(None) };
        let range = text.trim_start_matches("bytes ").split_once('/').map_or(text, |(range, _)| range);
        let first =
            range.trim_start_matches("bytes ").split_once('-').and_then(|(first, _)| first.parse().ok());
        first.map(Some).ok_or_else(|| Problem::body(format!("'{text}' is not a range")))
    }

    /// Appends the body piece by piece; returns the upload's length. The offset is checked even
    /// when the body is empty.
    async fn receive(&self, id: Uuid, offset: Option<u64>, body: Body) -> Result<u64, Problem> {
        let mut next = offset;
        let mut length = self.append(id, next, Bytes::new()).await?;
        let mut stream = body.into_data_stream();
        let mut piece = BytesMut::new();
        while let Some(data) = stream.next().await {
            let data = data.map_err(|error| Problem::body(format!("the upload was cut off: {error}")))?;
            piece.extend_from_slice(&data);
            if piece.len() >= PIECE {
                length = self.append(id, next, piece.split().freeze()).await?;
                next = next.map(|_| length);
            }
        }
        if !piece.is_empty() {
            length = self.append(id, next, piece.freeze()).await?;
        }
        Ok(length)
    }

    async fn append(&self, id: Uuid, offset: Option<u64>, bytes: Bytes) -> Result<u64, Problem> {
        let (uploads, scope, repository) =
            (self.registry.uploads.clone(), self.scope.clone(), self.repository.clone());
        let append = move || uploads.append(&scope, &repository, id, offset, &bytes);
        let done = tokio::task::spawn_blocking(append).await.map_err(|error| Problem::internal(&error))?;
        Ok(done?)
    }

    async fn complete(&self, id: Uuid, digest: Digest) -> Answer {
        let (uploads, scope, repository) =
            (self.registry.uploads.clone(), self.scope.clone(), self.repository.clone());
        let expected = digest.clone();
        let finish = move || uploads.finish(&scope, &repository, id, &expected);
        let done = tokio::task::spawn_blocking(finish).await.map_err(|error| Problem::internal(&error))?;
        done?;
        self.registry.repositories.add_blob(&self.scope, &self.repository, &digest)?;
        Ok(self.created(&digest))
    }

    fn created(&self, digest: &Digest) -> Response<Body> {
        let location = format!("/v2/{}/blobs/{digest}", self.repository);
        with(with(empty(StatusCode::CREATED), header::LOCATION, location), CONTENT_DIGEST, digest)
    }

    fn upload_response(&self, status: StatusCode, id: Uuid, length: u64) -> Response<Body> {
        let location = format!("/v2/{}/blobs/uploads/{id}", self.repository);
        let response = with(empty(status), header::LOCATION, location);
        let response = with(response, header::RANGE, format!("0-{}", length.saturating_sub(1)));
        with(response, HeaderName::from_static("docker-upload-uuid"), id)
    }
}

/// First and last byte wanted; `None` for forms this registry does not serve in part (several
/// ranges, other units), which HTTP allows to be answered whole.
fn wanted_range(text: &str, size: u64) -> Result<Option<(u64, u64)>, Problem> {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(None);
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(size.saturating_sub(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, size.saturating_sub(1)),
        (Err(_), Ok(count)) if first.is_empty() && count > 0 => {
            (size.saturating_sub(count), size.saturating_sub(1))
        }
        _ => return Ok(None),
    };
    if range.0 >= size { Err(Problem::range(size)) } else { Ok(Some(range)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_http_has_them() {
        let range = |text| wanted_range(text, 10).ok().flatten();
        assert_eq!(range("bytes=0-3"), Some((0, 3)));
        assert_eq!(range("bytes=4-99"), Some((4, 9)));
        assert_eq!(range("bytes=4-"), Some((4, 9)));
        assert_eq!(range("bytes=-3"), Some((7, 9)));
        assert_eq!(range("bytes=0-1,3-4"), None);
        assert_eq!(range("lines=1-2"), None);
        assert!(wanted_range("bytes=10-", 10).is_err());
        assert!(wanted_range("bytes=0-", 0).is_err());
    }
}
