//! The OCI registry of the cloud, which `docker push` and `docker pull` speak to, as ECR behaves.
//!
//! It implements the distribution specification 1.1
//! (<https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>): pull, push (in one
//! piece or in chunks), mounts, tags, deletion and referrers. Bytes go to the [`BlobStore`]; what
//! belongs to which repository is asked of [`Repositories`].
//!
//! Where ECR is stricter than the specification this registry is as strict (repositories must
//! exist, tags may be immutable, no media type parameters); where ECR is known to be broken
//! (it keeps only the first chunk of a chunked upload, aws/containers-roadmap#2831) it follows the
//! specification instead.

mod blobs;
mod manifests;
mod memory;
mod path;
mod problem;
mod repositories;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

pub use super::image::{BlobStore, Digest};
pub use memory::MemoryRepositories;
pub use repositories::{ManifestRecord, NewImage, Reference, Refusal, Repositories, Scope};
pub use uploads::{UploadProblem, Uploads};

use path::Target;
use problem::Problem;

/// A registry over a blob store and the repositories that own its content.
#[derive(Debug, Clone)]
pub struct Registry {
    store: BlobStore,
    uploads: Uploads,
    repositories: Arc<dyn Repositories>,
}

/// An authorised request to one repository.
struct Call<'a> {
    registry: &'a Registry,
    scope: Scope,
    repository: String,
    request: http::request::Parts,
}

type Answer = Result<Response<Body>, Problem>;

impl Registry {
    /// A registry that keeps bytes in `store` and asks `repositories` about everything else.
    /// `uploads` may be shared with ECR's layer calls.
    pub fn new(store: BlobStore, uploads: Uploads, repositories: Arc<dyn Repositories>) -> Self {
        Self { store, uploads, repositories }
    }

    /// Its routes, all below `/v2/`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v2", axum::routing::any(serve))
            .route("/v2/", axum::routing::any(serve))
            .route("/v2/{*path}", axum::routing::any(serve))
            .with_state(self)
    }

    async fn answer(&self, request: Request) -> Answer {
        let (parts, body) = request.into_parts();
        let scope = self.authenticate(&parts)?;
        let path = parts.uri.path().strip_prefix("/v2").unwrap_or_default().trim_start_matches('/');
        if path.is_empty() {
            return Ok(empty(StatusCode::OK));
        }
        let (repository, target) = path::parse(path)?;
        let call = Call { registry: self, scope, repository, request: parts };
        if !self.repositories.exists(&call.scope, &call.repository) {
            return Err(Refusal::no_repository(&call.scope, &call.repository).into());
        }
        call.answer(target, body).await
    }

    /// The scope of the request's Basic credentials, which are `AWS` and an ECR password.
    fn authenticate(&self, parts: &http::request::Parts) -> Result<Scope, Refusal> {
        let password = basic_password(parts).ok_or(Refusal::Unauthorized)?;
        self.repositories.authenticate(&password)
    }
}

impl Call<'_> {
    async fn answer(self, target: Target, body: Body) -> Answer {
        let method = self.request.method.clone();
        match (target, method) {
            (Target::Blob(digest), Method::GET | Method::HEAD) => self.read_blob(&digest).await,
            (Target::Blob(_), Method::DELETE) => {
                // ECR deletes layers by itself once no image needs them.
                Err(Problem::unsupported("Layers are deleted with their images"))
            }
            (Target::Uploads, Method::POST) => self.begin_upload(body).await,
            (Target::Upload(id), Method::GET) => self.upload_status(id),
            (Target::Upload(id), Method::PATCH) => self.append_upload(id, body).await,
            (Target::Upload(id), Method::PUT) => self.finish_upload(id, body).await,
            (Target::Upload(id), Method::DELETE) => self.cancel_upload(id),
            (Target::Manifest(reference), Method::GET | Method::HEAD) => self.read_manifest(&reference).await,
            (Target::Manifest(reference), Method::PUT) => self.put_manifest(reference, body).await,
            (Target::Manifest(reference), Method::DELETE) => self.delete_manifest(&reference),
            (Target::Tags, Method::GET) => self.list_tags(),
            (Target::Referrers(subject), Method::GET) => self.referrers(&subject),
            (_, method) => Err(Problem::unsupported(format!("{method} is not possible here"))),
        }
    }

    /// A parameter of the request's query.
    fn parameter(&self, name: &str) -> Option<String> {
        let query = self.request.uri.query()?;
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    fn header(&self, name: HeaderName) -> Option<&str> {
        self.request.headers.get(name)?.to_str().ok()
    }
}

async fn serve(State(registry): State<Registry>, request: Request) -> Response<Body> {
    let mut response = registry.answer(request).await.unwrap_or_else(Problem::into_response);
    let version = HeaderName::from_static("docker-distribution-api-version");
    response.headers_mut().insert(version, HeaderValue::from_static("registry/2.0"));
    response
}

fn basic_password(parts: &http::request::Parts) -> Option<String> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (kind, encoded) = value.split_once(' ')?;
    if !kind.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    (user == "AWS").then(|| password.to_owned())
}

/// A response without a body.
fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Adds a header whose value is known to be printable; one that is not is left out.
fn with(mut response: Response<Body>, name: HeaderName, value: impl ToString) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
