//! A small ECR for tests: its API and its registry on one port, as strict as ECR where that matters.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An answer as ECR writes it.
struct Text(Value);

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/x-amz-json-1.1")], self.0.to_string()).into_response()
    }
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) blobs: HashMap<String, Bytes>,
    /// Bytes and media type by digest.
    pub(crate) manifests: HashMap<String, (Bytes, String)>,
    /// Digests by tag.
    pub(crate) tags: BTreeMap<String, String>,
    uploads: HashMap<String, Vec<u8>>,
    /// Every request that changed something, as `PUT /v2/…`.
    pub(crate) changes: Vec<String>,
    pub(crate) immutable: bool,
    /// Answers the next manifest with 500, after having taken it.
    pub(crate) lose_answer: bool,
    /// Answers so many blob uploads with 503.
    pub(crate) refuse_uploads: usize,
}

#[derive(Clone)]
pub(crate) struct Cloud {
    world: Arc<Mutex<World>>,
    pub(crate) address: String,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let cloud = Self { world: Arc::default(), address };
        let app = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(cloud.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        cloud
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("not poisoned")
    }

    pub(crate) fn repository_url(&self) -> String {
        format!("{}/hello", self.address)
    }

    /// The manifest and the configuration of the image under `tag`.
    pub(crate) fn image(&self, tag: &str) -> (Value, Value) {
        let world = self.world();
        let (manifest, _) = &world.manifests[&world.tags[tag]];
        let manifest: Value = serde_json::from_slice(manifest).expect("a manifest");
        let config = &world.blobs[manifest["config"]["digest"].as_str().expect("a digest")];
        (manifest, serde_json::from_slice(config).expect("a configuration"))
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

async fn answer(State(cloud): State<Cloud>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let mut world = cloud.world();
    if let Some(target) = parts.headers.get("x-amz-target") {
        let operation = target.to_str().expect("text").rsplit('.').next().expect("a name").to_owned();
        return api(&world, &operation, &serde_json::from_slice(&body).expect("JSON"));
    }
    let path = parts.uri.path().to_owned();
    let writes = parts.method != Method::GET && parts.method != Method::HEAD;
    let authorized =
        parts.headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Basic QVdTOnNlY3JldA==");
    if (writes || path == "/v2/") && !authorized {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"ecr\"")])
            .into_response();
    }
    if writes {
        let change = format!("{} {path}", parts.method);
        world.changes.push(change);
    }
    let query = parts.uri.query().unwrap_or_default();
    registry(&mut world, &parts.method, &path, query, &parts.headers, body)
}

fn api(world: &World, operation: &str, input: &Value) -> Response {
    let fail = |code: &str, message: &str| {
        let body = json!({ "__type": code, "message": message });
        (StatusCode::BAD_REQUEST, Text(body)).into_response()
    };
    match operation {
        // base64 of AWS:secret
        "GetAuthorizationToken" => Text(json!({ "authorizationData": [{
            "authorizationToken": "QVdTOnNlY3JldA==", "expiresAt": 2000000000, "proxyEndpoint": "http://localhost"
        }] }))
        .into_response(),
        "DescribeRepositories" => Text(json!({ "repositories": [{
            "repositoryName": "hello",
            "imageTagMutability": if world.immutable { "IMMUTABLE" } else { "MUTABLE" },
        }] }))
        .into_response(),
        "DescribeImages" => {
            let id = &input["imageIds"][0];
            let digest = match id["imageTag"].as_str() {
                Some(tag) => world.tags.get(tag).cloned(),
                None => id["imageDigest"].as_str().map(str::to_owned),
            };
            match digest.filter(|digest| world.manifests.contains_key(digest)) {
                Some(digest) => {
                    let manifest: Value = serde_json::from_slice(&world.manifests[&digest].0).expect("JSON");
                    let layers = manifest["layers"].as_array().expect("layers");
                    let size: u64 = layers.iter().filter_map(|layer| layer["size"].as_u64()).sum();
                    Text(json!({ "imageDetails": [{ "imageDigest": digest, "imageSizeInBytes": size }] }))
                        .into_response()
                }
                None => fail("ImageNotFoundException", "The image requested does not exist"),
            }
        }
        other => fail("UnknownOperationException", other),
    }
}

