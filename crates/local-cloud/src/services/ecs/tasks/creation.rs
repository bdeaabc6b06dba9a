//! Making the record of a task. The controller does the rest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{EpochSeconds, HealthStatus, Tag, Task, TaskEntry, TaskStatus, names};
use crate::services::ecs::{Attachment, AttachmentDetail, Container, Launch, StrategyItem, TaskDefinition};
use crate::world::Partition;

/// Who wants a task, and what for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// `service:NAME` or `family:NAME`.
    pub(crate) group: String,
    /// Deployment or task set, or what RunTask's caller says.
    pub(crate) started_by: Option<String>,
    /// The service it belongs to.
    pub(crate) service: Option<String>,
    pub(crate) tags: Vec<Tag>,
    /// RunTask's `overrides`.
    pub(crate) overrides: Map<String, Value>,
    pub(crate) client_token: Option<String>,
    /// Digest of what RunTask was asked for.
    pub(crate) request: Option<String>,
    pub(crate) enable_execute_command: bool,
    /// How many tasks each capacity provider has already, where a strategy chooses.
    pub(crate) placed: BTreeMap<String, u32>,
}

/// A new task: PROVISIONING, without an address yet.
pub(crate) fn new_task(
    place: &Partition,
    now: Timestamp,
    definition: &TaskDefinition,
    launch: &Launch,
    origin: Origin,
) -> TaskEntry {
    let id = Uuid::new_v4().simple().to_string();
    let task_arn = names::arn(place, &format!("task/{}/{id}", origin.cluster));
    let fargate = launch.is_fargate();
    let strategy = launch.capacity_provider_strategy.as_deref().unwrap_or_default();
    let size = |name: &str, defined: &Option<String>| {
        origin.overrides.get(name).and_then(Value::as_str).map(str::to_owned).or_else(|| defined.clone())
    };
    let architecture = definition
        .other
        .get("runtimePlatform")
        .and_then(|platform| Some(platform.get("cpuArchitecture")?.as_str()?.to_ascii_lowercase()));
    let task = Task {
        cluster_arn: names::arn(place, &format!("cluster/{}", origin.cluster)),
        task_definition_arn: definition.task_definition_arn.clone(),
        last_status: TaskStatus::Provisioning,
        desired_status: TaskStatus::Running,
        containers: containers(place, &task_arn, &origin, definition),
        attachments: attachments(launch),
        attributes: vec![json!({
            "name": "ecs.cpu-architecture", "value": architecture.unwrap_or_else(|| "x86_64".into())
        })],
        overrides: overrides(definition, &origin.overrides),
        group: origin.group,
        started_by: origin.started_by,
        launch_type: if fargate { Some("FARGATE".into()) } else { launch.launch_type.clone() },
        capacity_provider_name: choose(strategy, &origin.placed),
        platform_version: fargate.then(|| actual_version(launch.platform_version.as_deref())),
        platform_family: fargate.then(|| "Linux".to_owned()),
        availability_zone: None,
        cpu: size("cpu", &definition.cpu),
        memory: size("memory", &definition.memory),
        ephemeral_storage: fargate.then(|| {
            definition.other.get("ephemeralStorage").cloned().unwrap_or_else(|| json!({ "sizeInGiB": 20 }))
        }),
        enable_execute_command: origin.enable_execute_command,
        health_status: HealthStatus::Unknown,
        connectivity: None,
        connectivity_at: None,
        created_at: EpochSeconds(now),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
        stopped_reason: None,
        stop_code: None,
        version: 1,
        task_arn,
    };
    TaskEntry {
        task,
        id,
        tags: origin.tags,
        address: None,
        service: origin.service,
        client_token: origin.client_token,
        request: origin.request,
        essential: essential(definition),
        launch: launch.clone(),
        interface: None,
        registered: false,
        proven: false,
        seen_failed: false,
    }
}

fn essential(definition: &TaskDefinition) -> Vec<String> {
    let containers = definition.container_definitions.iter();
    containers
        .filter(|container| container.get("essential").and_then(Value::as_bool).unwrap_or(true))
        .filter_map(|container| Some(container.get("name")?.as_str()?.to_owned()))
        .collect()
}

