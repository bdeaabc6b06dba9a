//! ECR's calls, and what a registry's client sees of the same repositories.

use std::sync::Arc;

use serde_json::{Value, json};

use super::WorldRepositories;
use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{self, Input, Service};
use crate::world::{Partition, World};
use pipeline_data_plane::image::Digest;
use pipeline_data_plane::image::manifest::OCI_MANIFEST;
use pipeline_data_plane::registry::{Reference, Repositories as _, Scope, Uploads};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";

struct Bench {
    world: World,
    settings: Settings,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(pipeline_data_plane::image::BlobStore::at(dir.path()));
        let endpoint = ([127, 0, 0, 1], 4580).into();
        let settings = Settings { endpoint, inert: false, clock: Clock::new(1.0), uploads };
        Self { world: World::in_memory(), settings, _dir: dir }
    }

    /// The answer, or `CODE: message`.
    fn call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let input = Input::from_value(Service::Ecr, input);
        let result = self.world.write(|state| {
            let place = Partition { account: ACCOUNT.to_owned(), region: REGION.to_owned() };
            let mut call = Call {
                place,
                access_key: None,
                now: jiff::Timestamp::now(),
                settings: &self.settings,
                state,
            };
            services::call(&mut call, Service::Ecr, operation, &input)
        });
        let error = result.as_ref().err().map(|error| format!("{}: {}", error.code, error.message));
        match error {
            Some(error) => Err(error),
            None => {
                let answer = wire::encode(Service::Ecr, operation, "id", result);
                Ok(serde_json::from_slice(&answer.body).unwrap())
            }
        }
    }

    fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).unwrap()
    }

    fn error(&self, operation: &str, input: Value) -> String {
        self.call(operation, input).unwrap_err()
    }

    /// Pushes a layer by calls and returns its descriptor.
    fn layer(&self, repository: &str, content: &str) -> Value {
        let digest = Digest::of(content.as_bytes());
        let begun = self.ok("InitiateLayerUpload", json!({ "repositoryName": repository }));
        let upload = &begun["uploadId"];
        let blob = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, content);
        let part = self.ok(
            "UploadLayerPart",
            json!({
                "repositoryName": repository, "uploadId": upload, "partFirstByte": 0,
                "partLastByte": content.len() - 1, "layerPartBlob": blob,
            }),
        );
        assert_eq!(part["lastByteReceived"], content.len() - 1);
        let _ = self.call(
            "CompleteLayerUpload",
            json!({
                "repositoryName": repository, "uploadId": upload, "layerDigests": [digest],
            }),
        );
        json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": content.len() })
    }

    /// A manifest whose parts are pushed.
    fn manifest(&self, repository: &str, content: &str) -> String {
        let config = self.layer(repository, "{}");
        let layer = self.layer(repository, content);
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]})
            .to_string()
    }

    fn put(&self, repository: &str, manifest: &str, tag: &str) -> Result<Value, String> {
        self.call(
            "PutImage",
            json!({
                "repositoryName": repository, "imageManifest": manifest, "imageTag": tag,
            }),
        )
    }
}

fn named(name: &str) -> Value {
    json!({ "repositoryName": name })
}

