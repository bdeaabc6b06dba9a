//! Builds and pushes what the plan says.

use std::collections::HashMap;
use std::sync::Arc;

use oci_client::Reference;
use pipeline_aws::Aws;
use pipeline_sdk::{Action, Context, Outputs, Progress, ProgressLevel, StageError, StagePlan, json};

use crate::docker::Daemon;
use crate::dockerfile::Dockerfile;
use crate::embedded::{self, PulledImage};
use crate::image::Image;
use crate::planning::{Chosen, Detail, Work, computed_tag, outputs, resource};
use crate::program::Program;
use crate::recipe::Snapshot;
use crate::registry::{Registry, megabytes};
use crate::repository::{Found, Login, Repository};
use crate::tree::Tree;

pub(crate) async fn apply(cx: &Context, aws: &Arc<Aws>, plan: &StagePlan) -> Result<Outputs, StageError> {
    let detail: Detail = serde_json::from_value(plan.detail.clone()).map_err(|error| {
        StageError::failed(format!("the plan of `{}` cannot be applied: {error}", cx.stage()))
            .with_help("plan again: it was made before everything was known, or by another version")
    })?;
    let repository = Repository::new(aws, &detail.repository_url)?;
    match detail.work.clone() {
        Work::Nothing => Ok(plan.outputs.clone()),
        Work::Tag { digest } => {
            let login = repository.login().await?;
            add_tag(cx, &repository, &detail, &digest, &login).await?;
            Ok(plan.outputs.clone())
        }
        Work::Build { builder } => {
            let login = repository.login().await?;
            let found =
                Build { cx, detail: &detail, repository: &repository, login: &login }.run(builder).await?;
            add_tag(cx, &repository, &detail, &found.digest, &login).await?;
            cx.note(format!("{}@{} ({})", repository.url, found.digest, megabytes(found.size)));
            outputs(cx, &detail, &found)
        }
    }
}

/// Adds the tag that the user asked for, unless the image has it.
async fn add_tag(
    cx: &Context,
    repository: &Repository<'_>,
    detail: &Detail,
    digest: &str,
    login: &Login,
) -> Result<(), StageError> {
    let Some(tag) = &detail.tag else { return Ok(()) };
    let before = repository.tagged(tag).await?;
    if before.as_ref().is_some_and(|found| found.digest == digest) {
        return Ok(());
    }
    let before = before.map(|found| json!({ "tag": tag, "digest": found.digest }));
    let intent = cx.intent(resource(cx), Action::Update, before).await?;
    let registry = Registry::new(&repository.url.host, Some(login), detail.recipe.platform)?;
    let result = registry.tag(&repository.url, digest, tag).await;
    // An answer that got lost is no failure.
    if result.is_err() && repository.tagged(tag).await?.is_none_or(|found| found.digest != digest) {
        return result;
    }
    cx.done(intent, json!({ "tag": tag, "digest": digest })).await
}

struct Build<'a> {
    cx: &'a Context,
    detail: &'a Detail,
    repository: &'a Repository<'a>,
    login: &'a Login,
}

