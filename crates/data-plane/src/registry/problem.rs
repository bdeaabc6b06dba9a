//! The registry's errors: codes of the OCI distribution specification, texts of ECR.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::uploads::UploadProblem;
use super::{Digest, Refusal};
use crate::image::UploadError;

/// An answer that is not a success.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, String)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "The registry has no such path")
    }

    pub(super) fn name_invalid(name: &str) -> Self {
        let message = format!("'{name}' is not a repository name");
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message)
    }

    pub(super) fn digest_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(super) fn tag_invalid(tag: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "TAG_INVALID", format!("'{tag}' is not a tag"))
    }

    pub(super) fn manifest_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
    }

    pub(super) fn manifest_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found")
    }

    pub(super) fn blob_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "Requested layer not found")
    }

    /// Parts that a manifest needs and the repository does not have; `what` is `Layers` or `Images`.
    pub(super) fn parts_missing(what: &str, missing: &[&Digest], repository: &str, account: &str) -> Self {
        let list: Vec<&str> = missing.iter().map(|digest| digest.as_str()).collect();
        let message = format!(
            "{what} with digests '[{}]' required for pushing image into repository with name '{repository}' \
             in the registry with id '{account}' do not exist",
            list.join(", ")
        );
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", message)
    }

    pub(super) fn range(size: u64) -> Self {
        let mut problem = Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "UNSUPPORTED",
            "The range lies outside of the layer",
        );
        problem.header = Some((header::CONTENT_RANGE, format!("bytes */{size}")));
        problem
    }

    pub(super) fn upload_range(expected: u64, message: String) -> Self {
        let mut problem = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message);
        problem.header = Some((header::RANGE, format!("0-{}", expected.saturating_sub(1))));
        problem
    }

    pub(super) fn body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
    }

    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string())
    }

    pub(super) fn into_response(self) -> Response<Body> {
        tracing::debug!(status = self.status.as_u16(), code = self.code, message = self.message, "refused");
        let body = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Unauthorized => {
                let mut problem = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
                let challenge = "Basic realm=\"embedded cloud\",service=\"ecr.amazonaws.com\"";
                problem.header = Some((header::WWW_AUTHENTICATE, challenge.to_owned()));
                problem
            }
            Refusal::TokenExpired => Self::new(StatusCode::FORBIDDEN, "DENIED", message),
            Refusal::NoRepository { .. } => Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message),
            Refusal::TagImmutable { .. } => Self::new(StatusCode::BAD_REQUEST, "TAG_INVALID", message),
        }
    }
}

impl From<UploadProblem> for Problem {
    fn from(problem: UploadProblem) -> Self {
        let message = problem.to_string();
        match problem {
            UploadProblem::Unknown => Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message),
            UploadProblem::OutOfOrder { expected, .. } => Self::upload_range(expected, message),
            UploadProblem::Failed(UploadError::Mismatch { .. }) => Self::digest_invalid(message),
            UploadProblem::Failed(UploadError::Io(error)) => Self::internal(&error),
        }
    }
}