#[test]
fn repositories_come_and_go() {
    let bench = Bench::new();
    let made = bench.ok(
        "CreateRepository",
        json!({
            "repositoryName": "team/hello", "imageTagMutability": "IMMUTABLE",
            "imageScanningConfiguration": {"scanOnPush": true}, "tags": [{"Key": "a", "Value": "b"}],
        }),
    );
    let repository = &made["repository"];
    let arn = "arn:aws:ecr:eu-west-1:123456789012:repository/team/hello";
    assert_eq!(repository["repositoryArn"], arn);
    assert_eq!(repository["repositoryUri"], "127.0.0.1:4580/team/hello");
    assert_eq!(repository["imageTagMutability"], "IMMUTABLE");
    assert_eq!(repository["encryptionConfiguration"], json!({"encryptionType": "AES256"}));
    let tags = bench.ok("ListTagsForResource", json!({ "resourceArn": arn }));
    assert_eq!(tags["tags"], json!([{"Key": "a", "Value": "b"}]));
    let found = bench.ok("DescribeRepositories", json!({ "repositoryNames": ["team/hello"] }));
    assert_eq!(found["repositories"][0], *repository);

    let twice = bench.error("CreateRepository", named("team/hello"));
    insta::assert_snapshot!(twice, @"RepositoryAlreadyExistsException: The repository with name 'team/hello' already exists in the registry with id '123456789012'");
    let gone = bench.error("DescribeRepositories", json!({ "repositoryNames": ["gone"] }));
    insta::assert_snapshot!(gone, @"RepositoryNotFoundException: The repository with name 'gone' does not exist in the registry with id '123456789012'");
    let wrong = bench.error("CreateRepository", named("Wrong"));
    assert!(wrong.starts_with("InvalidParameterException: Invalid parameter at 'repositoryName'"), "{wrong}");

    let manifest = bench.manifest("team/hello", "layer");
    bench.put("team/hello", &manifest, "v1").unwrap();
    let full = bench.error("DeleteRepository", named("team/hello"));
    insta::assert_snapshot!(full, @"RepositoryNotEmptyException: The repository with name 'team/hello' in registry with id '123456789012' cannot be deleted because it still contains images");
    bench.ok("DeleteRepository", json!({ "repositoryName": "team/hello", "force": true }));
    assert_eq!(bench.ok("DescribeRepositories", json!({}))["repositories"], json!([]));
}

#[test]
fn lists_come_in_pages() {
    let bench = Bench::new();
    for index in 0..5 {
        bench.ok("CreateRepository", named(&format!("r{index}")));
    }
    let first = bench.ok("DescribeRepositories", json!({ "maxResults": 3 }));
    let next = bench.ok("DescribeRepositories", json!({ "maxResults": 3, "nextToken": first["nextToken"] }));
    assert_eq!(first["repositories"].as_array().unwrap().len(), 3);
    assert_eq!(next["repositories"].as_array().unwrap().len(), 2);
    assert_eq!(next.get("nextToken"), None);
}

#[test]
fn images_by_call_and_by_registry_are_the_same() {
    let bench = Bench::new();
    bench.ok("CreateRepository", json!({ "repositoryName": "hello", "imageTagMutability": "IMMUTABLE" }));
    let missing = bench.put("hello", &bench.manifest("hello", "x").replace("sha256:2d", "sha256:aa"), "v0");
    assert!(missing.unwrap_err().starts_with("LayersNotFoundException: Layers with digests '[sha256:aa"));
    let manifest = bench.manifest("hello", "layer");
    bench.put("hello", &manifest, "v1").unwrap();
    let digest = Digest::of(manifest.as_bytes());
    let again = bench.put("hello", &manifest, "v1").unwrap_err();
    assert!(again.starts_with("ImageAlreadyExistsException: Image with digest"), "{again}");
    let moved = bench.put("hello", &bench.manifest("hello", "other"), "v1").unwrap_err();
    insta::assert_snapshot!(moved, @"ImageTagAlreadyExistsException: The image tag 'v1' already exists in the 'hello' repository and cannot be overwritten because the tag is immutable.");

    let registry = WorldRepositories::new(bench.world.clone(), Clock::new(1.0));
    let record = registry.resolve(&Scope::new(ACCOUNT, REGION), "hello", &Reference::Tag("v1".to_owned()));
    assert_eq!(record.unwrap().unwrap().digest, digest);

    let shown = bench.ok("DescribeImages", named("hello"));
    let detail = &shown["imageDetails"][0];
    assert_eq!((detail["imageTags"].clone(), detail["imageSizeInBytes"].clone()), (json!(["v1"]), json!(5)));
    let got = bench.ok(
        "BatchGetImage",
        json!({
            "repositoryName": "hello", "imageIds": [{"imageTag": "v1"}, {"imageTag": "v2"}, {}],
        }),
    );
    assert_eq!(got["images"][0]["imageManifest"], manifest);
    let codes: Vec<&Value> =
        got["failures"].as_array().unwrap().iter().map(|one| &one["failureCode"]).collect();
    assert_eq!(codes, ["ImageNotFound", "MissingDigestAndTag"]);
    let none =
        bench.error("DescribeImages", json!({ "repositoryName": "hello", "imageIds": [{"imageTag": "v2"}] }));
    insta::assert_snapshot!(none, @"ImageNotFoundException: The image with imageId {imageDigest:'null', imageTag:'v2'} does not exist within the repository with name 'hello' in the registry with id '123456789012'");
    let scan = bench.error(
        "DescribeImageScanFindings",
        json!({ "repositoryName": "hello", "imageId": {"imageTag": "v1"} }),
    );
    assert!(scan.starts_with("ScanNotFoundException"), "{scan}");

    let deleted =
        bench.ok("BatchDeleteImage", json!({ "repositoryName": "hello", "imageIds": [{"imageTag": "v1"}] }));
    assert_eq!(deleted["imageIds"], json!([{"imageDigest": digest, "imageTag": "v1"}]));
    assert_eq!(bench.ok("ListImages", named("hello"))["imageIds"], json!([]));
}

