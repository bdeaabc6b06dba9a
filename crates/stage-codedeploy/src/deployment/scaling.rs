//! Auto scaling rests while traffic is shifted.
//!
//! A change of the desired count in the middle of a deployment can fail it, or leave the wrong count:
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-bluegreen.html>. A run
//! that is killed before it resumes leaves it suspended; the stage that owns the scalable target then
//! plans to resume it.

use aws_sdk_applicationautoscaling::types::{
    ScalableDimension, ScalableTarget, ServiceNamespace, SuspendedState,
};
use pipeline_aws::{Aws, AwsResult};
use pipeline_sdk::{Context, Progress, ProgressLevel, StageError};

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
    let resource = format!("service/{}/{}", plan.cluster, plan.service);
    let Some(target) = find(aws, &resource).await? else {
        return Ok(Suspended { aws, resource, before: None });
    };
    let before = target.suspended_state.unwrap_or_else(|| state(false));
    let done = set(aws, &resource, state(true)).await;
    let suspended = Suspended { aws, resource, before: Some(before) };
    if let Err(error) = done {
        // Without an answer it may be suspended all the same.
        suspended.resume(cx).await;
        return Err(error);
    }
    Ok(suspended)
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

async fn find(aws: &Aws, resource: &str) -> Result<Option<ScalableTarget>, StageError> {
    let call = aws.autoscaling().describe_scalable_targets();
    let call = call.service_namespace(ServiceNamespace::Ecs).resource_ids(resource);
    let answer = call.send().await.or_fail("application-autoscaling:DescribeScalableTargets")?;
    Ok(answer.scalable_targets.unwrap_or_default().into_iter().next())
}

async fn set(aws: &Aws, resource: &str, state: SuspendedState) -> Result<(), StageError> {
    let call = aws.autoscaling().register_scalable_target();
    let call = call
        .service_namespace(ServiceNamespace::Ecs)
        .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
        .resource_id(resource)
        .suspended_state(state);
    call.send().await.or_fail("application-autoscaling:RegisterScalableTarget").map(|_| ())
}

fn state(suspended: bool) -> SuspendedState {
    SuspendedState::builder()
        .dynamic_scaling_in_suspended(suspended)
        .dynamic_scaling_out_suspended(suspended)
        .scheduled_scaling_suspended(suspended)
        .build()
}
