//! What Fargate asks of a task definition, and its sizes.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html and
//! docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html

use serde_json::Value;

use super::{TaskDefinition, errors};
use crate::wire::ApiError;

/// CPU units with the memory in MiB they may have: smallest, largest, step.
const SIZES: [(u64, u64, u64, u64); 7] = [
    (256, 512, 2048, 1024),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

fn is_size(cpu: u64, memory: u64) -> bool {
    SIZES.iter().any(|(units, least, most, step)| {
        let in_steps = memory.is_multiple_of(*step) || (cpu == 256 && memory == 512);
        *units == cpu && (*least..=*most).contains(&memory) && in_steps
    })
}

/// A task's CPU as units in text: `256`, from that or from `.25 vCPU`.
pub(super) fn cpu_units(given: &str) -> Result<String, ApiError> {
    units(given, "vcpu").ok_or_else(|| errors::client("Invalid 'cpu' setting for task."))
}

/// A task's memory as MiB in text: `1024`, from that or from `1 GB`.
pub(super) fn mebibytes(given: &str) -> Result<String, ApiError> {
    units(given, "gb").ok_or_else(|| errors::client("Invalid 'memory' setting for task."))
}

fn units(given: &str, suffix: &str) -> Option<String> {
    let lower = given.trim().to_ascii_lowercase();
    let count = match lower.strip_suffix(suffix) {
        Some(number) => {
            let number: f64 = number.trim().parse().ok()?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let count = (number * 1024.0).round() as u64;
            count
        }
        None => lower.parse().ok()?,
    };
    (count > 0).then(|| count.to_string())
}

/// Refuses a definition that asks for Fargate and cannot run there.
pub(super) fn check(definition: &TaskDefinition) -> Result<(), ApiError> {
    let wanted = definition.requires_compatibilities.as_deref().unwrap_or_default();
    if let Some(other) = wanted.iter().find(|name| !KINDS.contains(&name.as_str())) {
        return Err(errors::client(format!("Invalid compatibility: {other}")));
    }
    if !wanted.iter().any(|name| name == "FARGATE") {
        return Ok(());
    }
    problem(definition).map_or(Ok(()), |problem| Err(errors::client(problem)))
}

const KINDS: [&str; 4] = ["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"];

/// What a definition could run on.
pub(super) fn compatibilities(definition: &TaskDefinition) -> Vec<String> {
    let mut kinds = Vec::new();
    if definition.network_mode.as_deref() != Some("awsvpc") {
        kinds.push("EXTERNAL".to_owned());
    }
    kinds.push("EC2".to_owned());
    if problem(definition).is_none() {
        kinds.push("FARGATE".to_owned());
    }
    kinds
}

fn problem(definition: &TaskDefinition) -> Option<String> {
    if definition.network_mode.as_deref() != Some("awsvpc") {
        return Some("Fargate only supports network mode 'awsvpc'.".into());
    }
    let Some(cpu) = &definition.cpu else {
        return Some("Fargate requires that 'cpu' be defined at the task level.".into());
    };
    let Some(memory) = &definition.memory else {
        return Some("Fargate requires that 'memory' be defined at the task level.".into());
    };
    let size = cpu.parse().ok().zip(memory.parse().ok());
    if !size.is_some_and(|(cpu, memory)| is_size(cpu, memory)) {
        return Some(format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS \
             documentation for the valid values."
        ));
    }
    mode_problem(definition).or_else(|| role_problem(definition)).or_else(|| container_problem(definition))
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#other_task_definition_params>
fn mode_problem(definition: &TaskDefinition) -> Option<String> {
    let mode = |name: &str| definition.other.get(name).and_then(Value::as_str);
    if let Some(pid) = mode("pidMode").filter(|pid| *pid != "task") {
        return Some(format!(
            "Tasks using the Fargate launch type do not support pidMode '{pid}'. The supported value for pidMode is \
             'task'."
        ));
    }
    mode("ipcMode").map(|_| "Fargate does not support the ipcMode parameter.".into())
}

fn role_problem(definition: &TaskDefinition) -> Option<String> {
    if definition.other.contains_key("executionRoleArn") {
        return None;
    }
    let needs = definition.container_definitions.iter().find_map(|container| {
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let driver = container.get("logConfiguration").and_then(|log| log.get("logDriver"));
        if driver.and_then(Value::as_str) == Some("awslogs") {
            Some("log driver awslogs")
        } else if image.contains(".dkr.ecr.") {
            Some("ECR images")
        } else if container.contains_key("secrets") {
            Some("secrets")
        } else {
            None
        }
    })?;
    Some(format!("Fargate requires task definition to have execution role ARN to support {needs}."))
}

fn container_problem(definition: &TaskDefinition) -> Option<String> {
    let is_true = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(true);
    for container in &definition.container_definitions {
        if is_true(container.get("privileged")) {
            return Some("Fargate does not support privileged containers.".into());
        }
        if container.contains_key("links") {
            return Some("Fargate does not support links.".into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_table() {
        assert!(is_size(256, 512) && is_size(256, 1024) && is_size(256, 2048));
        assert!(!is_size(256, 1536) && !is_size(256, 4096) && !is_size(512, 512));
        assert!(is_size(4096, 30_720) && !is_size(4096, 31_744));
        assert!(is_size(8192, 20_480) && !is_size(8192, 17_408));
        assert!(!is_size(128, 512));
    }

    #[test]
    fn units_are_read_as_numbers_and_as_words() {
        assert_eq!(cpu_units(".25 vCPU").expect("reads"), "256");
        assert_eq!(mebibytes("2GB").expect("reads"), "2048");
        assert_eq!(mebibytes("512").expect("reads"), "512");
        assert!(cpu_units("much").is_err() && mebibytes("0").is_err());
    }
}
