//! Makes a stage of a list of resources.

use async_trait::async_trait;
use pipeline_sdk::{
    ApplyError, Context, Done, Inputs, JsonSchema, Manifest, Outputs, Recorded, Stage, StageError, StageKind,
    StagePlan,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

use crate::{Attributes, Known, Reading, Resource, apply, plan, rollback};

/// A stage as a description of its resources.
#[async_trait]
pub trait AwsStage: Send + Sync + 'static {
    /// The name in `uses = "…"`.
    const KIND: &'static str;

    /// One line for lists.
    const SUMMARY: &'static str;

    /// The input that allows the stage to take over what it did not make; see [`AwsStage::adopts`].
    const TAKEOVER_INPUT: &'static str = "adopt";

    /// What it takes. `#[serde(deny_unknown_fields)]`, [`Maybe`](pipeline_sdk::Maybe) where a reference
    /// may be unknown while planning.
    type Inputs: DeserializeOwned + JsonSchema + Send + Sync;

    /// What it has to look up before its resources can be listed; frozen in the plan.
    type Facts: Serialize + DeserializeOwned + Default + Send + Sync;

    /// What other stages can refer to; [`Maybe`](pipeline_sdk::Maybe) where AWS assigns it.
    type Outputs: Serialize + JsonSchema;

    /// Whether the user allows to take over what exists and is not tagged as ours.
    fn adopts(&self, _inputs: &Self::Inputs) -> bool {
        false
    }

    /// Looks up what the list of resources depends on. Reads only.
    async fn look_up(
        &self,
        _reading: &Reading<'_>,
        _inputs: &Self::Inputs,
    ) -> Result<Self::Facts, StageError> {
        Ok(Self::Facts::default())
    }

    /// Its resources in the order in which they are made; removed in reverse. Also those that should
    /// not exist but may, from earlier inputs under the same name.
    ///
    /// # Errors
    /// [`StageError::Input`] for names and values that AWS would refuse: nothing is changed yet.
    fn resources(
        &self,
        cx: &Context,
        inputs: &Self::Inputs,
        facts: &Self::Facts,
    ) -> Result<Vec<Box<dyn Resource>>, StageError>;

    /// A resource from an earlier run, to undo or remove it: all that is known is what was recorded.
    fn recorded(&self, recorded: &Recorded) -> Result<Box<dyn Resource>, StageError>;

    /// What the stage gives to others.
    fn outputs(
        &self,
        cx: &Context,
        inputs: &Self::Inputs,
        facts: &Self::Facts,
        known: &Known,
    ) -> Result<Self::Outputs, StageError>;
}

/// Plan, apply and rollback for a stage that is a list of resources.
pub struct Kit<T>(pub T);

impl<T: AwsStage> Kit<T> {
    /// The stage with its manifest, for a [`Registry`](pipeline_sdk::Registry).
    pub fn kind(stage: T) -> StageKind {
        StageKind {
            manifest: Manifest::of::<T::Inputs, T::Outputs>(T::KIND, T::SUMMARY),
            stage: Arc::new(Self(stage)),
        }
    }
}

#[async_trait]
impl<T: AwsStage> Stage for Kit<T> {
    async fn plan(&self, cx: &Context, inputs: &Inputs) -> Result<StagePlan, StageError> {
        plan::plan(&self.0, cx, inputs).await
    }

    async fn apply(&self, cx: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
        apply::apply(&self.0, cx, plan).await
    }

    async fn rollback(&self, cx: &Context, done: &[Done]) -> Result<(), StageError> {
        rollback::rollback(&self.0, cx, done).await
    }
}

/// A resource of which only what was recorded is known.
pub(crate) fn handle<T: AwsStage>(
    stage: &T,
    id: &pipeline_sdk::ResourceId,
    attributes: &Attributes,
) -> Result<Box<dyn Resource>, StageError> {
    stage.recorded(&Recorded { id: id.clone(), attributes: attributes.to_value() })
}

#[cfg(test)]
pub(crate) mod tests;
