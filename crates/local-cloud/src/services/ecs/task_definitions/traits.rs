//! What a container instance would need to run a definition: shown as `requiresAttributes`.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/task-placement-constraints.html, and the
//! ECS agent's capabilities (github.com/aws/amazon-ecs-agent, agent/app/agent_capability.go).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::TaskDefinition;

/// The attributes that `definition` needs, sorted by name.
pub(super) fn required(definition: &TaskDefinition) -> Vec<Value> {
    let mut names = BTreeSet::new();
    let roles = |name: &str| definition.other.contains_key(name);
    let execution_role = roles("executionRoleArn");
    if definition.network_mode.as_deref() == Some("awsvpc") {
        names.insert("ecs.capability.task-eni".to_owned());
    }
    if roles("taskRoleArn") {
        names.insert("com.amazonaws.ecs.capability.task-iam-role".to_owned());
    }
    for container in &definition.container_definitions {
        names.insert("com.amazonaws.ecs.capability.docker-remote-api.1.18".to_owned());
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        if image.contains(".dkr.ecr.") {
            names.insert("com.amazonaws.ecs.capability.ecr-auth".to_owned());
            names.insert("com.amazonaws.ecs.capability.docker-remote-api.1.19".to_owned());
            if execution_role {
                names.insert("ecs.capability.execution-role-ecr-pull".to_owned());
            }
        }
        let log = container.get("logConfiguration").and_then(|log| log.get("logDriver")?.as_str());
        if let Some(driver) = log {
            names.insert(format!("com.amazonaws.ecs.capability.logging-driver.{driver}"));
            if driver == "awslogs" && execution_role {
                names.insert("ecs.capability.execution-role-awslogs".to_owned());
            }
        }
        for (field, capability) in [
            ("healthCheck", "ecs.capability.container-health-check"),
            ("dependsOn", "ecs.capability.container-ordering"),
            ("secrets", "ecs.capability.secrets.asm.environment-variables"),
        ] {
            if container.contains_key(field) {
                names.insert(capability.to_owned());
            }
        }
    }
    names.into_iter().map(|name| json!({ "name": name })).collect()
}
