//! The stage `ecr`: a repository for the app's images.
//!
//! Images are what a rollback keeps on purpose, so a repository that was made by a failed run stays if
//! something was pushed to it.

#![warn(missing_docs)]

mod lifecycle;
mod repository;

use std::sync::Arc;

use pipeline_aws::{Aws, AwsStage, Kit, Known, Resource, Tags, UserTags, names};
use pipeline_sdk::{
    Context, JsonSchema, Maybe, Recorded, ResourceId, StageError, StageKind, async_trait, schemars,
};
use serde::{Deserialize, Serialize};

use crate::lifecycle::Lifecycle;
use crate::repository::Repository;

/// The stage kind `ecr`.
pub fn kind(aws: Arc<Aws>) -> StageKind {
    Kit::kind(Ecr { aws })
}

/// The inputs of the stage `ecr`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcrInputs {
    /// Name of the repository. Default: the pipeline's name and environment, `{name}-{environment}`.
    #[serde(default)]
    pub name: Option<String>,
    /// Scan each image for known vulnerabilities when it is pushed.
    #[serde(default = "yes")]
    pub scan_on_push: bool,
    /// Refuse to move a tag to another image, so that a tag always means what was deployed.
    #[serde(default = "yes")]
    pub immutable_tags: bool,
    /// How many images to keep; older ones are removed. 0 keeps all.
    #[serde(default = "keep_images")]
    pub keep_images: u32,
    /// After how many days images without a tag are removed. 0 keeps them.
    #[serde(default = "untagged_days")]
    pub untagged_days: u32,
    /// ARN of the KMS key that encrypts the images. Default: AWS's own key (AES-256). A change
    /// replaces the repository.
    #[serde(default)]
    pub kms_key_arn: Option<Maybe<String>>,
    /// Whether `pipeline destroy` removes the repository even if there are images in it.
    #[serde(default = "yes")]
    pub force_delete: bool,
    /// Take over a repository of this name that this pipeline did not make.
    #[serde(default)]
    pub adopt: bool,
    /// More tags for the repository.
    #[serde(default)]
    pub tags: UserTags,
}

fn yes() -> bool {
    true
}

fn keep_images() -> u32 {
    30
}

fn untagged_days() -> u32 {
    7
}

/// The outputs of the stage `ecr`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EcrOutputs {
    /// Where to push to, without a tag: `123456789012.dkr.ecr.eu-central-1.amazonaws.com/hello-staging`.
    pub repository_url: Maybe<String>,
    /// ARN of the repository.
    pub repository_arn: Maybe<String>,
    /// Name of the repository.
    pub repository_name: String,
    /// The account that the registry belongs to.
    pub registry_id: Maybe<String>,
}

struct Ecr {
    aws: Arc<Aws>,
}

impl Ecr {
    fn name(cx: &Context, inputs: &EcrInputs) -> Result<String, StageError> {
        names::fit(inputs.name.as_deref(), &cx.pipeline().canonical(), "", names::REPOSITORY)
    }
}

#[async_trait]
impl AwsStage for Ecr {
    const KIND: &'static str = "ecr";
    const SUMMARY: &'static str = "A repository for the app's images (Amazon ECR)";
    type Inputs = EcrInputs;
    type Facts = ();
    type Outputs = EcrOutputs;

    fn adopts(&self, inputs: &EcrInputs) -> bool {
        inputs.adopt
    }

    fn resources(
        &self,
        cx: &Context,
        inputs: &EcrInputs,
        _facts: &(),
    ) -> Result<Vec<Box<dyn Resource>>, StageError> {
        let key = inputs.kms_key_arn.as_ref();
        if let Some(key) = key.and_then(Maybe::known).filter(|key| !key.contains(":key/")) {
            return Err(StageError::input(
                "kms_key_arn",
                format!("`{key}` is not the ARN of a key: write `arn:aws:kms:…:key/…`, not an alias"),
            ));
        }
        let repository = Repository::wanted(
            Arc::clone(&self.aws),
            Self::name(cx, inputs)?,
            inputs,
            Lifecycle { keep_images: inputs.keep_images, untagged_days: inputs.untagged_days },
            &Tags::of(cx, &inputs.tags)?,
        );
        Ok(vec![Box::new(repository)])
    }

    fn recorded(&self, recorded: &Recorded) -> Result<Box<dyn Resource>, StageError> {
        Ok(Box::new(Repository::recorded(Arc::clone(&self.aws), recorded)))
    }

    fn outputs(
        &self,
        cx: &Context,
        inputs: &EcrInputs,
        _facts: &(),
        known: &Known,
    ) -> Result<EcrOutputs, StageError> {
        let repository_name = Self::name(cx, inputs)?;
        let id = ResourceId::new(repository::KIND, &repository_name);
        Ok(EcrOutputs {
            repository_url: known.maybe(&id, "uri"),
            repository_arn: known.maybe(&id, "arn"),
            repository_name,
            registry_id: known.maybe(&id, "registry_id"),
        })
    }
}
