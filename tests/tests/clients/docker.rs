//! `docker` pushes and pulls, containers carry the traffic, `curl` is the user.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pipeline_tests::binary::repository;
use pipeline_tests::cloud::eventually;
use pipeline_tests::{LocalCloud, LocalCloudOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::outside::{aws, aws_command, fail, make, succeed, text};

/// `docker` with a configuration of its own, so that a login does not reach the user's.
struct Docker {
    configuration: TempDir,
    /// Names of images to remove at the end.
    images: Vec<String>,
}

impl Docker {
    fn new() -> Self {
        Self { configuration: tempfile::tempdir().expect("a folder"), images: Vec::new() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_CONFIG", self.configuration.path()).stdin(Stdio::null()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> String {
        succeed(&mut self.command(args))
    }

    /// Logs in as people do with ECR: `aws ecr get-login-password | docker login`.
    fn login(&self, cloud: &LocalCloud, registry: &str) {
        let password = succeed(&mut aws_command(cloud, &["ecr", "get-login-password"]));
        let mut login = self.command(&["login", "--username", "AWS", "--password-stdin", registry]);
        login.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = login.spawn().expect("docker starts");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(password.trim().as_bytes()).expect("is written");
        drop(input);
        assert!(child.wait().expect("docker ends").success(), "docker login failed");
    }

    /// Builds the sample app in `version` and names it `image`.
    fn build(&mut self, image: &str, version: &str) {
        let folder = repository().join("examples/hello");
        assert!(folder.join("hello").exists(), "no sample binary: `cargo xtask test` builds it");
        let argument = format!("VERSION={version}");
        let mut build = self.command(&["build", "--quiet", "--build-arg", &argument, "--tag", image]);
        // The classic builder is in every docker.io; BuildKit is a package of its own there.
        succeed(build.arg(&folder).env("DOCKER_BUILDKIT", "0"));
        self.images.push(image.to_owned());
    }

    /// The digest that the image had when it was pushed or pulled.
    fn digest(&self, image: &str) -> String {
        let known = self.run(&["inspect", "--format", "{{json .RepoDigests}}", image]);
        let known: Vec<String> = serde_json::from_str(&known).expect("JSON");
        let repository = image.rsplit_once(':').map_or(image, |(repository, _)| repository);
        let own = known.iter().find_map(|known| known.strip_prefix(repository)?.strip_prefix('@'));
        own.unwrap_or_else(|| panic!("no digest of {image} in {known:?}")).to_owned()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        for image in &self.images {
            // What is in use by nothing else goes; a failed test must not hide its reason.
            let _ = self.command(&["rmi", "--force", image]).stdout(Stdio::null()).status();
        }
    }
}

/// A repository with tags that never move; the answer is its URI.
fn repository_of(cloud: &LocalCloud, name: &str) -> String {
    let create = ["ecr", "create-repository", "--image-tag-mutability", "IMMUTABLE", "--repository-name"];
    let made = aws(cloud, &[&create[..], &[name]].concat());
    text(&made, "/repository/repositoryUri").to_owned()
}

fn registry_of(uri: &str) -> &str {
    uri.split_once('/').map_or(uri, |(registry, _)| registry)
}

#[test]
fn docker_pushes_and_pulls_as_with_ecr() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    let uri = repository_of(&cloud, "pushed");
    let mut docker = Docker::new();
    docker.login(&cloud, registry_of(&uri));
    let image = format!("{uri}:1");
    docker.build(&image, "1");
    docker.run(&["push", &image]);

    let digest = docker.digest(&image);
    let images = aws(&cloud, &["ecr", "describe-images", "--repository-name", "pushed"]);
    assert_eq!(text(&images, "/imageDetails/0/imageDigest"), digest);
    assert_eq!(text(&images, "/imageDetails/0/imageTags/0"), "1");

    docker.run(&["rmi", "--force", &image]);
    let pinned = format!("{uri}@{digest}");
    docker.run(&["pull", &pinned]);
    docker.images.push(pinned);
    docker.run(&["pull", &image]);
    assert_eq!(docker.digest(&image), digest);

    docker.build(&image, "2");
    let said = fail(&mut docker.command(&["push", &image]));
    assert!(said.contains("immutable"), "{said}");
    let unknown = format!("{}/unknown:1", registry_of(&uri));
    docker.build(&unknown, "1");
    let said = fail(&mut docker.command(&["push", &unknown]));
    assert!(said.contains("unknown"), "{said}");
    let said = fail(&mut docker.command(&["pull", &format!("{uri}:none")]));
    assert!(said.contains("not found") || said.contains("manifest unknown"), "{said}");
}

/// A user's `curl` to `url`, whose name `dns` of the cloud would answer with `listener`.
fn curl(cloud: &LocalCloud, url: &str, port: u16, more: &[&str]) -> Result<String, String> {
    let listener = cloud.listener("carried", port)?;
    let to = format!("::{}:{}", listener.ip(), listener.port());
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "5"])
        .args(["--connect-to", &to])
        .args(more)
        .arg(url)
        .output()
        .map_err(|error| format!("cannot start curl: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn certificate_file(folder: &Path, made: &Value) -> String {
    let path = folder.join("trusted.pem");
    std::fs::write(&path, text(made, "/trusted")).expect("is written");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn docker_tasks_carry_http_and_https() {
    let options = LocalCloudOptions { runtime: "docker", ..LocalCloudOptions::default() };
    let cloud = LocalCloud::start(&options).expect("starts");
    let uri = repository_of(&cloud, "carried");
    let mut docker = Docker::new();
    docker.login(&cloud, registry_of(&uri));
    let image = format!("{uri}:7");
    docker.build(&image, "7");
    docker.run(&["push", &image]);
    let made = make(&cloud, &["carried", &image, "--https"]);

    let folder = tempfile::tempdir().expect("a folder");
    let trusted = certificate_file(folder.path(), &made);
    let patience = Duration::from_secs(20);
    let secure =
        eventually(patience, || curl(&cloud, "https://www.pipeline.test/", 443, &["--cacert", &trusted]))
            .expect("HTTPS answers");
    assert!(secure.contains("200") && secure.to_lowercase().contains("x-version: 7"), "{secure}");
    let plain = curl(&cloud, "http://www.pipeline.test/", 80, &[]).expect("HTTP answers");
    assert!(plain.starts_with("HTTP/1.1 301") && plain.contains("https://www.pipeline.test:443/"), "{plain}");
    let stranger = curl(&cloud, "https://www.pipeline.test/", 443, &[]);
    assert!(stranger.is_err_and(|reason| reason.contains("certificate")), "nobody else trusts it");

    let group = text(&made, "/log_group");
    eventually(patience, || {
        let logs = aws(&cloud, &["logs", "filter-log-events", "--log-group-name", group]);
        let found = logs["events"].as_array().into_iter().flatten().any(|event| {
            event["message"].as_str().is_some_and(|message| message.contains("version 7 listens on"))
        });
        if found { Ok(()) } else { Err(format!("the task's output is not in its log: {logs}")) }
    })
    .expect("output arrives");
}
