//! Services: a number of tasks that is kept running, behind load balancers.

mod creation;
mod deletion;
mod deployments;
mod update;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::pages::Page;
use super::task_sets::TaskSetView;
use super::{
    Call, ClusterEntry, ControllerType, Deployment, DeploymentEntry, Event, RolloutState, Service,
    ServiceEntry, ServiceName, ServiceStatus, Tag, clusters, errors, names, tags,
};
use crate::wire::{ApiError, EpochSeconds, Input, Output};

pub(super) use creation::create;
pub(super) use deletion::delete;
pub(crate) use deployments::{begin_deployment, set_desired_count};
pub(super) use update::update;

/// What lists can be narrowed to.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html
pub(super) const LAUNCH_TYPES: [&str; 4] = ["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"];

/// Most services in one DescribeServices call.
const MOST_DESCRIBED: usize = 10;

/// A service as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceView<'a> {
    #[serde(flatten)]
    service: &'a Service,
    task_sets: Vec<TaskSetView<'a>>,
    /// Empty under CODE_DEPLOY and EXTERNAL: those have task sets.
    deployments: Vec<&'a Deployment>,
    events: &'a [Event],
    tags: Option<&'a [Tag]>,
}

/// The service as it is shown, with tags if they are asked for.
pub(super) fn view(entry: &ServiceEntry, tags: bool) -> ServiceView<'_> {
    ServiceView {
        service: &entry.service,
        task_sets: entry.task_sets.iter().map(|set| super::task_sets::view(set, tags)).collect(),
        deployments: entry.deployments.iter().map(|entry| &entry.deployment).collect(),
        events: &entry.events,
        tags: tags.then_some(entry.tags.as_slice()),
    }
}

/// DescribeServices: deleted services stay visible until their name is used again.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    struct Which {
        #[serde(default)]
        cluster: Option<String>,
        #[serde(default)]
        services: Vec<String>,
        #[serde(default)]
        include: Vec<String>,
    }
    let which: Which = input.parse()?;
    if which.services.is_empty() {
        return Err(errors::invalid_parameter("Services cannot be empty."));
    }
    if which.services.len() > MOST_DESCRIBED {
        return Err(errors::invalid_parameter(format!(
            "The number of services must not exceed {MOST_DESCRIBED}."
        )));
    }
    let place = call.place.clone();
    let tags = tags::included(&which.include)?;
    let cluster_name = names::cluster_name(which.cluster.as_deref());
    let asked = which.services.iter().map(|name| names::resource_in(&cluster_name, name));
    let asked: Vec<&str> = asked.collect::<Result<_, _>>()?;
    let cluster = clusters::active(&call.region().ecs.clusters, Some(&cluster_name))?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in asked {
        match cluster.services.get(name) {
            Some(entry) => found.push(view(entry, tags)),
            None => {
                let name = format!("{cluster_name}/{name}");
                failures.push(super::failure(&place, &name, "service"));
            }
        }
    }
    Output::of(&json!({ "services": found, "failures": failures }))
}

/// ListServices: ACTIVE ones.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Which {
        #[serde(default)]
        cluster: Option<String>,
        #[serde(default)]
        launch_type: Option<String>,
        #[serde(default)]
        scheduling_strategy: Option<String>,
    }
    let page: Page = input.parse()?;
    let which: Which = input.parse()?;
    errors::one_of("launchType", which.launch_type.as_deref(), &LAUNCH_TYPES)?;
    errors::one_of("schedulingStrategy", which.scheduling_strategy.as_deref(), &["REPLICA", "DAEMON"])?;
    let cluster = clusters::active(&call.region().ecs.clusters, which.cluster.as_deref())?;
    let wanted = |service: &&Service| {
        service.status.is_active()
            && which.launch_type.as_ref().is_none_or(|kind| service.launch.launch_type.as_ref() == Some(kind))
            && which
                .scheduling_strategy
                .as_ref()
                .is_none_or(|strategy| service.scheduling_strategy == *strategy)
    };
    let services = cluster.services.values().map(|entry| &entry.service).filter(wanted);
    let arns = services.map(|service| service.service_arn.clone()).collect();
    let (arns, next) = page.of(arns, 10, 100)?;
    Output::of(&json!({ "serviceArns": arns, "nextToken": next }))
}

/// Refuses values that AWS does not have.
fn check_values(propagate_tags: Option<&str>, zone_rebalancing: Option<&str>) -> Result<(), ApiError> {
    errors::one_of("propagateTags", propagate_tags, &["TASK_DEFINITION", "SERVICE", "NONE"])?;
    errors::one_of("availabilityZoneRebalancing", zone_rebalancing, &["ENABLED", "DISABLED"])
}

/// The service in an ACTIVE cluster, if it is ACTIVE itself.
fn active_mut<'a>(call: &'a mut Call<'_>, name: &ServiceName) -> Result<&'a mut ServiceEntry, ApiError> {
    let clusters = &mut call.region().ecs.clusters;
    clusters::active(clusters, Some(&name.cluster))?;
    let cluster: &mut ClusterEntry = clusters.get_mut(&name.cluster).ok_or_else(errors::cluster_not_found)?;
    let entry = cluster.services.get_mut(&name.service).ok_or_else(errors::service_not_found)?;
    match entry.service.status {
        ServiceStatus::Active => Ok(entry),
        _ => Err(errors::service_not_active()),
    }
}

#[cfg(test)]
mod tests;
