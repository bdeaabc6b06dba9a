//! The stage itself: where the contract meets planning and building.

use std::sync::Arc;

use async_trait::async_trait;
use pipeline_aws::Aws;
use pipeline_sdk::{
    Action, ApplyError, Change, Context, Done, Inputs, Mode, Outputs, ResourceId, Stage, StageError,
    StagePlan,
};

use crate::building;
use crate::inputs::ImageInputs;
use crate::planning;
use crate::repository::Repository;

pub(crate) struct ImageStage {
    pub(crate) aws: Arc<Aws>,
}

#[async_trait]
impl Stage for ImageStage {
    async fn plan(&self, cx: &Context, inputs: &Inputs) -> Result<StagePlan, StageError> {
        match cx.mode() {
            Mode::Converge => {
                let inputs: ImageInputs = inputs.parse()?;
                planning::converge(cx, &self.aws, &inputs).await
            }
            // Images go with their repository, or stay with it.
            Mode::Destroy => Ok(StagePlan::default()),
            Mode::Refresh => self.drift(cx).await,
        }
    }

    async fn apply(&self, cx: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
        let work = building::apply(cx, &self.aws, plan);
        tokio::select! {
            biased;
            () = cx.cancel().cancelled() => Err(StageError::Cancelled.into()),
            result = work => Ok(result?),
        }
    }

    /// Keeps what was pushed: another run may have found it already and use it.
    async fn rollback(&self, cx: &Context, done: &[Done]) -> Result<(), StageError> {
        if !done.is_empty() {
            cx.note("the image stays in the repository");
        }
        Ok(())
    }
}

impl ImageStage {
    /// Whether the image of the last apply is still in the repository.
    async fn drift(&self, cx: &Context) -> Result<StagePlan, StageError> {
        let Some(prior) = cx.prior() else { return Ok(StagePlan::default()) };
        let mut plan = StagePlan { outputs: prior.outputs.clone(), ..StagePlan::default() };
        for recorded in &prior.outputs.resources {
            let text = |key: &str| recorded.attributes[key].as_str().unwrap_or_default().to_owned();
            let repository = Repository::new(&self.aws, &text("repository_url"))?;
            if repository.with_digest(&text("digest")).await?.is_none() {
                plan.changes.push(missing(&recorded.id, &text("digest")));
            }
        }
        Ok(plan)
    }
}

fn missing(resource: &ResourceId, digest: &str) -> Change {
    Change {
        resource: resource.clone(),
        action: Action::Create,
        attributes: Vec::new(),
        reason: Some(format!("{digest} is not in the repository any more")),
        irreversible: None,
    }
}
