//! Decides, by reading only, whether an image has to be built.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_aws::Aws;
use pipeline_sdk::{
    Action, AttributeChange, Change, Context, IndexMap, Maybe, Outputs, Recorded, ResourceId, StageError,
    StagePlan, Unknown, Value, json,
};
use serde::{Deserialize, Serialize};

use crate::context::BuildContext;
use crate::docker::Daemon;
use crate::dockerfile::Dockerfile;
use crate::inputs::{Builder, ImageInputs, ImageOutputs};
use crate::program::Program;
use crate::recipe::Recipe;
use crate::rehearsal::rehearse;
use crate::repository::{Found, Repository};

/// What `apply` needs: the plan's detail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub(crate) recipe: Recipe,
    pub(crate) fingerprint: String,
    pub(crate) repository_url: String,
    /// The tag to add beside the computed one.
    pub(crate) tag: Option<String>,
    pub(crate) work: Work,
    /// Build arguments that the Dockerfile does not declare.
    pub(crate) unused_args: Vec<String>,
}

/// What there is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    Nothing,
    /// The image is there and lacks the tag that was asked for.
    Tag {
        digest: String,
    },
    Build {
        builder: Chosen,
    },
}

/// The builder that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Chosen {
    Docker,
    Embedded,
}

/// The tag that an image gets from its fingerprint.
pub(crate) fn computed_tag(fingerprint: &str) -> String {
    format!("pipeline-{fingerprint}")
}

/// The image as a resource. Its name may not depend on what is known only later, and is not that of another stage's
/// image in the same repository.
pub(crate) fn resource(cx: &Context) -> ResourceId {
    ResourceId::new("ecr:image", format!("{}/{}", cx.pipeline().canonical(), cx.stage()))
}

pub(crate) async fn converge(
    cx: &Context,
    aws: &Arc<Aws>,
    inputs: &ImageInputs,
) -> Result<StagePlan, StageError> {
    let context = Arc::new(BuildContext::locate(cx.directory(), &inputs.context, &inputs.dockerfile)?);
    let text = context.read_dockerfile()?;
    let dockerfile = parse(&context, &text)?;
    let args = build_args(cx, inputs, dockerfile.as_ref());
    let tag = inputs
        .tag
        .clone()
        .map_or(Maybe::Known(None), |tag| tag.map(|tag| Some(tag).filter(|tag| !tag.is_empty())));
    if let Maybe::Known(Some(tag)) = &tag {
        check_tag(tag)?;
    }
    let (Maybe::Known(build_args), Maybe::Known(url), Maybe::Known(tag)) =
        (&args, &inputs.repository_url, tag)
    else {
        let builder = choose(cx, inputs, &context, dockerfile.as_ref(), args.known()).await?;
        return Ok(later(cx, inputs, builder));
    };
    let repository = Repository::new(aws, url)?;
    let recipe = Recipe {
        context: inputs.context.clone(),
        dockerfile: inputs.dockerfile.clone(),
        platform: inputs.platform,
        target: inputs.target.clone(),
        build_args: build_args.clone(),
    };
    let fingerprint = fingerprint(cx, recipe.clone(), context.clone()).await?;
    let mut detail = Detail {
        recipe,
        fingerprint,
        repository_url: url.clone(),
        tag,
        work: Work::Nothing,
        unused_args: unused_args(inputs, dockerfile.as_ref()),
    };
    match state(&repository, &detail).await? {
        State::Complete(found) => finished(cx, &detail, &found, Vec::new()),
        State::Untagged(found) => {
            detail.work = Work::Tag { digest: found.digest.clone() };
            finished(cx, &detail, &found, vec![tagging(cx, &detail)])
        }
        State::Missing => {
            let builder = choose(cx, inputs, &context, dockerfile.as_ref(), args.known()).await?;
            detail.work = Work::Build { builder };
            building(cx, inputs, &detail, builder)
        }
    }
}

