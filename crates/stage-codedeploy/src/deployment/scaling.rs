//! Auto scaling rests while traffic is shifted.
//!
//! A change of the desired count in the middle of a deployment can fail it, or leave the wrong count:
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-bluegreen.html>. A run
//! that is killed before it resumes leaves it suspended; the stage that owns the scalable target then
//! plans to resume it, and whoever undoes the run resumes it here.

use pipeline_aws::Aws;
use pipeline_aws::scaling::{SuspendedState, dimension, policy, resource_id, scalable_target};
use pipeline_sdk::{Context, Progress, ProgressLevel, StageError, json};

use super::Plan;

/// What was suspended and has to be resumed.
pub(super) struct Suspended<'a> {
    aws: &'a Aws,
    resource: String,
    before: Option<SuspendedState>,
}

/// Suspends the scaling of the service, if it scales.
pub(super) async fn suspend<'a>(
    aws: &'a Aws,
    cx: &Context,
    plan: &Plan,
) -> Result<Suspended<'a>, StageError> {
    let resource = resource_id(&plan.cluster, &plan.service);
    let Some(target) = scalable_target(aws, &resource).await? else {
        return Ok(Suspended { aws, resource, before: None });
    };
    let before = match is_left_behind(aws, &resource, target.suspended_state).await? {
        true => SuspendedState::of_all(false),
        false => target.suspended_state,
    };
    let done = set(aws, &resource, SuspendedState::of_all(true)).await;
    let suspended = Suspended { aws, resource, before: Some(before) };
    if let Err(error) = done {
        // Without an answer it may be suspended all the same.
        suspended.resume(cx).await;
        return Err(error);
    }
    Ok(suspended)
}

/// Resumes what a run left suspended that was killed in the middle of a deployment.
pub(super) async fn resume_abandoned(aws: &Aws, plan: &Plan) -> Result<(), StageError> {
    let resource = resource_id(&plan.cluster, &plan.service);
    let Some(target) = scalable_target(aws, &resource).await? else { return Ok(()) };
    if is_left_behind(aws, &resource, target.suspended_state).await? {
        set(aws, &resource, SuspendedState::of_all(false)).await?;
    }
    Ok(())
}

/// Whether no one else than a run that was killed can have suspended scaling like this: a pipeline that scales the
/// service always wants it resumed. Where somebody else scales it, suspending it may be theirs.
async fn is_left_behind(aws: &Aws, resource: &str, state: SuspendedState) -> Result<bool, StageError> {
    Ok(state.all() && policy(aws, resource).await?.is_some())
}

impl Suspended<'_> {
    /// Brings scaling back to what it was. A failure is said and does not change how the
    /// deployment ended: the next run finds it.
    pub(super) async fn resume(self, cx: &Context) {
        let Some(before) = self.before else { return };
        if let Err(error) = set(self.aws, &self.resource, before).await {
            cx.report(Progress {
                level: ProgressLevel::Warning,
                ..Progress::note(format!("auto scaling is still suspended: {error}; run again to resume it"))
            });
        }
    }
}

async fn set(aws: &Aws, resource: &str, state: SuspendedState) -> Result<(), StageError> {
    let input = dimension(resource, json!({ "SuspendedState": state }));
    aws.autoscaling().tell("application-autoscaling:RegisterScalableTarget", input).await
}
