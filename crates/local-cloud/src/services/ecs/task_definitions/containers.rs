//! Container definitions: what must be there, and the defaults that AWS fills in.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::errors;
use crate::wire::ApiError;

type Container = Map<String, Value>;

/// The containers as AWS shows them: checked, with its defaults.
pub(super) fn complete(
    containers: Vec<Container>,
    network_mode: Option<&str>,
    task_memory: Option<&str>,
) -> Result<Vec<Container>, ApiError> {
    if containers.is_empty() {
        return Err(errors::client("Container list cannot be empty."));
    }
    let mut names = HashSet::new();
    let mut completed = Vec::with_capacity(containers.len());
    for mut container in containers {
        container.retain(|_, value| !value.is_null());
        check(&container, task_memory)?;
        if !names.insert(text(&container, "name").to_owned()) {
            return Err(errors::client(format!(
                "Container definitions must have unique names: {} is given twice.",
                text(&container, "name")
            )));
        }
        fill(&mut container, network_mode)?;
        completed.push(container);
    }
    if !completed.iter().any(is_essential) {
        return Err(errors::client("A task definition must have at least one essential container."));
    }
    check_dependencies(&completed, &names)?;
    Ok(completed)
}

fn text<'a>(container: &'a Container, field: &str) -> &'a str {
    container.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_essential(container: &Container) -> bool {
    container.get("essential").and_then(Value::as_bool).unwrap_or(true)
}

fn check(container: &Container, task_memory: Option<&str>) -> Result<(), ApiError> {
    let name = text(container, "name");
    if name.is_empty() {
        return Err(errors::client("Container.name should not be null or empty."));
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if name.len() > 255 || !name.chars().all(allowed) {
        return Err(errors::client(format!("Container.name contains invalid characters: {name}")));
    }
    if text(container, "image").is_empty() {
        return Err(errors::client("Container.image should not be null or empty."));
    }
    check_memory(container, name, task_memory)
}

fn check_memory(container: &Container, name: &str, task_memory: Option<&str>) -> Result<(), ApiError> {
    let hard = container.get("memory").and_then(Value::as_u64);
    let soft = container.get("memoryReservation").and_then(Value::as_u64);
    if hard.is_none() && soft.is_none() && task_memory.is_none() {
        return Err(errors::client(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be \
             specified."
        )));
    }
    if hard.is_some_and(|hard| hard < 4) || hard.zip(soft).is_some_and(|(hard, soft)| hard < soft) {
        return Err(errors::client(format!(
            "Invalid 'memory' setting for container '{name}': it must be at least 4 MiB and not below \
             'memoryReservation'."
        )));
    }
    let of_task = task_memory.and_then(|memory| memory.parse::<u64>().ok());
    if hard.zip(of_task).is_some_and(|(hard, of_task)| hard > of_task) {
        return Err(errors::client(format!(
            "The 'memory' setting for container '{name}' is greater than for the task."
        )));
    }
    Ok(())
}

fn fill(container: &mut Container, network_mode: Option<&str>) -> Result<(), ApiError> {
    container.entry("cpu").or_insert_with(|| json!(0));
    container.entry("essential").or_insert_with(|| json!(true));
    for list in ["portMappings", "environment", "mountPoints", "volumesFrom", "systemControls"] {
        container.entry(list).or_insert_with(|| json!([]));
    }
    if let Some(Value::Array(mappings)) = container.get_mut("portMappings") {
        for mapping in mappings.iter_mut().filter_map(Value::as_object_mut) {
            fill_port(mapping, network_mode)?;
        }
    }
    if let Some(check) = container.get_mut("healthCheck").and_then(Value::as_object_mut) {
        for (field, default) in [("interval", 30), ("timeout", 5), ("retries", 3)] {
            check.entry(field).or_insert_with(|| json!(default));
        }
    }
    Ok(())
}

fn fill_port(mapping: &mut Container, network_mode: Option<&str>) -> Result<(), ApiError> {
    mapping.entry("protocol").or_insert_with(|| json!("tcp"));
    let Some(port) = mapping.get("containerPort").and_then(Value::as_u64) else {
        return Ok(()); // `containerPortRange` instead.
    };
    if port > 65535 {
        return Err(errors::client("Container port must be between 0 and 65535."));
    }
    let own_network = matches!(network_mode, Some("awsvpc" | "host"));
    let host = mapping.entry("hostPort").or_insert_with(|| json!(if own_network { port } else { 0 }));
    if own_network && host.as_u64() != Some(port) {
        return Err(errors::client(format!(
            "When networkMode={}, the host ports and container ports in port mappings must match.",
            network_mode.unwrap_or_default()
        )));
    }
    Ok(())
}

fn check_dependencies(containers: &[Container], names: &HashSet<String>) -> Result<(), ApiError> {
    let lists = containers.iter().filter_map(|container| container.get("dependsOn")?.as_array());
    for dependency in lists.flatten() {
        let on = dependency.get("containerName").and_then(Value::as_str).unwrap_or_default();
        if !names.contains(on) {
            return Err(errors::client(format!(
                "Invalid setting for container dependency: {on} is not a container of the task definition."
            )));
        }
    }
    Ok(())
}
