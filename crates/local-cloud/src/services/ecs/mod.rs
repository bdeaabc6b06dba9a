//! Amazon ECS: clusters, task definitions, services, task sets and tasks.
//!
//! The handlers change what is desired and show what was observed; `controllers::ecs` brings the one
//! to the other. CodeDeploy works through [`create_task_set`] and its siblings, which also serve the
//! public API for services under the EXTERNAL controller.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/APIReference

mod capacity_providers;
mod clusters;
mod container_instances;
mod errors;
mod launching;
mod model;
mod names;
mod pages;
mod services;
mod settings;
mod tags;
mod task_definitions;
mod task_sets;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use serde_json::{Value, json};

use super::{Call, missing};
use crate::wire::{self, ApiError, Input, Output};
use crate::world::Partition;

pub(crate) use launching::tags_of_definition;
pub(crate) use model::*;
pub(crate) use names::{ServiceName, resource_name};
pub(crate) use services::{begin_deployment, set_desired_count};
pub(crate) use task_definitions::{active_task_definition, forget_deleted, task_definition};
pub(crate) use task_sets::{
    TaskSetSpec, create_task_set, delete_task_set, say, set_primary_task_set, set_task_set_scale,
};
pub(crate) use tasks::{Origin, new_task, stop_task};

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EcsState {
    /// By name.
    pub(crate) clusters: BTreeMap<String, ClusterEntry>,
    /// By family.
    pub(crate) task_definitions: BTreeMap<String, Family>,
    /// Those that customers made, by name.
    capacity_providers: BTreeMap<String, capacity_providers::CapacityProvider>,
    /// Account settings by name; those that were changed.
    pub(crate) settings: BTreeMap<String, String>,
}

/// How much there is of each kind; what is inactive does not count.
pub(crate) struct Counts {
    pub(crate) clusters: usize,
    pub(crate) services: usize,
    pub(crate) task_definitions: usize,
    pub(crate) tasks: usize,
}

impl EcsState {
    /// How much there is.
    pub(crate) fn counts(&self) -> Counts {
        let active = || self.clusters.values().filter(|entry| entry.cluster.status == "ACTIVE");
        let services = active().flat_map(|entry| entry.services.values());
        let tasks = self.clusters.values().flat_map(|entry| entry.tasks.values());
        let revisions = self.task_definitions.values().flat_map(|family| family.revisions.values());
        Counts {
            clusters: active().count(),
            services: services.filter(|entry| entry.service.status != model::ServiceStatus::Inactive).count(),
            task_definitions: revisions
                .filter(|entry| entry.definition.status != model::TaskDefinitionStatus::DeleteInProgress)
                .count(),
            tasks: tasks.filter(|entry| entry.task.last_status != model::TaskStatus::Stopped).count(),
        }
    }

    /// The service, whatever its status.
    pub(crate) fn service(&self, name: &ServiceName) -> Option<&ServiceEntry> {
        self.clusters.get(&name.cluster)?.services.get(&name.service)
    }

    /// The service, whatever its status.
    pub(crate) fn service_mut(&mut self, name: &ServiceName) -> Option<&mut ServiceEntry> {
        self.clusters.get_mut(&name.cluster)?.services.get_mut(&name.service)
    }

    /// A task set of a service, by its id or ARN.
    pub(crate) fn task_set(&self, name: &ServiceName, id: &str) -> Option<&TaskSet> {
        let sets = &self.service(name)?.task_sets;
        sets.iter().map(|entry| &entry.task_set).find(|set| set.id == id || set.task_set_arn == id)
    }
}

impl ServiceEntry {
    /// The task set that serves production traffic.
    pub(crate) fn primary_task_set(&self) -> Option<&TaskSet> {
        let mut sets = self.task_sets.iter().map(|entry| &entry.task_set);
        sets.find(|set| set.status == TaskSetStatus::Primary)
    }
}

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "CreateCluster" => clusters::create(call, input),
        "DescribeClusters" => clusters::describe(call, input),
        "ListClusters" => clusters::list(call, input),
        "UpdateCluster" | "UpdateClusterSettings" => clusters::update(call, input),
        "DeleteCluster" => clusters::delete(call, input),
        "PutClusterCapacityProviders" => clusters::put_capacity_providers(call, input),
        "CreateCapacityProvider" => capacity_providers::create(call, input),
        "UpdateCapacityProvider" => capacity_providers::update(call, input),
        "DeleteCapacityProvider" => capacity_providers::delete(call, input),
        "DescribeCapacityProviders" => capacity_providers::describe(call, input),
        "RegisterTaskDefinition" => task_definitions::register(call, input),
        "DescribeTaskDefinition" => task_definitions::describe(call, input),
        "DeregisterTaskDefinition" => task_definitions::deregister(call, input),
        "ListTaskDefinitions" => task_definitions::list(call, input),
        "ListTaskDefinitionFamilies" => task_definitions::list_families(call, input),
        "DeleteTaskDefinitions" => task_definitions::delete(call, input),
        "CreateService" => services::create(call, input),
        "DescribeServices" => services::describe(call, input),
        "ListServices" => services::list(call, input),
        "UpdateService" => services::update(call, input),
        "DeleteService" => services::delete(call, input),
        "CreateTaskSet" => task_sets::create(call, input),
        "DescribeTaskSets" => task_sets::describe(call, input),
        "UpdateTaskSet" => task_sets::update(call, input),
        "UpdateServicePrimaryTaskSet" => task_sets::update_primary(call, input),
        "DeleteTaskSet" => task_sets::delete(call, input),
        "RunTask" => tasks::run(call, input),
        "StartTask" => tasks::start(call, input),
        "StopTask" => tasks::stop(call, input),
        "DescribeTasks" => tasks::describe(call, input),
        "ListTasks" => tasks::list(call, input),
        "TagResource" => tags::tag(call, input),
        "UntagResource" => tags::untag(call, input),
        "ListTagsForResource" => tags::list(call, input),
        "PutAccountSetting" | "PutAccountSettingDefault" => settings::put(call, input),
        "DeleteAccountSetting" => settings::delete(call, input),
        "ListAccountSettings" => settings::list(call, input),
        "ListAttributes" => container_instances::list_attributes(call, input),
        "ListContainerInstances" => container_instances::list(call, input),
        "DescribeContainerInstances" | "UpdateContainerInstancesState" => {
            container_instances::describe(call, input)
        }
        // Nothing is found through Cloud Map.
        "ListServicesByNamespace" => Output::of(&json!({ "serviceArns": [] })),
        _ => Err(missing(wire::Service::Ecs, operation)),
    }
}

/// An item of a `failures` list: nothing of that name is there.
fn failure(place: &Partition, name_or_arn: &str, kind: &str) -> Value {
    let arn = match name_or_arn.starts_with("arn:") {
        true => name_or_arn.to_owned(),
        false => names::arn(place, &format!("{kind}/{name_or_arn}")),
    };
    json!({ "arn": arn, "reason": "MISSING" })
}
