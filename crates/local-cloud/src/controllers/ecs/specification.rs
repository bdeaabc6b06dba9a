//! From a task definition to what a runtime starts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};

use super::TaskName;
use super::output::Outputs;
use crate::services::ecs::{TaskDefinition, TaskEntry, task_definition};
use crate::world::{Partition, Region};
use pipeline_data_plane::registry::Scope;
use pipeline_data_plane::runtime::{AddressBook, ContainerSpec, HealthCheck, PortSpec, TaskSpec, Transport};

/// What the runtime is to start for a task. Fails with the task's stopped reason.
pub(super) fn of(
    region: &Region,
    name: &TaskName,
    entry: &TaskEntry,
    addresses: AddressBook,
    outputs: &Outputs,
) -> Result<TaskSpec, String> {
    let definition = task_definition(&region.ecs, &entry.task.task_definition_arn)
        .ok_or("ResourceInitializationError: the task definition does not exist any more")?;
    let Some(address) = entry.address else {
        return Err(
            "ResourceInitializationError: the embedded cloud runs tasks with the network mode awsvpc \
                    only"
                .into(),
        );
    };
    let containers = definition.container_definitions.iter().map(|container| {
        check(container)?;
        let overrides = overrides_of(entry, &text(container, "name").unwrap_or_default());
        let mut spec = container_spec(&name.place, container, overrides);
        spec.log = outputs.sink(&region.logs, &name.place, &name.id, container)?;
        Ok(spec)
    });
    let containers = containers.collect::<Result<Vec<_>, String>>()?;
    Ok(TaskSpec {
        id: name.id.clone(),
        scope: Scope::new(&name.place.account, &name.place.region),
        address: IpAddr::V4(addresses.task(address)),
        containers: in_order(definition, containers),
    })
}

/// The longest `stopTimeout` of a task's containers, in seconds.
pub(super) fn stop_timeout(region: &Region, name: &TaskName) -> Option<u64> {
    let task = region.ecs.clusters.get(&name.cluster)?.tasks.get(&name.id)?;
    let definition = task_definition(&region.ecs, &task.task.task_definition_arn)?;
    definition.container_definitions.iter().filter_map(|it| it.get("stopTimeout")?.as_u64()).max()
}

/// Whether a container of the definition has a health check.
pub(super) fn has_health_check(definition: &TaskDefinition) -> bool {
    definition.container_definitions.iter().any(|container| container.contains_key("healthCheck"))
}

/// What the cloud cannot give to a container.
fn check(container: &Map<String, Value>) -> Result<(), String> {
    let name = text(container, "name").unwrap_or_default();
    let given = |field: &str| container.get(field).and_then(Value::as_array).is_some_and(|it| !it.is_empty());
    let lacks = |what: &str| {
        Err(format!(
            "ResourceInitializationError: container {name}: the embedded cloud does not implement {what}"
        ))
    };
    if given("secrets") {
        return lacks("secrets (valueFrom); give the value in `environment` for local runs");
    }
    if given("environmentFiles") {
        return lacks("environmentFiles; give the values in `environment` for local runs");
    }
    if given("mountPoints") {
        return lacks("volumes (mountPoints)");
    }
    Ok(())
}

