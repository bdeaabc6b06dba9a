//! How the tasks of a service, a deployment or a task set are launched.

use serde::{Deserialize, Serialize};

use super::StrategyItem;

/// What a service, each of its deployments and each of its task sets has of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Launch {
    /// `FARGATE`, `EC2` or `EXTERNAL`; absent when a capacity provider strategy is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launch_type: Option<String>,
    /// Instead of a launch type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capacity_provider_strategy: Option<Vec<StrategyItem>>,
    /// `LATEST`, `1.4.0`, …; only on Fargate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_version: Option<String>,
    /// `Linux`; only on Fargate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_family: Option<String>,
    /// Subnets and security groups of `awsvpc` tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    /// Target groups that the tasks are registered in.
    pub(crate) load_balancers: Vec<LoadBalancer>,
    /// Service discovery; kept, not acted upon.
    pub(crate) service_registries: Vec<serde_json::Value>,
}

impl Launch {
    /// Whether the tasks run on Fargate.
    pub(crate) fn is_fargate(&self) -> bool {
        let by_provider = self.capacity_provider_strategy.as_deref().unwrap_or_default();
        self.launch_type.as_deref() == Some("FARGATE")
            || by_provider.iter().any(|item| item.capacity_provider.starts_with("FARGATE"))
    }
}

/// A container's port behind a target group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LoadBalancer {
    /// ARN of the target group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_group_arn: Option<String>,
    /// Only for Classic Load Balancers, which the cloud does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_balancer_name: Option<String>,
    /// Which container of the task definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_name: Option<String>,
    /// Which of its ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_port: Option<u16>,
    /// For ECS's own blue/green; kept, not acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advanced_configuration: Option<serde_json::Value>,
}

/// Network of `awsvpc` tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NetworkConfiguration {
    /// The only kind there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) awsvpc_configuration: Option<AwsVpc>,
}

impl NetworkConfiguration {
    /// The subnets named.
    pub(crate) fn subnets(&self) -> &[String] {
        self.awsvpc_configuration.as_ref().map_or(&[], |vpc| vpc.subnets.as_slice())
    }
}

/// Subnets, security groups, public address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AwsVpc {
    /// Ids of subnets of one VPC.
    pub(crate) subnets: Vec<String>,
    /// Ids; the VPC's default group if empty.
    pub(crate) security_groups: Vec<String>,
    /// `ENABLED` or `DISABLED`.
    pub(crate) assign_public_ip: String,
}

impl Default for AwsVpc {
    fn default() -> Self {
        Self { subnets: Vec::new(), security_groups: Vec::new(), assign_public_ip: "DISABLED".into() }
    }
}