impl Build<'_> {
    /// Makes sure that the planned image is in the repository.
    async fn run(&self, builder: Chosen) -> Result<Found, StageError> {
        let snapshot = self.snapshot().await?;
        let tag = computed_tag(&self.detail.fingerprint);
        // Another run, or this one before a crash, may have pushed it.
        if let Some(found) = self.repository.tagged(&tag).await? {
            self.cx.note("the image is in the repository by now");
            return Ok(found);
        }
        for name in &self.detail.unused_args {
            let message =
                format!("the Dockerfile declares no `ARG {name}`: the build argument has no effect");
            self.cx.report(Progress { level: ProgressLevel::Warning, ..Progress::note(message) });
        }
        match builder {
            Chosen::Docker => self.with_docker(&snapshot, &tag).await?,
            Chosen::Embedded => self.without_daemon(snapshot, &tag).await?,
        }
        self.repository.pushed(&tag).await
    }

    /// Copies the context, and makes sure that it is what was planned.
    async fn snapshot(&self) -> Result<Snapshot, StageError> {
        let recipe = self.detail.recipe.clone();
        let context = recipe.locate(self.cx.directory())?;
        let cancel = self.cx.cancel().clone();
        let task = tokio::task::spawn_blocking(move || recipe.snapshot(&context, &cancel));
        let snapshot = task.await.map_err(broke_off)??;
        if snapshot.fingerprint == self.detail.fingerprint {
            return Ok(snapshot);
        }
        Err(StageError::failed(format!(
            "the files in `{}` changed since the plan was made",
            self.detail.recipe.context
        ))
        .with_help("plan again; leave files that change by themselves out with .dockerignore"))
    }

    async fn with_docker(&self, snapshot: &Snapshot, tag: &str) -> Result<(), StageError> {
        let (cx, recipe) = (self.cx, &self.detail.recipe);
        let daemon = Daemon::connect().await?;
        cx.note(format!("building with {}", daemon.version));
        let context = recipe.locate(cx.directory())?;
        let text = context.read_dockerfile()?;
        if let Ok(dockerfile) = Dockerfile::parse(&context.dockerfile, &text) {
            let private = |image: &&str| image.starts_with(&format!("{}/", self.repository.url.host));
            let images: Vec<String> = dockerfile.base_images().filter(private).map(str::to_owned).collect();
            daemon.pull_private(cx, &images, self.login, recipe.platform.as_str()).await?;
        }
        let name = format!("{}:{tag}", self.repository.url);
        daemon.build(cx, recipe, &context.dockerfile_name, snapshot, &name).await?;
        if let Some(tag) = &self.detail.tag {
            daemon.tag(&name, &self.repository.url.to_string(), tag).await;
        }
        self.push(tag, daemon.push(cx, self.repository, tag, self.login)).await
    }

    async fn without_daemon(&self, snapshot: Snapshot, tag: &str) -> Result<(), StageError> {
        let (cx, platform) = (self.cx, self.detail.recipe.platform);
        cx.note("assembling without a Docker daemon");
        let image = self.assemble(snapshot).await?;
        cx.note(format!("assembled {} with {} layers", image.digest, image.layers.len()));
        let registry = Registry::new(&self.repository.url.host, Some(self.login), platform)?;
        self.push(tag, registry.push(cx, &image, &self.repository.url, tag)).await
    }

    /// Pushes between an intent and its result.
    async fn push(
        &self,
        tag: &str,
        push: impl Future<Output = Result<(), StageError>>,
    ) -> Result<(), StageError> {
        let intent = self.cx.intent(resource(self.cx), Action::Create, None).await?;
        let result = push.await;
        // An answer that got lost, or another run that was faster: the tag says what the content is.
        let found = self.repository.tagged(tag).await;
        match (result, found) {
            (Err(error), Ok(None) | Err(_)) => Err(error),
            (_, found) => {
                let digest = found.ok().flatten().map(|found| found.digest);
                self.cx.done(intent, json!({ "tag": tag, "digest": digest })).await
            }
        }
    }

    async fn assemble(&self, snapshot: Snapshot) -> Result<Image, StageError> {
        let recipe = &self.detail.recipe;
        let context = recipe.locate(self.cx.directory())?;
        let mut files = Tree::default();
        let unreadable = |error: std::io::Error| {
            StageError::failed(format!("cannot read the copied build context: {error}"))
        };
        files.overlay(&snapshot.archive).map_err(unreadable)?;
        let text = files.read_text(&context.dockerfile_name).map_err(unreadable)?;
        let dockerfile = Dockerfile::parse(&context.dockerfile, &text)?;
        let program =
            Program::compile(&dockerfile, recipe.target.as_deref(), recipe.platform, &recipe.build_args)?;
        let mut pulled = HashMap::new();
        for name in program.images() {
            self.cx.note(format!("pulling {name}"));
            pulled.insert(name.to_owned(), self.pull(name).await?);
        }
        context.hide(&mut files);
        let (platform, cancel) = (recipe.platform, self.cx.cancel().clone());
        let task = tokio::task::spawn_blocking(move || {
            embedded::assemble(&program, &context.dockerfile, &files, &pulled, platform, &cancel)
        });
        task.await.map_err(broke_off)?
    }

    async fn pull(&self, name: &str) -> Result<PulledImage, StageError> {
        let reference: Reference = name.parse().map_err(|error| {
            StageError::input("dockerfile", format!("`{name}` is not an image's name: {error}"))
        })?;
        let host = reference.registry();
        let login = (host == self.repository.url.host).then_some(self.login);
        Registry::new(host, login, self.detail.recipe.platform)?.pull(&reference).await
    }
}

fn broke_off(error: tokio::task::JoinError) -> StageError {
    StageError::failed(format!("preparing the image broke off: {error}"))
}
