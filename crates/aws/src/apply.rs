//! Does what a plan says: an intent before each side effect, its result after it.

use std::time::Duration;

use pipeline_sdk::{
    Action, ApplyError, Context, Mode, Outputs, ResourceId, StageError, StagePlan, Value, contains_unknown,
};

use crate::plan::{Listing, handler_of_step, is_ours, not_ours, outputs, remembered, touches};
use crate::step::{Before, Detail, Step, read, write};
use crate::tags::forget_foreign;
use crate::wait::{self, WaitOptions};
use crate::{Attributes, AwsError, AwsStage, Known, Reading, Resource, diff, look};

/// How long AWS may take to show what was made or changed.
const SHOWN: Duration = Duration::from_secs(60);

pub(crate) async fn apply<T: AwsStage>(
    stage: &T,
    cx: &Context,
    plan: &StagePlan,
) -> Result<Outputs, ApplyError> {
    let detail: Detail = read(&plan.detail, "the plan of this stage")?;
    let mut work = Work { stage, cx, known: Known::default() };
    for (id, attributes) in &detail.existing {
        work.known.exists(id.clone(), attributes.clone());
    }
    if cx.mode() == Mode::Destroy {
        work.remove(&detail.steps, None).await?;
        return Ok(Outputs::default());
    }
    let inputs: T::Inputs = detail.inputs.parse()?;
    let facts: T::Facts = read(&detail.facts, "what this stage had looked up")?;
    let resources = stage.resources(cx, &inputs, &facts)?;
    let listing = Listing { inputs, facts, resources };
    let result = work.converge(&listing, &detail.steps).await;
    let outcome = result.and_then(|()| outputs(stage, cx, &listing, &work.known));
    outcome.map_err(|error| {
        let mut so_far = outputs(stage, cx, &listing, &work.known).unwrap_or_default();
        so_far.values.retain(|_, value| !contains_unknown(value));
        ApplyError { error, so_far }
    })
}

/// The steps of one apply and what is known while they are taken.
struct Work<'a, T> {
    stage: &'a T,
    cx: &'a Context,
    known: Known,
}

