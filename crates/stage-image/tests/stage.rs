//! The stage through its contract, against a small ECR.

mod cloud;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use cloud::{Cloud, digest};
use flate2::read::GzDecoder;
use pipeline_aws::Aws;
use pipeline_sdk::{
    Action, CancellationToken, Context, ContextParts, Inputs, Mode, NullSink, Outputs, PipelineId, Prior,
    Progress, ProgressSink, RunId, Stage, StageError, StageName, StagePlan, Value, is_unknown, json,
};
use tempfile::TempDir;

const DOCKERFILE: &str = "\
FROM scratch
ARG VERSION
ARG APP_NAME
ENV VERSION=${VERSION} APP=\"$APP_NAME\"
WORKDIR /srv
COPY --chmod=0755 app /bin/
COPY static .
EXPOSE 8080
USER 1000:1000
ENTRYPOINT [\"/bin/app\"]
CMD [\"--serve\"]
";

/// Remembers what is said.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl ProgressSink for Notes {
    fn progress(&self, _: &StageName, progress: Progress) {
        self.0.lock().expect("not poisoned").push(progress.message);
    }
}

struct Bench {
    cloud: Cloud,
    folder: TempDir,
    stage: Arc<dyn Stage>,
    notes: Arc<Notes>,
    cancel: CancellationToken,
}

impl Bench {
    async fn new() -> Self {
        let cloud = Cloud::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("Dockerfile", DOCKERFILE);
        write("app", "#!/bin/sh\n");
        write("static/index.html", "<p>hello</p>");
        write("static/css/a.css", "p{}");
        write("secret.key", "do not copy");
        write(".dockerignore", "secret.key\n");
        let aws = Aws::embedded(format!("http://{}", cloud.address), "eu-central-1");
        let stage = stage_image::kind(aws).stage;
        Self { cloud, folder, stage, notes: Arc::default(), cancel: CancellationToken::new() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn context(&self, mode: Mode, prior: Option<Prior>) -> Context {
        Context::from(ContextParts {
            stage: StageName::new("image").expect("a name"),
            run: RunId::generate(),
            pipeline: PipelineId { name: "hello".into(), environment: "staging".into() },
            directory: self.path().to_owned(),
            mode,
            prior,
            cancel: self.cancel.clone(),
            sink: Arc::clone(&self.notes) as Arc<dyn ProgressSink>,
            recorder: Arc::new(NullSink),
            services: None,
            inputs: None,
        })
    }

    fn inputs(&self, more: Value) -> Inputs {
        let mut inputs = Inputs::default();
        inputs.0.insert("repository_url".into(), self.cloud.repository_url().into());
        inputs.0.insert("builder".into(), "embedded".into());
        inputs.0.insert("build_args".into(), json!({ "VERSION": "1" }));
        for (key, value) in more.as_object().expect("an object") {
            inputs.0.insert(key.clone(), value.clone());
        }
        inputs
    }

    async fn plan(&self, more: Value) -> Result<StagePlan, StageError> {
        self.stage.plan(&self.context(Mode::Converge, None), &self.inputs(more)).await
    }

    async fn apply(&self, plan: &StagePlan) -> Outputs {
        self.stage.apply(&self.context(Mode::Converge, None), plan).await.expect("applies")
    }

    async fn run(&self, more: Value) -> Outputs {
        let plan = self.plan(more).await.expect("plans");
        self.apply(&plan).await
    }

    fn changes(&self) -> usize {
        self.cloud.world().changes.len()
    }
}

fn text<'a>(outputs: &'a Outputs, key: &str) -> &'a str {
    outputs.values[key].as_str().unwrap_or_else(|| panic!("{key} is not text"))
}

#[tokio::test]
async fn it_pushes_once_and_then_finds_nothing_to_do() {
    let bench = Bench::new().await;
    let plan = bench.plan(json!({})).await.expect("plans");
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.changes[0].action, Action::Create);
    assert!(is_unknown(&plan.outputs.values["image"]));
    assert_eq!(bench.changes(), 0, "a plan changes nothing");

    let outputs = bench.apply(&plan).await;
    assert_eq!(
        text(&outputs, "image"),
        format!("{}@{}", bench.cloud.repository_url(), text(&outputs, "digest"))
    );
    assert!(text(&outputs, "tag").starts_with("pipeline-"));
    let after = bench.changes();

    let again = bench.plan(json!({})).await.expect("plans");
    assert!(again.is_empty());
    assert_eq!(again.outputs, outputs);
    assert_eq!(bench.apply(&again).await, outputs);
    assert_eq!(bench.changes(), after, "nothing is sent when nothing changed");

    fs::write(bench.path().join("static/index.html"), "<p>hello again</p>").expect("a file");
    let other = bench.run(json!({})).await;
    assert_ne!(text(&other, "digest"), text(&outputs, "digest"));
    let manifests = bench.cloud.world().manifests.len();
    assert_eq!(manifests, 2);
}