#[test]
fn policies_are_kept() {
    let bench = Bench::new();
    bench.ok("CreateRepository", named("hello"));
    for (get, none) in [
        ("GetLifecyclePolicy", "LifecyclePolicyNotFoundException"),
        ("DeleteLifecyclePolicy", "LifecyclePolicyNotFoundException"),
        ("GetRepositoryPolicy", "RepositoryPolicyNotFoundException"),
        ("DeleteRepositoryPolicy", "RepositoryPolicyNotFoundException"),
    ] {
        assert!(bench.error(get, named("hello")).starts_with(none), "{get}");
    }
    let text = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;
    bench.ok("PutLifecyclePolicy", json!({ "repositoryName": "hello", "lifecyclePolicyText": text }));
    assert_eq!(bench.ok("GetLifecyclePolicy", named("hello"))["lifecyclePolicyText"], text);
    let wrong =
        bench.error("PutLifecyclePolicy", json!({ "repositoryName": "hello", "lifecyclePolicyText": "{}" }));
    assert!(wrong.starts_with("InvalidParameterException"), "{wrong}");
}

#[test]
fn a_preview_says_what_a_policy_would_remove() {
    let bench = Bench::new();
    bench.ok("CreateRepository", named("hello"));
    for (content, tag) in [("one", "v1"), ("two", "dev-2"), ("three", "v3")] {
        bench.put("hello", &bench.manifest("hello", content), tag).unwrap();
    }
    let none = bench.error("StartLifecyclePolicyPreview", named("hello"));
    assert!(none.starts_with("LifecyclePolicyNotFoundException"), "{none}");
    let none = bench.error("GetLifecyclePolicyPreview", named("hello"));
    assert!(none.starts_with("LifecyclePolicyPreviewNotFoundException"), "{none}");

    let rule = |priority: u64, count: u64, tags: Value| {
        let mut rule = json!({ "rulePriority": priority, "action": { "type": "expire" }, "selection": tags });
        rule["selection"]["countType"] = json!("imageCountMoreThan");
        rule["selection"]["countNumber"] = json!(count);
        rule
    };
    let releases = rule(1, 2, json!({ "tagStatus": "tagged", "tagPrefixList": ["v"] }));
    let others = rule(2, 1, json!({ "tagStatus": "any" }));
    let policy = json!({ "rules": [releases, others] }).to_string();
    let start = json!({ "repositoryName": "hello", "lifecyclePolicyText": policy });
    assert_eq!(bench.ok("StartLifecyclePolicyPreview", start)["status"], "IN_PROGRESS");
    let preview = bench.ok("GetLifecyclePolicyPreview", named("hello"));
    assert_eq!(preview["status"], "COMPLETE");
    // The first release is past the one that the second rule keeps, but the first rule looks after it.
    let results = preview["previewResults"].as_array().unwrap();
    let removed: Vec<_> = results.iter().map(|it| (&it["imageTags"], &it["appliedRulePriority"])).collect();
    assert_eq!(removed, [(&json!(["dev-2"]), &json!(2))]);
    assert_eq!(bench.ok("ListImages", named("hello"))["imageIds"].as_array().unwrap().len(), 3);
}

