//! The registry as clients see it: by raw requests, and by the real `docker`.

use std::process::Command;

use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::*;
use crate::image::manifest::{OCI_INDEX, OCI_MANIFEST};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";

struct Bench {
    registry: Registry,
    _dir: tempfile::TempDir,
}

struct Reply {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn error(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let error = &body["errors"][0];
        format!("{} {}: {}", self.status, error["code"].as_str().unwrap(), error["message"].as_str().unwrap())
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let repositories = Arc::new(MemoryRepositories::default());
        let scope = Scope::new(ACCOUNT, REGION);
        repositories.create(&scope, "hello", false);
        repositories.create(&scope, "team/fixed", true);
        let registry = Registry::new(store.clone(), Uploads::new(store), repositories);
        Self { registry, _dir: dir }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let password = STANDARD.encode(format!("AWS:{ACCOUNT}/{REGION}"));
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Basic {password}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = serve(State(self.registry.clone()), request.body(body.into()).unwrap()).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn push_blob(&self, repository: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        assert_eq!(self.ask("POST", &path, &[], content.to_vec()).await.status, 201);
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": content.len()})
    }

    /// Pushes a small image and returns its manifest.
    async fn push_image(&self, repository: &str, reference: &str) -> (Reply, Vec<u8>) {
        let layer = self.push_blob(repository, b"layer").await;
        let mut config = self.push_blob(repository, b"{}").await;
        config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let path = format!("/v2/{repository}/manifests/{reference}");
        (self.ask("PUT", &path, &[("content-type", OCI_MANIFEST)], bytes.clone()).await, bytes)
    }
}

#[tokio::test]
async fn wants_an_ecr_password() {
    let bench = Bench::new();
    for wrong in ["", "Bearer x", "Basic QVdTOng=", "Basic dXNlcjpwdw=="] {
        let reply = bench.ask("GET", "/v2/", &[("authorization", wrong)], "").await;
        assert_eq!(reply.status, 401);
        assert!(reply.header("www-authenticate").starts_with("Basic realm="), "{wrong}");
    }
    let reply = bench.ask("GET", "/v2/", &[], "").await;
    assert_eq!((reply.status, reply.header("docker-distribution-api-version")), (200, "registry/2.0"));
}

#[tokio::test]
async fn takes_a_blob_in_chunks_and_checks_them() {
    let bench = Bench::new();
    let begun = bench.ask("POST", "/v2/hello/blobs/uploads/", &[], "").await;
    assert_eq!(begun.status, 202);
    let upload = begun.header("location").to_owned();
    let chunk = bench.ask("PATCH", &upload, &[("content-range", "0-4")], "hello").await;
    assert_eq!((chunk.status, chunk.header("range")), (202, "0-4"));
    let hole = bench.ask("PATCH", &upload, &[("content-range", "7-9")], "xyz").await;
    assert_eq!((hole.status, hole.header("range")), (416, "0-4"));
    let status = bench.ask("GET", &upload, &[], "").await;
    assert_eq!((status.status, status.header("range")), (204, "0-4"));
    let digest = Digest::of(b"hello world");
    let done = bench.ask("PUT", &format!("{upload}?digest={digest}"), &[], " world").await;
    assert_eq!((done.status, done.header("docker-content-digest")), (201, digest.as_str()));

    let part = bench.ask("GET", done.header("location"), &[("range", "bytes=6-")], "").await;
    assert_eq!((part.status, part.body.as_slice()), (206, b"world".as_slice()));
    assert_eq!(part.header("content-range"), "bytes 6-10/11");
    let head = bench.ask("HEAD", done.header("location"), &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, "11"));
    let gone = bench.ask("PATCH", &upload, &[], "more").await;
    insta::assert_snapshot!(gone.error(), @"404 BLOB_UPLOAD_UNKNOWN: The upload does not exist; begin it again");
}

