//! RegisterTaskDefinition: every registration makes a new revision.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Call, Tag, TaskDefinition, TaskDefinitionEntry, TaskDefinitionStatus, containers, errors, fargate, traits,
};
use crate::services::ecs::{names, tags};
use crate::wire::{ApiError, EpochSeconds, Input, Output};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterInput {
    #[serde(default)]
    family: String,
    #[serde(default)]
    container_definitions: Vec<Map<String, Value>>,
    #[serde(default)]
    network_mode: Option<String>,
    #[serde(default)]
    requires_compatibilities: Option<Vec<String>>,
    #[serde(default)]
    cpu: Option<String>,
    #[serde(default)]
    memory: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// What is kept as it was given, of what is not interpreted.
///
/// Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html
const KEPT: [&str; 11] = [
    "taskRoleArn",
    "executionRoleArn",
    "volumes",
    "placementConstraints",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
];

/// RegisterTaskDefinition.
pub(in crate::services::ecs) fn register(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let mut input: RegisterInput = input.parse()?;
    check_family(&input.family)?;
    tags::check(&input.tags)?;
    check_network_mode(input.network_mode.as_deref())?;
    input.cpu = input.cpu.as_deref().map(fargate::cpu_units).transpose()?;
    input.memory = input.memory.as_deref().map(fargate::mebibytes).transpose()?;
    let containers = containers::complete(
        input.container_definitions.clone(),
        input.network_mode.as_deref(),
        input.memory.as_deref(),
    )?;
    let mut definition = TaskDefinition {
        task_definition_arn: String::new(),
        container_definitions: containers,
        family: input.family.clone(),
        revision: 0,
        status: TaskDefinitionStatus::Active,
        network_mode: input.network_mode,
        compatibilities: Vec::new(),
        requires_compatibilities: input.requires_compatibilities,
        cpu: input.cpu,
        memory: input.memory,
        registered_at: EpochSeconds(call.now),
        deregistered_at: None,
        registered_by: call.global_arn("iam", "root"),
        other: kept(input.other),
    };
    fargate::check(&definition)?;
    definition.compatibilities = fargate::compatibilities(&definition);
    definition.other.insert("requiresAttributes".into(), json!(traits::required(&definition)));

    let place = call.place.clone();
    let family = call.region().ecs.task_definitions.entry(input.family).or_default();
    family.last_revision += 1;
    definition.revision = family.last_revision;
    definition.task_definition_arn = names::arn(&place, &format!("task-definition/{}", definition.name()));
    let answer = json!({ "taskDefinition": definition, "tags": input.tags });
    let entry = TaskDefinitionEntry { definition, tags: input.tags };
    family.revisions.insert(family.last_revision, entry);
    Output::of(&answer)
}

fn kept(other: Map<String, Value>) -> Map<String, Value> {
    let is_kept = |(name, value): &(String, Value)| KEPT.contains(&name.as_str()) && !value.is_null();
    let mut kept: Map<String, Value> = other.into_iter().filter(is_kept).collect();
    for list in ["volumes", "placementConstraints"] {
        kept.entry(list).or_insert_with(|| json!([]));
    }
    // An EFS volume without a root is mounted from its file system's own.
    for volume in kept.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(efs)) = volume.get_mut("efsVolumeConfiguration") {
            efs.entry("rootDirectory").or_insert_with(|| json!("/"));
        }
    }
    kept
}

fn check_family(family: &str) -> Result<(), ApiError> {
    if family.is_empty() {
        return Err(errors::client("Family should not be null or empty."));
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if family.len() > 255 || !family.chars().all(allowed) {
        return Err(errors::client(
            "Family contains invalid characters, or is longer than 255 characters. Letters, digits, hyphens and \
             underscores are allowed.",
        ));
    }
    Ok(())
}

fn check_network_mode(mode: Option<&str>) -> Result<(), ApiError> {
    match mode {
        None | Some("awsvpc" | "bridge" | "host" | "none") => Ok(()),
        Some(other) => Err(errors::client(format!("Invalid network mode: {other}"))),
    }
}
