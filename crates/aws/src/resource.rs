//! One thing that a stage owns in AWS.

use async_trait::async_trait;
use pipeline_sdk::{Action, Context, ResourceId, StageError};

use crate::{Attributes, Known, Reading};

/// How a resource shows whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// By its tags: what carries none of ours is not touched without `adopt`.
    Tags,
    /// By its tags; one without ours is ours too if the state remembers it. For what others add versions
    /// to, as `aws ecs deploy` does to a family of task definitions.
    TagsOrState,
    /// It belongs to another resource of the stage and is ours if that is.
    Parent,
    /// It cannot say: it is ours if the state remembers it.
    State,
}

/// One thing that a stage owns in AWS: how to read, make, change and remove it.
///
/// It is found by a deterministic name, or by what was recorded about it; see
/// [`AwsStage::recorded`](crate::AwsStage::recorded). Attributes that are read back must look like the
/// desired ones, so that what AWS fills in by itself is no difference.
#[async_trait]
pub trait Resource: Send + Sync {
    /// Which resource this is.
    fn id(&self) -> &ResourceId;

    /// How it shows whose it is.
    fn ownership(&self) -> Ownership {
        Ownership::Tags
    }

    /// The attributes that cannot be changed in place.
    fn replaced_by(&self) -> &'static [&'static str] {
        &[]
    }

    /// The attributes that AWS assigns anew when it is changed in place, such as the ARN of a revision:
    /// unknown until then.
    fn assigned_anew(&self) -> &'static [&'static str] {
        &[]
    }

    /// What is recorded with it and AWS does not tell: what a later removal has to know. Put among the
    /// attributes that are read.
    fn notes(&self) -> Attributes {
        Attributes::default()
    }

    /// What it should be like; nothing if it should not exist. With `tags` among the attributes where
    /// [`Ownership::Tags`] holds. Only called on resources from
    /// [`AwsStage::resources`](crate::AwsStage::resources).
    fn desired(&self, known: &Known) -> Result<Option<Attributes>, StageError>;

    /// What it is like: the attributes of [`Resource::desired`] and those that AWS assigned. Nothing
    /// if it does not exist, or is on its way out.
    async fn read(&self, reading: &Reading<'_>) -> Result<Option<Attributes>, StageError>;

    /// Whether `found`, read by what was recorded, is on its way out, so that it has to be made anew.
    fn is_leaving(&self, _found: &Attributes) -> bool {
        false
    }

    /// Makes it. Where it exists already (an answer was lost) it may fail: the kit looks again.
    async fn create(&self, cx: &Context, desired: &Attributes) -> Result<(), StageError>;

    /// Changes it from `observed` to `desired`. Also called to undo a change, and to finish a
    /// creation that was cut short.
    async fn update(
        &self,
        cx: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError>;

    /// Removes it. Gone already is fine.
    async fn delete(&self, cx: &Context, observed: &Attributes) -> Result<(), StageError>;

    /// Undoes its creation. Where a deletion would take along what a rollback must keep, it says so and
    /// keeps it.
    async fn undo_create(&self, cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        self.delete(cx, observed).await
    }

    /// Called before a change of it is undone, and before the world is read for that: ends what may
    /// still be changing it.
    async fn before_undo(&self, _cx: &Context) -> Result<(), StageError> {
        Ok(())
    }

    /// Waits until it can be used. Called after it was made or changed, and when a run that was cut
    /// short finds it as planned.
    async fn settle(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        Ok(())
    }

    /// Why it cannot be removed as long as it is as `observed`, if it cannot: said when it is planned,
    /// before anything else is removed.
    fn protected(&self, _observed: &Attributes) -> Option<String> {
        None
    }

    /// Why `action` cannot be undone, if it cannot.
    fn irreversible(&self, _action: Action, _observed: &Attributes) -> Option<String> {
        None
    }
}