#[tokio::test]
async fn an_image_is_valid_and_holds_what_the_dockerfile_says() {
    let bench = Bench::new().await;
    let outputs = bench.run(json!({})).await;
    let (manifest, config) = bench.cloud.image(text(&outputs, "tag"));
    assert_eq!(
        config["config"],
        json!({
            "User": "1000:1000",
            "ExposedPorts": { "8080/tcp": {} },
            "Env": ["VERSION=1", "APP=hello"],
            "Entrypoint": ["/bin/app"],
            "Cmd": ["--serve"],
            "WorkingDir": "/srv",
        })
    );
    let mut files = BTreeSet::new();
    for (index, layer) in manifest["layers"].as_array().expect("layers").iter().enumerate() {
        let blob = bench.cloud.world().blobs[layer["digest"].as_str().expect("a digest")].clone();
        assert_eq!(layer["size"], blob.len());
        let mut plain = Vec::new();
        GzDecoder::new(&blob[..]).read_to_end(&mut plain).expect("gzip");
        assert_eq!(config["rootfs"]["diff_ids"][index], digest(&plain), "layer {index}");
        for entry in tar::Archive::new(&plain[..]).entries().expect("entries") {
            let entry = entry.expect("an entry");
            let header = entry.header();
            assert_eq!((header.mtime().ok(), header.uid().ok()), (Some(0), Some(0)));
            files.insert(format!(
                "{} {:o}",
                entry.path().expect("a path").display(),
                header.mode().expect("a mode")
            ));
        }
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_eq!(
        files,
        ["bin/ 755", "bin/app 755", "srv/ 755", "srv/css/ 755", "srv/css/a.css 644", "srv/index.html 644",]
    );
}

#[tokio::test]
async fn the_same_content_has_the_same_digest_everywhere() {
    let (one, two) = (Bench::new().await, Bench::new().await);
    assert_eq!(text(&one.run(json!({})).await, "digest"), text(&two.run(json!({})).await, "digest"));
}

#[tokio::test]
async fn an_unknown_repository_is_planned_and_the_rest_is_checked() {
    let bench = Bench::new().await;
    let unknown = json!({ "repository_url": { "$unknown": "stages.registry.repository_url" } });
    let plan = bench.plan(unknown.clone()).await.expect("plans");
    assert_eq!(plan.changes[0].action, Action::Create);
    let known = bench.plan(json!({})).await.expect("plans");
    assert_eq!(plan.changes[0].resource, known.changes[0].resource);

    fs::write(bench.path().join("Dockerfile"), "FROM scratch\n\nRUN make\n").expect("a file");
    let error = bench.plan(unknown).await.expect_err("RUN").to_string();
    assert!(error.contains("Dockerfile:3: RUN needs a Docker daemon: start one"), "{error}");
}

#[tokio::test]
async fn what_the_dockerfile_copies_must_be_there_while_planning() {
    let bench = Bench::new().await;
    let missing = async || bench.plan(json!({})).await.expect_err("missing").to_string();
    let dockerfile = |last: &str| fs::write(bench.path().join("Dockerfile"), format!("{DOCKERFILE}{last}\n"));
    dockerfile("COPY statics .").expect("a file");
    let said =
        "Dockerfile:12: there is no `statics` to copy: it does not exist, or .dockerignore leaves it out";
    assert!(missing().await.ends_with(said), "{}", missing().await);
    dockerfile("COPY secret.key .").expect("a file");
    assert!(missing().await.contains("no `secret.key` to copy"), "{}", missing().await);
    assert_eq!(bench.changes(), 0);
}

#[tokio::test]
async fn a_context_that_changed_since_the_plan_is_refused() {
    let bench = Bench::new().await;
    let plan = bench.plan(json!({})).await.expect("plans");
    fs::write(bench.path().join("app"), "other").expect("a file");
    let error = bench.stage.apply(&bench.context(Mode::Converge, None), &plan).await.expect_err("stale");
    assert_eq!(error.to_string(), "the files in `.` changed since the plan was made");
    assert_eq!(bench.changes(), 0);
}

#[tokio::test]
async fn a_tag_is_added_without_sending_the_image_again() {
    let bench = Bench::new().await;
    let first = bench.run(json!({ "tag": "v1" })).await;
    assert_eq!(text(&first, "tag"), "v1");
    let before = bench.changes();
    let plan = bench.plan(json!({ "tag": "v2" })).await.expect("plans");
    assert_eq!(plan.changes[0].action, Action::Update);
    assert!(!is_unknown(&plan.outputs.values["image"]), "the image is there");
    bench.apply(&plan).await;
    let changes = bench.cloud.world().changes[before..].to_vec();
    assert_eq!(changes, ["PUT /v2/hello/manifests/v2"]);
    assert!(bench.plan(json!({ "tag": "v2" })).await.expect("plans").is_empty());
}

#[tokio::test]
async fn an_immutable_tag_with_other_content_is_an_error_of_the_plan() {
    let bench = Bench::new().await;
    bench.cloud.world().immutable = true;
    bench.run(json!({ "tag": "v1" })).await;
    fs::write(bench.path().join("app"), "other").expect("a file");
    let error = bench.plan(json!({ "tag": "v1" })).await.expect_err("immutable").to_string();
    assert!(
        error.starts_with(&format!("`tag`: {}:v1 exists already", bench.cloud.repository_url())),
        "{error}"
    );
    let error = bench.plan(json!({ "tag": "not a tag" })).await.expect_err("no tag").to_string();
    assert!(error.starts_with("`tag`: `not a tag` is not a tag"), "{error}");
}

#[tokio::test]
async fn a_lost_answer_is_no_failure() {
    let bench = Bench::new().await;
    {
        let mut world = bench.cloud.world();
        world.immutable = true;
        world.lose_answer = true;
        world.refuse_uploads = 2;
    }
    let outputs = bench.run(json!({})).await;
    assert_eq!(bench.cloud.world().tags[text(&outputs, "tag")], text(&outputs, "digest"));
}

#[tokio::test]
async fn an_image_that_another_run_pushed_meanwhile_is_taken() {
    let bench = Bench::new().await;
    let plan = bench.plan(json!({})).await.expect("plans");
    let first = bench.apply(&plan).await;
    let before = bench.changes();
    assert_eq!(bench.apply(&plan).await, first);
    assert_eq!(bench.changes(), before);
}

#[tokio::test]
async fn a_cancelled_run_stops() {
    let bench = Bench::new().await;
    let plan = bench.plan(json!({})).await.expect("plans");
    bench.cancel.cancel();
    let error = bench.stage.apply(&bench.context(Mode::Converge, None), &plan).await.expect_err("cancelled");
    assert!(matches!(error.error, StageError::Cancelled));
    assert_eq!(bench.changes(), 0);
}

#[tokio::test]
async fn an_image_that_is_gone_is_drift_and_destroy_leaves_images_alone() {
    let bench = Bench::new().await;
    let outputs = bench.run(json!({})).await;
    let prior = || Some(Prior { outputs: outputs.clone() });
    let refresh = bench.context(Mode::Refresh, prior());
    assert!(bench.stage.plan(&refresh, &Inputs::default()).await.expect("plans").is_empty());
    bench.cloud.world().manifests.clear();
    let drift = bench.stage.plan(&refresh, &Inputs::default()).await.expect("plans");
    assert_eq!(drift.changes.len(), 1);
    let destroy = bench.context(Mode::Destroy, prior());
    assert!(bench.stage.plan(&destroy, &Inputs::default()).await.expect("plans").is_empty());
}

#[tokio::test]
async fn it_builds_upon_an_image_of_the_registry_and_copies_between_stages() {
    let bench = Bench::new().await;
    let base = bench.run(json!({})).await;
    let dockerfile = format!(
        "ARG PARENT_IMAGE=scratch\n\
         FROM scratch AS files\nCOPY static/css /out/css\nWORKDIR /out\nCOPY <<EOF made\nby $TARGETARCH\nEOF\n\
         FROM scratch AS unused\nRUN never\n\
         FROM ${{PARENT_IMAGE}}\nCOPY --from=files /out/ /srv/\nCOPY --from={0} /srv/index.html /bin/*p /copied/\nCMD echo $VERSION\n",
        text(&base, "image")
    );
    fs::write(bench.path().join("Dockerfile"), dockerfile).expect("a file");
    let outputs = bench.run(json!({ "parent_image": text(&base, "image"), "build_args": {} })).await;
    let (base_manifest, _) = bench.cloud.image(text(&base, "tag"));
    let (manifest, config) = bench.cloud.image(text(&outputs, "tag"));
    let layers = manifest["layers"].as_array().expect("layers");
    let base_layers = base_manifest["layers"].as_array().expect("layers");
    assert_eq!(&layers[..base_layers.len()], &base_layers[..], "the base's layers stay as they are");
    assert_eq!(layers.len(), base_layers.len() + 2);
    assert_eq!(config["config"]["Env"], json!(["VERSION=1", "APP=hello"]));
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/app"]));
    assert_eq!(config["config"]["Cmd"], json!(["/bin/sh", "-c", "echo $VERSION"]));
    assert_eq!(
        config["history"].as_array().expect("history").iter().filter(|h| h["empty_layer"] != true).count(),
        layers.len()
    );
    let names = |index: usize| {
        let blob = bench.cloud.world().blobs[layers[index]["digest"].as_str().expect("a digest")].clone();
        let mut archive = tar::Archive::new(GzDecoder::new(std::io::Cursor::new(blob)));
        let entries = archive.entries().expect("entries");
        entries
            .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(base_layers.len()), ["srv/css/", "srv/css/a.css", "srv/made"]);
    assert_eq!(names(base_layers.len() + 1), ["copied/", "copied/app", "copied/index.html"]);
}

/// Whether a Docker daemon answers; says so, by the test's name, if none does.
fn docker(test: &str) -> bool {
    let there = std::process::Command::new("docker")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped {test}: no Docker daemon");
    }
    there
}