#[tokio::test]
async fn refuses_content_that_was_changed_on_the_way() {
    let bench = Bench::new();
    let path = format!("/v2/hello/blobs/uploads/?digest={}", Digest::of(b"right"));
    assert!(bench.ask("POST", &path, &[], "wrong").await.error().starts_with("400 DIGEST_INVALID"));
    let path = format!("/v2/hello/blobs/{}", Digest::of(b"right"));
    let missing = bench.ask("GET", &path, &[], "").await;
    insta::assert_snapshot!(missing.error(), @"404 BLOB_UNKNOWN: Requested layer not found");
}

#[tokio::test]
async fn mounts_within_the_account_and_falls_back_to_an_upload() {
    let bench = Bench::new();
    bench.push_blob("hello", b"layer").await;
    let digest = Digest::of(b"layer");
    assert_eq!(bench.ask("HEAD", &format!("/v2/team/fixed/blobs/{digest}"), &[], "").await.status, 404);
    let mount = |digest: &Digest| format!("/v2/team/fixed/blobs/uploads/?mount={digest}&from=hello");
    assert_eq!(bench.ask("POST", &mount(&digest), &[], "").await.status, 201);
    assert_eq!(bench.ask("HEAD", &format!("/v2/team/fixed/blobs/{digest}"), &[], "").await.status, 200);
    assert_eq!(bench.ask("POST", &mount(&Digest::of(b"other")), &[], "").await.status, 202);
}

#[tokio::test]
async fn keeps_images_as_ecr_does() {
    let bench = Bench::new();
    let nowhere = bench.ask("PUT", "/v2/nowhere/manifests/v1", &[], "{}").await;
    insta::assert_snapshot!(nowhere.error(), @"404 NAME_UNKNOWN: The repository with name 'nowhere' does not exist in the registry with id '123456789012'");

    let (pushed, bytes) = bench.push_image("team/fixed", "v1").await;
    assert_eq!(pushed.status, 201);
    let digest = Digest::of(&bytes);
    for reference in ["v1", digest.as_str()] {
        let path = format!("/v2/team/fixed/manifests/{reference}");
        let got = bench.ask("GET", &path, &[("accept", OCI_MANIFEST)], "").await;
        assert_eq!((got.body, got.headers["content-type"].to_str().unwrap()), (bytes.clone(), OCI_MANIFEST));
    }
    let (again, _) = bench.push_image("team/fixed", "v1").await;
    insta::assert_snapshot!(again.error(), @"400 TAG_INVALID: The image tag 'v1' already exists in the 'team/fixed' repository and cannot be overwritten because the tag is immutable.");

    let tags = bench.ask("GET", "/v2/team/fixed/tags/list", &[], "").await;
    let tags: Value = serde_json::from_slice(&tags.body).unwrap();
    assert_eq!(tags, json!({"name": "team/fixed", "tags": ["v1"]}));
    let path = format!("/v2/team/fixed/manifests/{digest}");
    assert_eq!(bench.ask("DELETE", &path, &[], "").await.status, 202);
    let gone = bench.ask("GET", "/v2/team/fixed/manifests/v1", &[], "").await;
    insta::assert_snapshot!(gone.error(), @"404 MANIFEST_UNKNOWN: Requested image not found");
}

#[tokio::test]
async fn refuses_manifests_whose_parts_are_missing() {
    let bench = Bench::new();
    let (_, bytes) = bench.push_image("hello", "v1").await;
    let path = "/v2/team/fixed/manifests/v1";
    let missing = bench.ask("PUT", path, &[("content-type", OCI_MANIFEST)], bytes.clone()).await.error();
    assert!(missing.starts_with("404 MANIFEST_BLOB_UNKNOWN: Layers with digests '[sha256:"), "{missing}");
    let typed = [("content-type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8")];
    assert_eq!(bench.ask("PUT", path, &typed, bytes).await.status, 405);
}