impl<T: AwsStage> Work<'_, T> {
    async fn converge(&mut self, listing: &Listing<T>, steps: &[Step]) -> Result<(), StageError> {
        let adopt = self.stage.adopts(&listing.inputs);
        for step in steps.iter().rev().filter(|step| step.action == Action::Replace) {
            // What is no longer wanted may depend on it and would keep it from being removed.
            self.remove(steps, Some(&step.id)).await?;
            self.clear_way(listed(listing, &step.id)?, step).await?;
        }
        for step in steps.iter().filter(|step| step.action != Action::Delete) {
            self.make_as_planned(listed(listing, &step.id)?, step, adopt).await?;
        }
        self.remove(steps, None).await
    }

    /// Deletions last first: what was made last depends on what was made before. With `after`, only of
    /// what was made after that resource.
    async fn remove(&mut self, steps: &[Step], after: Option<&ResourceId>) -> Result<(), StageError> {
        let cx = self.cx;
        let gone = steps.iter().rev().filter(|step| step.action == Action::Delete);
        for step in gone.filter(|step| after.is_none_or(|id| made_after(cx, &step.id, id))) {
            self.stop_if_cancelled()?;
            let resource = handler_of_step(self.stage, step)?;
            if let Some(now) = self.look(resource.as_ref()).await? {
                self.delete(resource.as_ref(), now).await?;
            }
        }
        Ok(())
    }

    /// Removes what cannot be changed in place, unless that was done before a crash.
    async fn clear_way(&mut self, resource: &dyn Resource, step: &Step) -> Result<(), StageError> {
        self.stop_if_cancelled()?;
        let Some(now) = self.look(resource).await? else { return Ok(()) };
        let planned = step.observed.clone().unwrap_or_default();
        let is_old = resource.replaced_by().iter().all(|key| now.value(key) == planned.value(key));
        if is_old { self.delete(resource, now).await } else { Ok(()) }
    }

    async fn make_as_planned(
        &mut self,
        resource: &dyn Resource,
        step: &Step,
        adopt: bool,
    ) -> Result<(), StageError> {
        self.stop_if_cancelled()?;
        let desired = resource
            .desired(&self.known)?
            .ok_or_else(|| stale(resource.id(), "it is not wanted any more"))?;
        if contains_unknown(&desired.to_value()) {
            let id = resource.id();
            return Err(StageError::failed(format!("{id} needs a value that is still not known")));
        }
        let Some(mut now) = self.look(resource).await? else {
            return match step.action {
                Action::Update => Err(stale(resource.id(), "it was removed")),
                _ => self.create(resource, desired).await,
            };
        };
        if !adopt && !is_ours(self.cx, resource, &now, Some(&desired)) {
            return Err(not_ours(self.cx, resource, &now, T::TAKEOVER_INPUT));
        }
        forget_foreign(&mut now, &desired, &remembered(self.cx, resource.id()));
        let changes = diff(&now, &desired);
        if changes.is_empty() {
            resource.settle(self.cx, &now).await?;
            self.known.exists(resource.id().clone(), now);
            return Ok(());
        }
        let planned = |path: &str| match step.action {
            Action::Update => step.paths.iter().any(|allowed| touches(path, &[allowed])),
            _ => !touches(path, resource.replaced_by()),
        };
        match changes.iter().find(|change| !planned(&change.path)) {
            Some(other) => Err(stale(resource.id(), &format!("its `{}` was changed", other.path))),
            None => self.update(resource, now, desired).await,
        }
    }

    async fn create(&mut self, resource: &dyn Resource, desired: Attributes) -> Result<(), StageError> {
        let before = Before { observed: None, desired: Some(desired.clone()) };
        let intent = self.intend(resource.id(), Action::Create, &before).await?;
        let made = match resource.create(self.cx, &desired).await {
            Ok(()) => self.appear(resource).await?,
            Err(error) => self.find_after_failure(resource, &desired, error).await?,
        };
        self.conclude(resource, intent, made).await
    }

    /// A creation that failed may have happened all the same: the answer was lost, or a retry met
    /// its own work.
    async fn find_after_failure(
        &self,
        resource: &dyn Resource,
        desired: &Attributes,
        error: StageError,
    ) -> Result<Attributes, StageError> {
        let Ok(Some(mut now)) = self.look(resource).await else { return Err(error) };
        if !is_ours(self.cx, resource, &now, Some(desired)) {
            return Err(error);
        }
        forget_foreign(&mut now, desired, &Attributes::default());
        if diff(&now, desired).is_empty() {
            return Ok(now);
        }
        if !AwsError::behind(&error).is_some_and(AwsError::says_exists) {
            return Err(error);
        }
        resource.update(self.cx, &now, desired).await?;
        self.change(resource, &now, desired).await
    }

    async fn update(
        &mut self,
        resource: &dyn Resource,
        now: Attributes,
        desired: Attributes,
    ) -> Result<(), StageError> {
        let before = Before { observed: Some(now.clone()), desired: Some(desired.clone()) };
        let intent = self.intend(resource.id(), Action::Update, &before).await?;
        resource.update(self.cx, &now, &desired).await?;
        let made = self.change(resource, &now, &desired).await?;
        self.conclude(resource, intent, made).await
    }

    async fn delete(&mut self, resource: &dyn Resource, now: Attributes) -> Result<(), StageError> {
        let before = Before { observed: Some(now.clone()), desired: None };
        let intent = self.intend(resource.id(), Action::Delete, &before).await?;
        resource.delete(self.cx, &now).await?;
        self.known.is_gone(resource.id());
        self.cx.done(intent, Value::Null).await
    }

    async fn conclude(
        &mut self,
        resource: &dyn Resource,
        intent: u64,
        made: Attributes,
    ) -> Result<(), StageError> {
        self.cx.done(intent, made.to_value()).await?;
        // Known before it has settled: a failure while waiting must not forget it.
        self.known.exists(resource.id().clone(), made.clone());
        resource.settle(self.cx, &made).await
    }

    async fn intend(&self, id: &ResourceId, action: Action, before: &Before) -> Result<u64, StageError> {
        self.cx.intent(id.clone(), action, Some(write(before)?)).await
    }

    async fn look(&self, resource: &dyn Resource) -> Result<Option<Attributes>, StageError> {
        look::at(self.stage, &Reading::new(self.cx), resource).await
    }

    /// Reads what was just made; AWS may need a moment to show it.
    async fn appear(&self, resource: &dyn Resource) -> Result<Attributes, StageError> {
        let what = format!("{} to appear", resource.id());
        wait::until(self.cx, &what, WaitOptions::within(SHOWN), || self.look(resource)).await
    }

    /// Reads what was just changed. AWS may need a moment here too, in which it shows what was there
    /// `before`: whoever took that for the result would go on with the old one, and call it done.
    async fn change(
        &self,
        resource: &dyn Resource,
        before: &Attributes,
        desired: &Attributes,
    ) -> Result<Attributes, StageError> {
        let what = format!("{} to change", resource.id());
        let changes = diff(before, desired);
        wait::until(self.cx, &what, WaitOptions::within(SHOWN), || async {
            let Some(now) = self.look(resource).await? else { return Ok(None) };
            let left = diff(&now, desired);
            Ok((!changes.iter().any(|change| left.contains(change))).then_some(now))
        })
        .await
    }

    fn stop_if_cancelled(&self) -> Result<(), StageError> {
        if self.cx.cancel().is_cancelled() { Err(StageError::Cancelled) } else { Ok(()) }
    }
}

fn listed<'a, T: AwsStage>(listing: &'a Listing<T>, id: &ResourceId) -> Result<&'a dyn Resource, StageError> {
    let found = listing.resources.iter().find(|resource| resource.id() == id);
    found.map(AsRef::as_ref).ok_or_else(|| stale(id, "the stage does not know it any more"))
}

/// Whether the state has `one` later in its list than `other`.
fn made_after(cx: &Context, one: &ResourceId, other: &ResourceId) -> bool {
    let made = cx.prior().map(|prior| prior.outputs.resources.as_slice()).unwrap_or_default();
    let place = |id: &ResourceId| made.iter().position(|recorded| recorded.id == *id);
    matches!((place(one), place(other)), (Some(one), Some(other)) if one > other)
}

fn stale(id: &ResourceId, how: &str) -> StageError {
    StageError::failed(format!("{id}: {how} since the plan was made")).with_help("plan again")
}