fn registry(
    world: &mut World,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    if path == "/v2/" {
        return StatusCode::OK.into_response();
    }
    if let Some(upload) = path.strip_prefix("/v2/hello/blobs/uploads/") {
        return self::upload(world, method, upload, query, body);
    }
    if let Some(digest) = path.strip_prefix("/v2/hello/blobs/") {
        return match world.blobs.get(digest) {
            Some(blob) => (StatusCode::OK, [("docker-content-digest", digest)], blob.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let Some(reference) = path.strip_prefix("/v2/hello/manifests/") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if method == Method::PUT {
        return put_manifest(world, reference, headers, body);
    }
    let digest = world.tags.get(reference).cloned().unwrap_or_else(|| reference.to_owned());
    match world.manifests.get(&digest) {
        Some((manifest, media_type)) => {
            let headers = [("content-type", media_type.as_str()), ("docker-content-digest", digest.as_str())];
            (StatusCode::OK, headers, manifest.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn upload(world: &mut World, method: &Method, upload: &str, query: &str, body: Bytes) -> Response {
    if method == Method::POST {
        let id = format!("u{}", world.changes.len());
        world.uploads.insert(id.clone(), Vec::new());
        let location = format!("/v2/hello/blobs/uploads/{id}");
        return (StatusCode::ACCEPTED, [(header::LOCATION, location)]).into_response();
    }
    let Some(mut bytes) = world.uploads.remove(upload) else { return StatusCode::NOT_FOUND.into_response() };
    bytes.extend_from_slice(&body);
    if method == Method::PATCH {
        let end = bytes.len().saturating_sub(1);
        world.uploads.insert(upload.to_owned(), bytes);
        let location = format!("/v2/hello/blobs/uploads/{upload}");
        return (StatusCode::ACCEPTED, [("location", location), ("range", format!("0-{end}"))])
            .into_response();
    }
    if world.refuse_uploads > 0 {
        world.refuse_uploads -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let found = digest(&bytes);
    if !query.replace("%3A", ":").contains(&found) {
        return (StatusCode::BAD_REQUEST, "DIGEST_INVALID").into_response();
    }
    world.blobs.insert(found.clone(), bytes.into());
    let location = format!("/v2/hello/blobs/{found}");
    (StatusCode::CREATED, [("location", location), ("docker-content-digest", found)]).into_response()
}

fn put_manifest(world: &mut World, reference: &str, headers: &HeaderMap, body: Bytes) -> Response {
    let media_type = headers[header::CONTENT_TYPE].to_str().expect("text").to_owned();
    if media_type.contains(';') {
        return (StatusCode::BAD_REQUEST, "ECR takes no parameter").into_response();
    }
    let digest = digest(&body);
    let parsed: Value = serde_json::from_slice(&body).expect("a manifest");
    let layers = parsed["layers"].as_array().into_iter().flatten();
    for blob in layers.chain([&parsed["config"]]) {
        assert!(
            world.blobs.contains_key(blob["digest"].as_str().expect("a digest")),
            "a blob is missing: {blob}"
        );
    }
    if world.immutable && world.tags.contains_key(reference) {
        let message = format!("The image tag '{reference}' already exists and the repository is immutable");
        let body = json!({ "errors": [{ "code": "TAG_INVALID", "message": message }] });
        return (StatusCode::BAD_REQUEST, Text(body)).into_response();
    }
    world.manifests.insert(digest.clone(), (body, media_type));
    if !reference.starts_with("sha256:") {
        world.tags.insert(reference.to_owned(), digest.clone());
    }
    if std::mem::take(&mut world.lose_answer) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    // Like ECR: without a Location.
    (StatusCode::CREATED, [("docker-content-digest", digest)]).into_response()
}