#[tokio::test]
async fn serves_an_index_or_the_image_in_it() {
    let bench = Bench::new();
    let (_, image) = bench.push_image("hello", "v1").await;
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let index = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [{
            "mediaType": OCI_MANIFEST, "digest": Digest::of(&image), "size": image.len(),
            "platform": {"os": "linux", "architecture": architecture},
        }],
    });
    let typed = [("content-type", OCI_INDEX)];
    assert_eq!(bench.ask("PUT", "/v2/hello/manifests/multi", &typed, index.to_string()).await.status, 201);
    let both = format!("{OCI_INDEX}, {OCI_MANIFEST}");
    let got = bench.ask("GET", "/v2/hello/manifests/multi", &[("accept", &both)], "").await;
    assert_eq!(got.header("content-type"), OCI_INDEX);
    let got = bench.ask("GET", "/v2/hello/manifests/multi", &[("accept", OCI_MANIFEST)], "").await;
    assert_eq!(got.body, image);
}

#[tokio::test]
async fn lists_what_refers_to_an_image() {
    let bench = Bench::new();
    let (_, image) = bench.push_image("hello", "v1").await;
    let config = bench.push_blob("hello", b"{}").await;
    let about = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x.sbom", "config": config,
        "layers": [], "subject": {"mediaType": OCI_MANIFEST, "digest": Digest::of(&image), "size": image.len()},
    });
    let digest = Digest::of(about.to_string().as_bytes());
    let put = bench.ask("PUT", &format!("/v2/hello/manifests/{digest}"), &[], about.to_string()).await;
    assert_eq!((put.status, put.header("oci-subject")), (201, Digest::of(&image).as_str()));
    let path = format!("/v2/hello/referrers/{}", Digest::of(&image));
    let found: Value = serde_json::from_slice(&bench.ask("GET", &path, &[], "").await.body).unwrap();
    assert_eq!(found["manifests"][0]["artifactType"], "application/x.sbom");
    let none = bench.ask("GET", &format!("{path}?artifactType=other"), &[], "").await;
    assert_eq!(none.header("oci-filters-applied"), "artifactType");
    let none: Value = serde_json::from_slice(&none.body).unwrap();
    assert_eq!(none["manifests"], json!([]));
}

fn docker(config: &std::path::Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("docker");
    let output = command.arg("--config").arg(config).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pushes_and_pulls() {
    if !Command::new("docker").arg("version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: docker_pushes_and_pulls (no Docker daemon answers)");
        return;
    }
    let bench = Bench::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let router = bench.registry.clone().router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("big"), vec![7; 3 << 20]).unwrap();
    std::fs::write(dir.path().join("Dockerfile"), "FROM scratch\nCOPY big /big\nCMD [\"/big\"]\n").unwrap();
    let config = dir.path().join("config");
    let run = |arguments: Vec<String>| {
        let config = config.clone();
        async move {
            let call = move || docker(&config, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
            tokio::task::spawn_blocking(call).await.unwrap()
        }
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let image = format!("{host}/hello:v1");

    let refused = run(words(&format!("login -u AWS -p wrong {host}"))).await;
    assert!(!refused.0, "{}", refused.1);
    for step in [
        format!("login -u AWS -p {ACCOUNT}/{REGION} {host}"),
        format!("build -q -t {image} {}", dir.path().display()),
        format!("push {image}"),
        format!("rmi {image}"),
        format!("pull {image}"),
        format!("tag {image} {host}/team/fixed:v1"),
        format!("push {host}/team/fixed:v1"),
        format!("tag {image} {host}/nowhere:v1"),
    ] {
        let (ok, text) = run(words(&step)).await;
        assert!(ok, "docker {step}: {text}");
    }
    let (ok, text) = run(words(&format!("push {host}/nowhere:v1"))).await;
    assert!(!ok && text.contains("'nowhere' does not exist in the registry with id"), "{text}");
    let (ok, text) = run(words(&format!("push {host}/team/fixed:v1"))).await;
    assert!(!ok && text.contains("the tag is immutable"), "{text}");
    let removal = format!("rmi {image} {host}/team/fixed:v1 {host}/nowhere:v1");
    assert!(run(words(&removal)).await.0);
    server.abort();
}
