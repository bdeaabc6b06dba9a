//! Task definitions: families of numbered revisions that never change.

mod containers;
mod fargate;
mod registration;
mod traits;

use serde::Deserialize;
use serde_json::{Value, json};

use super::pages::Page;
use super::{
    Call, EcsState, Tag, TaskDefinition, TaskDefinitionEntry, TaskDefinitionStatus, TaskStatus, errors,
    resource_name, tags,
};
use crate::wire::{ApiError, EpochSeconds, Input, Output};

pub(super) use registration::register;

/// The definition that `name` means: `family` (its newest ACTIVE revision), `family:revision` or an ARN.
pub(crate) fn task_definition<'a>(state: &'a EcsState, name: &str) -> Option<&'a TaskDefinition> {
    Some(&entry(state, name)?.definition)
}

fn entry<'a>(state: &'a EcsState, name: &str) -> Option<&'a TaskDefinitionEntry> {
    let name = resource_name(name);
    if let Some((family, revision)) = name.split_once(':') {
        return state.task_definitions.get(family)?.revisions.get(&revision.parse().ok()?);
    }
    let mut revisions = state.task_definitions.get(name)?.revisions.values().rev();
    revisions.find(|entry| entry.definition.status == TaskDefinitionStatus::Active)
}

/// The definition that `name` means, which new tasks may be started from.
///
/// # Errors
/// `ClientException`.
pub(crate) fn active_task_definition<'a>(
    state: &'a EcsState,
    name: &str,
) -> Result<&'a TaskDefinition, ApiError> {
    let definition =
        task_definition(state, name).ok_or_else(|| errors::client("TaskDefinition not found."))?;
    match definition.status {
        TaskDefinitionStatus::Active => Ok(definition),
        _ => Err(errors::client("TaskDefinition is inactive")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneInput {
    task_definition: String,
    #[serde(default)]
    include: Vec<String>,
}

/// DescribeTaskDefinition.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: OneInput = input.parse()?;
    let shows_tags = tags::included(&input.include)?;
    let found = entry(&call.region().ecs, &input.task_definition)
        .ok_or_else(|| errors::client("Unable to describe task definition."))?;
    let tags = shows_tags.then_some(&found.tags);
    Output::of(&json!({ "taskDefinition": found.definition, "tags": tags }))
}

/// DeregisterTaskDefinition: the revision becomes INACTIVE; what runs of it goes on.
pub(super) fn deregister(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: OneInput = input.parse()?;
    let now = call.now;
    let Some((family, revision)) = resource_name(&input.task_definition).split_once(':') else {
        return Err(errors::client("Revision is missing."));
    };
    let revision: u32 = revision
        .parse()
        .map_err(|_| errors::client(format!("Invalid revision number. Number: {revision}")))?;
    let family = call.region().ecs.task_definitions.get_mut(family);
    let found = family.and_then(|family| family.revisions.get_mut(&revision));
    let definition =
        &mut found.ok_or_else(|| errors::client("The specified task definition does not exist."))?.definition;
    if definition.status != TaskDefinitionStatus::Active {
        return Err(errors::client(
            "The specified task definition is inactive. You can only deregister active task definitions.",
        ));
    }
    definition.status = TaskDefinitionStatus::Inactive;
    definition.deregistered_at = Some(EpochSeconds(now));
    Output::of(&json!({ "taskDefinition": definition }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListInput {
    #[serde(default)]
    family_prefix: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    sort: Option<String>,
}

/// ListTaskDefinitions: by family and revision, of a whole family name; ACTIVE ones unless told otherwise.
pub(super) fn list(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let page: Page = input.parse()?;
    let input: ListInput = input.parse()?;
    let wanted: TaskDefinitionStatus = status(input.status.as_deref().unwrap_or("ACTIVE"))?;
    let mut arns = Vec::new();
    for (name, family) in &call.region().ecs.task_definitions {
        // Here the prefix is a full family name (API_ListTaskDefinitions).
        if input.family_prefix.as_ref().is_some_and(|prefix| prefix != name) {
            continue;
        }
        let revisions = family.revisions.values().map(|entry| &entry.definition);
        let revisions = revisions.filter(|definition| definition.status == wanted);
        arns.extend(revisions.map(|definition| definition.task_definition_arn.clone()));
    }
    if input.sort.as_deref() == Some("DESC") {
        arns.reverse();
    }
    let (arns, next) = page.of(arns, 100, 100)?;
    Output::of(&json!({ "taskDefinitionArns": arns, "nextToken": next }))
}

/// ListTaskDefinitionFamilies: INACTIVE is a family without any ACTIVE revision. One whose revisions were all
/// deleted is kept for its numbers only.
pub(super) fn list_families(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let page: Page = input.parse()?;
    let input: ListInput = input.parse()?;
    let wanted = input.status.as_deref().unwrap_or("ALL");
    if !["ALL", "ACTIVE", "INACTIVE"].contains(&wanted) {
        return Err(errors::invalid_parameter(format!("{wanted} is not a status of a family.")));
    }
    let prefix = input.family_prefix.unwrap_or_default();
    let families = call.region().ecs.task_definitions.iter().filter(|(name, _)| name.starts_with(&prefix));
    let families = families.filter(|(_, family)| !family.revisions.is_empty()).filter(|(_, family)| {
        let mut definitions = family.revisions.values().map(|entry| entry.definition.status);
        let active = definitions.any(|status| status == TaskDefinitionStatus::Active);
        wanted == "ALL" || active == (wanted == "ACTIVE")
    });
    let (names, next) = page.of(families.map(|(name, _)| name.clone()).collect(), 100, 100)?;
    Output::of(&json!({ "families": names, "nextToken": next }))
}

/// DeleteTaskDefinitions: INACTIVE revisions; those still in use stay, in the status DELETE_IN_PROGRESS.
pub(super) fn delete(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Which {
        task_definitions: Vec<String>,
    }
    let which = input.parse::<Which>()?.task_definitions;
    if which.is_empty() || which.len() > 10 {
        return Err(errors::invalid_parameter("Specify between 1 and 10 task definitions."));
    }
    let state = &mut call.region().ecs;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for name in which {
        match delete_one(state, &name) {
            Ok(definition) => deleted.push(definition),
            Err(reason) => failures.push(json!({ "arn": name, "reason": reason })),
        }
    }
    Output::of(&json!({ "taskDefinitions": deleted, "failures": failures }))
}

fn delete_one(state: &mut EcsState, name: &str) -> Result<TaskDefinition, &'static str> {
    const INVALID: &str =
        "The specified task definition identifier is invalid. Specify a valid name or ARN and try again.";
    const UNKNOWN: &str = "The specified task definition does not exist. Specify a valid account, family, revision \
                           and try again.";
    let (family, revision) = resource_name(name).split_once(':').ok_or(INVALID)?;
    let revision: u32 = revision.parse().map_err(|_| INVALID)?;
    let found = state.task_definitions.get_mut(family).and_then(|family| family.revisions.get_mut(&revision));
    let definition = &mut found.ok_or(UNKNOWN)?.definition;
    if definition.status == TaskDefinitionStatus::Active {
        return Err(
            "The specified task definition is still in ACTIVE status. Please deregister the target and \
                    try again.",
        );
    }
    definition.status = TaskDefinitionStatus::DeleteInProgress;
    let definition = definition.clone();
    forget_deleted(state);
    Ok(definition)
}

/// Removes the deleted revisions that nothing uses any more; tells whether there were any.
pub(crate) fn forget_deleted(state: &mut EcsState) -> bool {
    let definitions = state.task_definitions.values().flat_map(|family| family.revisions.values());
    let deleted = definitions
        .map(|entry| &entry.definition)
        .filter(|definition| definition.status == TaskDefinitionStatus::DeleteInProgress)
        .filter(|definition| !is_used(state, &definition.task_definition_arn));
    let unused: Vec<_> = deleted.map(|definition| (definition.family.clone(), definition.revision)).collect();
    for (family, revision) in &unused {
        if let Some(family) = state.task_definitions.get_mut(family) {
            family.revisions.remove(revision);
        }
    }
    !unused.is_empty()
}

fn is_used(state: &EcsState, arn: &str) -> bool {
    state.clusters.values().any(|cluster| {
        let by_task = cluster
            .tasks
            .values()
            .any(|task| task.task.last_status != TaskStatus::Stopped && task.task.task_definition_arn == arn);
        let by_service = cluster.services.values().any(|service| {
            !matches!(service.service.status, super::ServiceStatus::Inactive)
                && (service.service.task_definition.as_deref() == Some(arn)
                    || service.task_sets.iter().any(|entry| entry.task_set.task_definition == arn)
                    || service.deployments.iter().any(|entry| entry.deployment.task_definition == arn))
        });
        by_task || by_service
    })
}

fn status(name: &str) -> Result<TaskDefinitionStatus, ApiError> {
    serde_json::from_value(Value::String(name.to_owned()))
        .map_err(|_| errors::invalid_parameter(format!("{name} is not a status of a task definition.")))
}

#[cfg(test)]
mod tests;
