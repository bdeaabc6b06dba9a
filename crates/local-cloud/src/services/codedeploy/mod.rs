//! AWS CodeDeploy: applications, deployment groups and configurations, and the deployments that the
//! controller of the same name carries out on ECS services.
//!
//! Applications of the Server and Lambda platforms are kept as data: their deployments stay Created,
//! because there are no instances and no functions here.
//!
//! Source: docs.aws.amazon.com/codedeploy/latest/APIReference

mod applications;
mod appspec;
mod checks;
mod configs;
mod deployments;
mod group_checks;
mod groups;
mod page;
mod record;
mod revisions;
mod shapes;
mod state;
mod steering;
mod tags;
mod targets;

use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};

pub(crate) use appspec::AppSpec;
pub(crate) use record::{
    Deployment, DeploymentStatus, ErrorInformation, EventStatus, HookResult, LifecycleEvent, Requests,
    RollbackInfo, TaskSetSnapshot, new_deployment_id,
};
pub(crate) use shapes::Routing;
pub(crate) use state::CodeDeployState;

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "CreateApplication" => applications::create(call, &input.parse()?),
        "GetApplication" => applications::get(call, &input.parse()?),
        "BatchGetApplications" => applications::batch_get(call, &input.parse()?),
        "ListApplications" => applications::list(call, &input.parse()?),
        "UpdateApplication" => applications::update(call, &input.parse()?),
        "DeleteApplication" => applications::delete(call, &input.parse()?),
        "CreateDeploymentGroup" => groups::create(call, input.parse()?),
        "GetDeploymentGroup" => groups::get(call, &input.parse()?),
        "BatchGetDeploymentGroups" => groups::batch_get(call, &input.parse()?),
        "ListDeploymentGroups" => groups::list(call, &input.parse()?),
        "UpdateDeploymentGroup" => groups::update(call, input.parse()?),
        "DeleteDeploymentGroup" => groups::delete(call, &input.parse()?),
        "CreateDeploymentConfig" => configs::create(call, input.parse()?),
        "GetDeploymentConfig" => configs::get(call, &input.parse()?),
        "ListDeploymentConfigs" => configs::list(call, &input.parse()?),
        "DeleteDeploymentConfig" => configs::delete(call, &input.parse()?),
        "CreateDeployment" => deployments::create(call, input.parse()?),
        "GetDeployment" => deployments::get(call, &input.parse()?),
        "BatchGetDeployments" => deployments::batch_get(call, &input.parse()?),
        "ListDeployments" => deployments::list(call, &input.parse()?),
        "StopDeployment" => steering::stop(call, &input.parse()?),
        "ContinueDeployment" => steering::proceed(call, &input.parse()?),
        "SkipWaitTimeForInstanceTermination" => steering::skip_wait(call, &input.parse()?),
        "PutLifecycleEventHookExecutionStatus" => steering::put_hook_status(call, &input.parse()?),
        "ListDeploymentTargets" => targets::list(call, &input.parse()?),
        "GetDeploymentTarget" => targets::get(call, &input.parse()?),
        "BatchGetDeploymentTargets" => targets::batch_get(call, &input.parse()?),
        "ListDeploymentInstances" | "BatchGetDeploymentInstances" | "GetDeploymentInstance" => {
            targets::instances(call, operation, &input.parse()?)
        }
        "RegisterApplicationRevision" => revisions::register(call, input.parse()?),
        "GetApplicationRevision" => revisions::get(call, input.parse()?),
        "BatchGetApplicationRevisions" => revisions::batch_get(call, input.parse()?),
        "ListApplicationRevisions" => revisions::list(call, &input.parse()?),
        "TagResource" => tags::tag(call, input.parse()?),
        "UntagResource" => tags::untag(call, &input.parse()?),
        "ListTagsForResource" => tags::list(call, &input.parse()?),
        _ => Err(missing(Service::CodeDeploy, operation)),
    }
}

#[cfg(test)]
mod tests;
