//! What CodeDeploy holds in a region.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Deployment, DeploymentStatus, ErrorInformation};
use super::shapes::{
    AlarmConfiguration, AutoRollbackConfiguration, BlueGreenDeploymentConfiguration, ComputePlatform,
    DeploymentStyle, EcsService, LoadBalancerInfo, RevisionLocation, Tag, TrafficRoutingConfig,
    TriggerConfig,
};
use crate::wire::ApiError;

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CodeDeployState {
    /// By name.
    pub(super) applications: BTreeMap<String, Application>,
    /// The account's own; the predefined ones are in the code.
    pub(super) configs: BTreeMap<String, DeploymentConfig>,
    /// By id, oldest first.
    pub(crate) deployments: IndexMap<String, Deployment>,
}

impl CodeDeployState {
    /// How many applications there are.
    pub(crate) fn application_count(&self) -> usize {
        self.applications.len()
    }

    /// How many deployment configurations the account made.
    pub(crate) fn config_count(&self) -> usize {
        self.configs.len()
    }
}

/// An application.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Application {
    pub(super) id: String,
    pub(super) platform: ComputePlatform,
    pub(super) created: Timestamp,
    pub(super) tags: Vec<Tag>,
    /// By name.
    pub(super) groups: BTreeMap<String, DeploymentGroup>,
    /// Oldest first.
    pub(super) revisions: Vec<Revision>,
}

/// A registered revision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Revision {
    pub(super) location: RevisionLocation,
    pub(super) description: Option<String>,
    pub(super) registered: Timestamp,
    pub(super) first_used: Option<Timestamp>,
    pub(super) last_used: Option<Timestamp>,
    /// Names of groups whose last successful deployment was this revision.
    pub(super) groups: Vec<String>,
}

/// A deployment group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeploymentGroup {
    pub(super) id: String,
    pub(super) config_name: String,
    pub(super) service_role_arn: String,
    pub(super) triggers: Vec<TriggerConfig>,
    pub(super) alarms: Option<AlarmConfiguration>,
    pub(super) auto_rollback: Option<AutoRollbackConfiguration>,
    pub(super) style: DeploymentStyle,
    pub(super) blue_green: Option<BlueGreenDeploymentConfiguration>,
    pub(super) load_balancer: Option<LoadBalancerInfo>,
    pub(super) ecs_services: Vec<EcsService>,
    pub(super) outdated_instances_strategy: String,
    pub(super) termination_hook_enabled: bool,
    /// What only the Server platform has: tag filters, Auto Scaling groups. Kept as given.
    pub(super) server: ServerSettings,
    pub(super) tags: Vec<Tag>,
}

/// Settings of groups of the Server platform, kept as they were given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServerSettings {
    pub(super) ec2_tag_filters: Vec<Value>,
    pub(super) on_premises_instance_tag_filters: Vec<Value>,
    pub(super) auto_scaling_groups: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ec2_tag_set: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) on_premises_tag_set: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ec2_deployment_options: Option<Value>,
}

/// An own deployment configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeploymentConfig {
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) platform: ComputePlatform,
    pub(super) minimum_healthy_hosts: Option<Value>,
    pub(super) routing: Option<TrafficRoutingConfig>,
    pub(super) zonal: Option<Value>,
}

impl CodeDeployState {
    pub(super) fn application(&self, name: &str) -> Result<&Application, ApiError> {
        self.applications.get(name).ok_or_else(|| no_application(name))
    }

    pub(super) fn application_mut(&mut self, name: &str) -> Result<&mut Application, ApiError> {
        self.applications.get_mut(name).ok_or_else(|| no_application(name))
    }

    pub(super) fn deployment(&self, id: &str) -> Result<&Deployment, ApiError> {
        self.deployments.get(id).ok_or_else(|| no_deployment(id))
    }

    pub(super) fn deployment_mut(&mut self, id: &str) -> Result<&mut Deployment, ApiError> {
        self.deployments.get_mut(id).ok_or_else(|| no_deployment(id))
    }

    /// The deployments of a group, oldest first.
    pub(super) fn of_group<'a>(
        &'a self,
        application: &'a str,
        group: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a Deployment> {
        self.deployments
            .values()
            .filter(move |deployment| deployment.application == application && deployment.group == group)
    }

    /// The deployment that keeps a group busy.
    pub(super) fn active<'a>(&'a self, application: &'a str, group: &'a str) -> Option<&'a Deployment> {
        self.of_group(application, group).rev().find(|deployment| !deployment.status.is_final())
    }

    /// The last deployment of a group that succeeded, with a revision: a rollback to what was there
    /// before any deployment has none.
    pub(super) fn last_successful<'a>(
        &'a self,
        application: &'a str,
        group: &'a str,
    ) -> Option<&'a Deployment> {
        self.of_group(application, group).rev().find(|deployment| {
            deployment.status == DeploymentStatus::Succeeded && deployment.revision.revision_type.is_some()
        })
    }

    /// What of a running deployment's application and group was deleted.
    pub(crate) fn missing(&self, application: &str, group: &str) -> Option<ErrorInformation> {
        let Some(known) = self.applications.get(application) else {
            return Some(ErrorInformation::new("APPLICATION_MISSING", "The application was deleted."));
        };
        let gone = !known.groups.contains_key(group);
        gone.then(|| ErrorInformation::new("DEPLOYMENT_GROUP_MISSING", "The deployment group was deleted."))
    }

    /// Names of the alarms that a deployment watches: its own, or those of its group.
    pub(crate) fn alarms_of(&self, deployment: &Deployment) -> Vec<String> {
        let own = deployment.given.get("overrideAlarmConfiguration").filter(|own| !own.is_null());
        let own = own.and_then(|own| AlarmConfiguration::deserialize(own).ok());
        let group = self
            .applications
            .get(&deployment.application)
            .and_then(|known| known.groups.get(&deployment.group));
        let configuration = own.or_else(|| group?.alarms.clone()).filter(|alarms| alarms.enabled);
        configuration.into_iter().flat_map(|alarms| alarms.alarms).map(|alarm| alarm.name).collect()
    }

    /// Notes on the revision that a deployment of its group succeeded with it.
    pub(crate) fn deployed(&mut self, application: &str, group: &str, revision: &RevisionLocation) {
        let Some(application) = self.applications.get_mut(application) else { return };
        for known in &mut application.revisions {
            known.groups.retain(|name| name != group);
            if known.location == *revision {
                known.groups.push(group.to_owned());
            }
        }
    }
}

impl Application {
    pub(super) fn group(&self, name: &str) -> Result<&DeploymentGroup, ApiError> {
        self.groups.get(name).ok_or_else(|| no_group(name))
    }
}

pub(super) fn no_application(name: &str) -> ApiError {
    ApiError::sender("ApplicationDoesNotExistException", format!("No application found for name: {name}"))
}

pub(super) fn no_group(name: &str) -> ApiError {
    ApiError::sender(
        "DeploymentGroupDoesNotExistException",
        format!("No Deployment Group found for name: {name}"),
    )
}

fn no_deployment(id: &str) -> ApiError {
    ApiError::sender("DeploymentDoesNotExistException", format!("The deployment {id} could not be found"))
}