/// `LATEST` is what it is today.
fn actual_version(asked: Option<&str>) -> String {
    match asked {
        None | Some("LATEST") => "1.4.0".to_owned(),
        Some(version) => version.to_owned(),
    }
}

fn containers(
    place: &Partition,
    task_arn: &str,
    origin: &Origin,
    definition: &TaskDefinition,
) -> Vec<Container> {
    let text = |container: &Map<String, Value>, field: &str| match container.get(field) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let id = task_arn.rsplit('/').next().unwrap_or_default();
    let make = |container: &Map<String, Value>| Container {
        container_arn: names::arn(place, &format!("container/{}/{id}/{}", origin.cluster, Uuid::new_v4())),
        task_arn: task_arn.to_owned(),
        name: text(container, "name").unwrap_or_default(),
        image: text(container, "image").unwrap_or_default(),
        image_digest: None,
        runtime_id: None,
        last_status: TaskStatus::Pending,
        exit_code: None,
        reason: None,
        network_bindings: Vec::new(),
        network_interfaces: Vec::new(),
        health_status: HealthStatus::Unknown,
        cpu: text(container, "cpu").unwrap_or_else(|| "0".into()),
        memory: text(container, "memory"),
        memory_reservation: text(container, "memoryReservation"),
    };
    definition.container_definitions.iter().map(make).collect()
}

/// The network interface, which is made when the task is provisioned.
fn attachments(launch: &Launch) -> Vec<Attachment> {
    let Some(subnet) = launch.network_configuration.as_ref().and_then(|network| network.subnets().first())
    else {
        return Vec::new();
    };
    vec![Attachment {
        id: Uuid::new_v4().to_string(),
        kind: "ElasticNetworkInterface".into(),
        status: "PRECREATED".into(),
        details: vec![AttachmentDetail { name: "subnetId".into(), value: subnet.clone() }],
    }]
}

/// Every container is named, as AWS does, with what is overridden.
fn overrides(definition: &TaskDefinition, given: &Map<String, Value>) -> Value {
    let given_containers = given.get("containerOverrides").and_then(Value::as_array);
    let find = |name: &str| {
        given_containers
            .into_iter()
            .flatten()
            .find(|item| item.get("name").and_then(Value::as_str) == Some(name))
    };
    let containers: Vec<Value> = definition
        .container_definitions
        .iter()
        .filter_map(|container| container.get("name").and_then(Value::as_str))
        .map(|name| find(name).cloned().unwrap_or_else(|| json!({ "name": name })))
        .collect();
    let mut all = given.clone();
    all.insert("containerOverrides".into(), json!(containers));
    all.entry("inferenceAcceleratorOverrides").or_insert_with(|| json!([]));
    Value::Object(all)
}

/// The provider of the next task: first the base, then by weight.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProviderStrategyItem.html
fn choose(strategy: &[StrategyItem], placed: &BTreeMap<String, u32>) -> Option<String> {
    let count = |item: &StrategyItem| placed.get(&item.capacity_provider).copied().unwrap_or(0);
    if let Some(item) = strategy.iter().find(|item| count(item) < item.base) {
        return Some(item.capacity_provider.clone());
    }
    let weighted = strategy.iter().filter(|item| item.weight > 0);
    let load =
        |item: &&StrategyItem| f64::from(count(item).saturating_sub(item.base)) / f64::from(item.weight);
    let lightest = weighted.min_by(|a, b| load(a).total_cmp(&load(b)));
    lightest.or(strategy.first()).map(|item| item.capacity_provider.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_fills_the_base_then_weighs() {
        let item = |name: &str, weight, base| StrategyItem { capacity_provider: name.into(), weight, base };
        let strategy = [item("FARGATE", 1, 2), item("FARGATE_SPOT", 3, 0)];
        let mut placed = BTreeMap::new();
        for _ in 0..10 {
            let name = choose(&strategy, &placed).expect("one");
            *placed.entry(name).or_insert(0) += 1;
        }
        assert_eq!(placed, BTreeMap::from([("FARGATE".into(), 4), ("FARGATE_SPOT".into(), 6)]));
        assert_eq!(choose(&[], &placed), None);
    }
}