/// Nothing if the Dockerfile asks for a parser of its own, which only the daemon can run.
fn parse<'a>(context: &BuildContext, text: &'a str) -> Result<Option<Dockerfile<'a>>, StageError> {
    match Dockerfile::parse(&context.dockerfile, text) {
        Ok(dockerfile) => Ok(Some(dockerfile)),
        Err(_) if text.trim_start_matches('#').trim_start().starts_with("syntax=") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the user gave, and what every Dockerfile may declare.
fn build_args(
    cx: &Context,
    inputs: &ImageInputs,
    dockerfile: Option<&Dockerfile<'_>>,
) -> Maybe<BTreeMap<String, String>> {
    let Maybe::Known(parent) = &inputs.parent_image else {
        return inputs.parent_image.clone().map(|_| BTreeMap::new());
    };
    inputs.build_args.clone().map(|given| {
        let own = [
            ("APP_NAME", cx.pipeline().name.as_str()),
            ("ENVIRONMENT", cx.pipeline().environment.as_str()),
            ("PARENT_IMAGE", parent.as_str()),
        ];
        let declared =
            |name: &str| dockerfile.is_none_or(|dockerfile| dockerfile.declared_args().contains(&name));
        let own = own.into_iter().filter(|(name, value)| !value.is_empty() && declared(name));
        let mut args: BTreeMap<String, String> =
            own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        args.extend(given);
        args
    })
}

/// Docker takes these without a declaration
/// (docs.docker.com/reference/dockerfile/#predefined-args).
const PREDEFINED: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

fn unused_args(inputs: &ImageInputs, dockerfile: Option<&Dockerfile<'_>>) -> Vec<String> {
    let (Some(dockerfile), Some(given)) = (dockerfile, inputs.build_args.known()) else { return Vec::new() };
    let declared = dockerfile.declared_args();
    let used =
        |name: &str| declared.contains(&name) || PREDEFINED.contains(&name.to_ascii_uppercase().as_str());
    given.keys().filter(|name| !used(name)).cloned().collect()
}

/// docs.docker.com/reference/cli/docker/image/tag: what a tag may look like.
fn check_tag(tag: &str) -> Result<(), StageError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if tag.len() <= 128 && tag.chars().all(legal) && !tag.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(StageError::input(
        "tag",
        format!(
            "`{tag}` is not a tag: use up to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`"
        ),
    ))
}

async fn fingerprint(cx: &Context, recipe: Recipe, context: Arc<BuildContext>) -> Result<String, StageError> {
    let cancel = cx.cancel().clone();
    reading(move || recipe.fingerprint(&context, &cancel)).await
}

/// Reads files, which may take a while, where nobody has to wait for it.
async fn reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StageError> + Send + 'static,
) -> Result<T, StageError> {
    let task = tokio::task::spawn_blocking(read);
    task.await.map_err(|error| StageError::failed(format!("reading the build context broke off: {error}")))?
}

/// The builder that will be used; says why if there is none, or what it will not find. `args` may not be known yet.
async fn choose(
    cx: &Context,
    inputs: &ImageInputs,
    context: &Arc<BuildContext>,
    dockerfile: Option<&Dockerfile<'_>>,
    args: Option<&BTreeMap<String, String>>,
) -> Result<Chosen, StageError> {
    let unanswered = match inputs.builder {
        Builder::Embedded => None,
        Builder::Docker => return Daemon::connect().await.map(|_| Chosen::Docker),
        Builder::Auto => match Daemon::connect().await {
            Ok(_) => return Ok(Chosen::Docker),
            Err(error) => Some(error),
        },
    };
    let Some(dockerfile) = dockerfile else {
        return Err(StageError::input(
            "dockerfile",
            "`# syntax=` names a parser that only a Docker daemon can run: start one",
        ));
    };
    let given = args.cloned().unwrap_or_default();
    let program = Program::compile(dockerfile, inputs.target.as_deref(), inputs.platform, &given);
    let program = program.map_err(|error| match unanswered {
        Some(unanswered) => StageError::input("dockerfile", format!("{error}\n{unanswered}")),
        None => error.into(),
    })?;
    let (named, cancel) = (Arc::clone(context), cx.cancel().clone());
    let names = reading(move || named.names(&cancel)).await?;
    rehearse(&program, &context.dockerfile, &names, args.is_some())?;
    Ok(Chosen::Embedded)
}

/// What the repository has of an image.
enum State {
    Complete(Found),
    Untagged(Found),
    Missing,
}