#[test]
fn a_token_opens_the_registry() {
    let bench = Bench::new();
    let answer = bench.ok("GetAuthorizationToken", json!({}));
    let data = &answer["authorizationData"][0];
    assert_eq!(data["proxyEndpoint"], "http://127.0.0.1:4580");
    let engine = base64::engine::general_purpose::STANDARD;
    let token = base64::Engine::decode(&engine, data["authorizationToken"].as_str().unwrap()).unwrap();
    let token = String::from_utf8(token).unwrap();
    let registry = Arc::new(WorldRepositories::new(bench.world.clone(), Clock::new(1.0)));
    let scope = registry.authenticate(token.strip_prefix("AWS:").unwrap()).unwrap();
    assert_eq!(scope, Scope::new(ACCOUNT, REGION));
}

#[test]
fn a_registry_has_settings_of_its_own() {
    let bench = Bench::new();
    bench.ok("CreateRepository", named("team-hello"));
    let none = bench.error("GetRegistryPolicy", json!({}));
    insta::assert_snapshot!(none, @"RegistryPolicyNotFoundException: Registry policy does not exist in the registry with id '123456789012'");
    let wrong =
        bench.error("PutRegistryPolicy", json!({ "policyText": r#"{"Statement":[{"Effect":"Allow"}]}"# }));
    insta::assert_snapshot!(wrong, @"InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided'");
    let text = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"ecr:ReplicateImage"}}"#;
    bench.ok("PutRegistryPolicy", json!({ "policyText": text }));
    assert_eq!(bench.ok("DeleteRegistryPolicy", json!({}))["policyText"], text);

    let own = json!({ "rules": [{ "destinations": [{ "region": REGION, "registryId": ACCOUNT }] }] });
    let refused = bench.error("PutReplicationConfiguration", json!({ "replicationConfiguration": own }));
    assert!(refused.contains("cannot be the same as the source registry"), "{refused}");
    let other = json!({ "rules": [{ "destinations": [{ "region": "eu-north-1", "registryId": ACCOUNT }] }] });
    bench.ok("PutReplicationConfiguration", json!({ "replicationConfiguration": other }));
    assert_eq!(bench.ok("DescribeRegistry", json!({}))["replicationConfiguration"], other);

    let rule = json!({
        "scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{ "filter": "team-*", "filterType": "WILDCARD" }],
    });
    bench.ok("PutRegistryScanningConfiguration", json!({ "scanType": "BASIC", "rules": [rule] }));
    let shown = bench
        .ok("BatchGetRepositoryScanningConfiguration", json!({ "repositoryNames": ["team-hello", "none"] }));
    let first = &shown["scanningConfigurations"][0];
    assert_eq!((&first["scanFrequency"], &first["scanOnPush"]), (&json!("SCAN_ON_PUSH"), &json!(false)));
    assert_eq!(first["appliedScanFilters"], rule["repositoryFilters"]);
    assert_eq!(shown["failures"][0]["failureCode"], "REPOSITORY_NOT_FOUND");
}

#[test]
fn an_image_is_scanned_once_a_day() {
    let bench = Bench::new();
    bench.ok("CreateRepository", named("hello"));
    bench.put("hello", &bench.manifest("hello", "layer"), "v1").unwrap();
    let which = json!({ "repositoryName": "hello", "imageId": { "imageTag": "v1" } });
    bench.ok("StartImageScan", which.clone());
    let again = bench.error("StartImageScan", which);
    insta::assert_snapshot!(again, @"LimitExceededException: The scan quota per image has been exceeded. Wait and try again.");
}

#[test]
fn a_manifest_says_its_type_and_an_inert_cloud_takes_it_without_layers() {
    let mut bench = Bench::new();
    bench.ok("CreateRepository", named("hello"));
    let untyped = bench.put("hello", r#"{"schemaVersion":2}"#, "v1").unwrap_err();
    insta::assert_snapshot!(untyped, @"InvalidParameterException: image manifest mediatype not provided in manifest or parameter");
    let part = |text: &str| json!({ "mediaType": "a/b", "digest": Digest::of(text.as_bytes()), "size": 1 });
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part("c"), "layers": [part("l")]})
            .to_string();
    let missing = bench.put("hello", &manifest, "v1").unwrap_err();
    assert!(missing.starts_with("LayersNotFoundException"), "{missing}");
    bench.settings.inert = true;
    bench.put("hello", &manifest, "v1").unwrap();
}