/// Runs `docker` with a configuration of its own, which knows the password of the test's registry.
fn docker_says(configuration: &std::path::Path, args: &[&str]) -> String {
    let mut command = std::process::Command::new("docker");
    let output = command.env("DOCKER_CONFIG", configuration).args(args).output().expect("docker runs");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_takes_what_the_embedded_builder_made() {
    if !docker("docker_takes_what_the_embedded_builder_made") {
        return;
    }
    let bench = Bench::new().await;
    let outputs = bench.run(json!({})).await;
    let image = text(&outputs, "image").to_owned();
    tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().expect("folder");
        let registry = image.split('/').next().expect("a registry");
        // base64 of AWS:secret
        let config = json!({ "auths": { registry: { "auth": "QVdTOnNlY3JldA==" } } });
        std::fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
        docker_says(folder.path(), &["pull", &image]);
        let config = docker_says(
            folder.path(),
            &["inspect", "--format", "{{json .Config.Env}} {{.Config.User}}", &image],
        );
        assert_eq!(config, "[\"VERSION=1\",\"APP=hello\"] 1000:1000");
        docker_says(folder.path(), &["rmi", &image]);
    })
    .await
    .expect("docker");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_builds_and_pushes() {
    if !docker("docker_builds_and_pushes") {
        return;
    }
    let bench = Bench::new().await;
    let outputs = bench.run(json!({ "builder": "docker", "tag": "v1" })).await;
    let (_, config) = bench.cloud.image("v1");
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/app"]));
    assert_eq!(config["config"]["User"], "1000:1000");
    assert_eq!(bench.cloud.world().tags["v1"], text(&outputs, "digest"));
    assert!(bench.plan(json!({ "builder": "docker", "tag": "v1" })).await.expect("plans").is_empty());
    let notes = bench.notes.0.lock().expect("not poisoned").join("\n");
    assert!(notes.contains("building with Docker ") && notes.contains("COPY static ."), "{notes}");
    let name = bench.cloud.repository_url();
    docker_says(&std::env::temp_dir(), &["rmi", &format!("{name}:v1")]);
    let computed =
        bench.cloud.world().tags.keys().find(|tag| tag.starts_with("pipeline-")).cloned().expect("a tag");
    docker_says(&std::env::temp_dir(), &["rmi", &format!("{name}:{computed}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_says_why_a_build_fails() {
    if !docker("docker_says_why_a_build_fails") {
        return;
    }
    let bench = Bench::new().await;
    fs::write(bench.path().join("Dockerfile"), "FROM scratch\nCOPY nothing /\n").expect("a file");
    let plan = bench.plan(json!({ "builder": "docker" })).await.expect("plans");
    let error =
        bench.stage.apply(&bench.context(Mode::Converge, None), &plan).await.expect_err("no such file");
    assert!(error.to_string().starts_with("the image cannot be built: "), "{error}");
    assert!(error.to_string().contains("nothing"), "{error}");
    assert_eq!(bench.changes(), 0);
}