fn container_spec(
    place: &Partition,
    container: &Map<String, Value>,
    overrides: Option<&Map<String, Value>>,
) -> ContainerSpec {
    let over = |field: &str| overrides.and_then(|it| it.get(field)).or_else(|| container.get(field));
    let number = |field: &str| over(field)?.as_u64().and_then(|it| u32::try_from(it).ok());
    let mut environment = BTreeMap::from([
        ("AWS_REGION".to_owned(), place.region.clone()),
        ("AWS_DEFAULT_REGION".to_owned(), place.region.clone()),
        ("AWS_EXECUTION_ENV".to_owned(), "AWS_ECS_FARGATE".to_owned()),
    ]);
    environment.extend(pairs(container.get("environment")));
    environment.extend(pairs(overrides.and_then(|it| it.get("environment"))));
    ContainerSpec {
        name: text(container, "name").unwrap_or_default(),
        image: text(container, "image").unwrap_or_default(),
        command: list(over("command")),
        entry_point: list(container.get("entryPoint")),
        environment,
        working_directory: text(container, "workingDirectory"),
        user: text(container, "user"),
        cpu: number("cpu").filter(|cpu| *cpu > 0),
        memory: number("memory"),
        ports: ports(container),
        essential: container.get("essential").and_then(Value::as_bool).unwrap_or(true),
        readonly_root: container.get("readonlyRootFilesystem").and_then(Value::as_bool).unwrap_or(false),
        labels: labels(container),
        health_check: container.get("healthCheck").and_then(Value::as_object).and_then(health_check),
        log: None,
    }
}

fn overrides_of<'a>(entry: &'a TaskEntry, container: &str) -> Option<&'a Map<String, Value>> {
    let all = entry.task.overrides.get("containerOverrides")?.as_array()?;
    let mut all = all.iter().filter_map(Value::as_object);
    all.find(|item| item.get("name").and_then(Value::as_str) == Some(container))
}

fn text(container: &Map<String, Value>, field: &str) -> Option<String> {
    Some(container.get(field)?.as_str()?.to_owned())
}

fn list(value: Option<&Value>) -> Option<Vec<String>> {
    let items: Vec<String> =
        value?.as_array()?.iter().filter_map(|it| Some(it.as_str()?.to_owned())).collect();
    (!items.is_empty()).then_some(items)
}

fn pairs(value: Option<&Value>) -> Vec<(String, String)> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items
        .filter_map(|item| {
            Some((item.get("name")?.as_str()?.to_owned(), item.get("value")?.as_str()?.to_owned()))
        })
        .collect()
}

fn labels(container: &Map<String, Value>) -> BTreeMap<String, String> {
    let labels = container.get("dockerLabels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn ports(container: &Map<String, Value>) -> Vec<PortSpec> {
    let mappings = container.get("portMappings").and_then(Value::as_array).into_iter().flatten();
    mappings
        .filter_map(|mapping| {
            let port = u16::try_from(mapping.get("containerPort")?.as_u64()?).ok()?;
            let udp = mapping.get("protocol").and_then(Value::as_str) == Some("udp");
            Some(PortSpec { port, protocol: if udp { Transport::Udp } else { Transport::Tcp } })
        })
        .collect()
}

fn health_check(check: &Map<String, Value>) -> Option<HealthCheck> {
    let seconds = |field: &str, default: u64| {
        Duration::from_secs(check.get(field).and_then(Value::as_u64).unwrap_or(default))
    };
    let retries = check.get("retries").and_then(Value::as_u64).unwrap_or(3);
    Some(HealthCheck {
        command: list(check.get("command"))?,
        interval: seconds("interval", 30),
        timeout: seconds("timeout", 5),
        retries: u32::try_from(retries).unwrap_or(3),
        start_period: seconds("startPeriod", 0),
    })
}

/// Containers after those that they depend on; otherwise as defined. What waits for a cycle comes last.
fn in_order(definition: &TaskDefinition, mut containers: Vec<ContainerSpec>) -> Vec<ContainerSpec> {
    let needs = |name: &str| -> Vec<String> {
        let dependencies = definition.container(name).and_then(|it| it.get("dependsOn")?.as_array());
        let names = dependencies.into_iter().flatten().filter_map(|it| it.get("containerName")?.as_str());
        names.map(str::to_owned).collect()
    };
    let mut ordered: Vec<ContainerSpec> = Vec::with_capacity(containers.len());
    while !containers.is_empty() {
        let ready = containers.iter().position(|container| {
            needs(&container.name).iter().all(|need| ordered.iter().any(|done| done.name == *need))
        });
        ordered.push(containers.remove(ready.unwrap_or(0)));
    }
    ordered
}