async fn state(repository: &Repository<'_>, detail: &Detail) -> Result<State, StageError> {
    let computed = computed_tag(&detail.fingerprint);
    let Some(tag) = &detail.tag else {
        return Ok(repository.tagged(&computed).await?.map_or(State::Missing, State::Complete));
    };
    let (found, tagged) = futures::try_join!(repository.tagged(&computed), repository.tagged(tag))?;
    match (found, tagged) {
        (Some(found), Some(tagged)) if found.digest == tagged.digest => Ok(State::Complete(found)),
        (_, Some(other)) if repository.is_immutable().await? => Err(StageError::input(
            "tag",
            format!(
                "{}:{tag} exists already with other content ({}), and the repository's tags are immutable: \
                 give another tag (commit what was changed, if it is the commit's id), or none",
                repository.url, other.digest
            ),
        )),
        (Some(found), _) => Ok(State::Untagged(found)),
        (None, _) => Ok(State::Missing),
    }
}

/// The plan where the image is in the repository.
fn finished(
    cx: &Context,
    detail: &Detail,
    found: &Found,
    changes: Vec<Change>,
) -> Result<StagePlan, StageError> {
    Ok(StagePlan { changes, outputs: outputs(cx, detail, found)?, detail: to_value(detail)? })
}

/// The outputs of an image that is in the repository.
pub(crate) fn outputs(cx: &Context, detail: &Detail, found: &Found) -> Result<Outputs, StageError> {
    let outputs = ImageOutputs {
        image: format!("{}@{}", detail.repository_url, found.digest),
        digest: found.digest.clone(),
        tag: detail.tag.clone().unwrap_or_else(|| computed_tag(&detail.fingerprint)),
        repository_url: detail.repository_url.clone(),
        size: found.size,
    };
    let attributes = to_value(&outputs)?;
    let values = attributes.as_object().cloned().unwrap_or_default().into_iter().collect();
    Ok(Outputs { values, resources: vec![Recorded { id: resource(cx), attributes }] })
}

fn to_value(value: &impl Serialize) -> Result<Value, StageError> {
    serde_json::to_value(value).map_err(|error| StageError::failed(format!("cannot write the plan: {error}")))
}

/// Why no rollback undoes it.
const KEPT: &str = "a pushed image stays in the repository; its lifecycle policy removes it in time";

fn tagging(cx: &Context, detail: &Detail) -> Change {
    Change {
        resource: resource(cx),
        action: Action::Update,
        attributes: vec![new("tag", detail.tag.clone().into())],
        reason: Some("the same content has a new tag; no layer is sent".to_owned()),
        irreversible: Some(KEPT.to_owned()),
    }
}

/// The plan where the image has to be built.
fn building(
    cx: &Context,
    inputs: &ImageInputs,
    detail: &Detail,
    builder: Chosen,
) -> Result<StagePlan, StageError> {
    let mut plan = later(cx, inputs, builder);
    let tag = computed_tag(&detail.fingerprint);
    let change = &mut plan.changes[0];
    change.attributes.push(new("fingerprint", tag.clone().into()));
    change.reason = Some(
        if cx.prior().is_some() { "the content changed" } else { "it is not in the repository" }.to_owned(),
    );
    plan.outputs.values.insert("tag".to_owned(), detail.tag.clone().unwrap_or(tag).into());
    plan.detail = to_value(detail)?;
    Ok(plan)
}

/// The plan where something is only known later.
fn later(cx: &Context, inputs: &ImageInputs, builder: Chosen) -> StagePlan {
    let resource = resource(cx);
    let unknown =
        |attribute: &str| Unknown::new(format!("{}.{}.{attribute}", resource.kind, resource.name)).to_value();
    let values: IndexMap<String, Value> = IndexMap::from_iter([
        ("image".to_owned(), unknown("image")),
        ("digest".to_owned(), unknown("digest")),
        ("tag".to_owned(), unknown("tag")),
        ("repository_url".to_owned(), inputs.repository_url.to_value()),
        ("size".to_owned(), unknown("size")),
    ]);
    let mut attributes = vec![
        new("context", inputs.context.clone().into()),
        new("dockerfile", inputs.dockerfile.clone().into()),
        new("platform", inputs.platform.as_str().into()),
        new("builder", json!(builder)),
        new("repository_url", inputs.repository_url.to_value()),
    ];
    if let Some(tag) = &inputs.tag {
        attributes.push(new("tag", tag.to_value()));
    }
    let change = Change {
        resource,
        action: Action::Create,
        attributes,
        reason: None,
        irreversible: Some(KEPT.to_owned()),
    };
    StagePlan {
        changes: vec![change],
        outputs: Outputs { values, resources: Vec::new() },
        detail: Value::Null,
    }
}

fn new(path: &str, after: Value) -> AttributeChange {
    AttributeChange { path: path.to_owned(), before: Value::Null, after }
}
