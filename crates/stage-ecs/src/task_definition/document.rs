//! What is registered: made from the inputs, or the user's own file.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::Tag;
use pipeline_aws::{Attributes, Known, template};
use pipeline_sdk::{Context, Maybe, ResourceId, StageError, Value, contains_unknown, json};
use sha2::{Digest, Sha256};

use super::shown::{self, Detail};
use crate::{EcsInputs, Names};

/// Stand for the roles' ARNs in a document, which are known later than the rest of it.
const EXECUTION_ROLE: &str = "${execution_role_arn}";
const TASK_ROLE: &str = "${task_role_arn}";

/// What a plan calls the architecture.
pub(super) const ARCHITECTURE: &str = "architecture";

/// The input of RegisterTaskDefinition, but for roles and tags.
pub(super) struct Document {
    content: Value,
    image: Value,
    /// The container that gets the traffic.
    container: String,
    execution: Role,
    task: Role,
}

/// Where a role's ARN comes from.
enum Role {
    Given(Maybe<String>),
    Made(ResourceId),
}

impl Role {
    fn of(given: &Option<Maybe<String>>, made: ResourceId) -> Self {
        given.clone().map_or(Self::Made(made), Self::Given)
    }

    fn arn(&self, known: &Known) -> Option<String> {
        match self {
            Self::Given(arn) => arn.known().cloned(),
            Self::Made(id) => known.text(id, "arn").map(str::to_owned),
        }
    }
}

impl Document {
    pub(super) fn of(
        cx: &Context,
        names: &Names,
        inputs: &EcsInputs,
        region: &str,
    ) -> Result<Self, StageError> {
        let image = inputs.image.to_value();
        let containers = match &inputs.task_definition {
            None => json!([container(names, inputs, region)]),
            Some(path) => {
                let content = own_file(cx, names, inputs, region, path)?;
                check(path, &content, names, inputs)?;
                check_images(path, &content, inputs)?;
                // The image may still be unknown: it is filled in when the stage is planned again.
                if inputs.image.known().is_some() { content } else { json!([{ "image": image }]) }
            }
        };
        Ok(Self {
            content: whole(names, inputs, containers),
            image,
            container: names.container.clone(),
            execution: Role::of(&inputs.execution_role_arn, names.execution_role_id()),
            task: Role::of(&inputs.task_role_arn, names.task_role_id()),
        })
    }

    /// The attributes that a plan shows.
    pub(super) fn shown(&self) -> Attributes {
        Attributes::of(json!({
            "image": self.image,
            "cpu": self.content["cpu"],
            "memory": self.content["memory"],
        }))
    }

    /// The name of the container that gets the traffic.
    pub(super) fn container(&self) -> &str {
        &self.container
    }

    /// More that a plan shows, so that it can be told from it what another fingerprint comes from. Nothing as long as
    /// the user's own file cannot be filled in.
    pub(super) fn details(&self) -> Vec<Detail> {
        let containers = self.content["containerDefinitions"].as_array();
        let container = containers.and_then(|all| all.iter().find(|one| one["name"] == *self.container));
        let mut details = container.map(shown::wanted).unwrap_or_default();
        details.push((ARCHITECTURE, self.content["runtimePlatform"]["cpuArchitecture"].clone()));
        details
    }

    /// The ARNs of execution role and task role, once both are known.
    pub(super) fn roles(&self, known: &Known) -> Option<(String, String)> {
        Some((self.execution.arn(known)?, self.task.arn(known)?))
    }

    /// A digest of everything that is registered.
    pub(super) fn fingerprint(&self, execution: &str, task: &str) -> Result<String, StageError> {
        if contains_unknown(&self.content) {
            return Err(StageError::failed("the task definition still holds an unknown value"));
        }
        let digest = Sha256::digest(self.filled(execution, task).to_string().as_bytes());
        Ok(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The body of the request.
    pub(super) fn body(&self, execution: &str, task: &str, tags: &[Tag]) -> Result<String, StageError> {
        let mut body = self.filled(execution, task);
        let tags: Vec<_> = tags.iter().map(|tag| json!({ "key": tag.key(), "value": tag.value() })).collect();
        body["tags"] = Value::Array(tags);
        Ok(body.to_string())
    }

    fn filled(&self, execution: &str, task: &str) -> Value {
        fill(self.content.clone(), execution, task)
    }
}

fn fill(value: Value, execution: &str, task: &str) -> Value {
    match value {
        Value::String(text) => {
            Value::String(text.replace(EXECUTION_ROLE, execution).replace(TASK_ROLE, task))
        }
        Value::Array(items) => items.into_iter().map(|item| fill(item, execution, task)).collect(),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(key, field)| (key, fill(field, execution, task))).collect(),
        ),
        other => other,
    }
}

/// The container definition made from the inputs.
fn container(names: &Names, inputs: &EcsInputs, region: &str) -> Value {
    let variables: Vec<_> = inputs
        .environment
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value.to_value() }))
        .collect();
    let secrets: Vec<_> =
        inputs.secrets.iter().map(|(name, arn)| json!({ "name": name, "valueFrom": arn })).collect();
    let mut container = json!({
        "name": names.container,
        "image": inputs.image.to_value(),
        "essential": true,
        "portMappings": [{ "containerPort": inputs.port, "hostPort": inputs.port, "protocol": "tcp" }],
        "environment": variables,
        "stopTimeout": inputs.stop_timeout_seconds,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": names.log_group,
                "awslogs-region": region,
                "awslogs-stream-prefix": names.container,
            },
        },
    });
    let lists = [
        ("secrets", json!(secrets)),
        ("command", json!(inputs.command)),
        ("entryPoint", json!(inputs.entry_point)),
    ];
    for (key, list) in
        lists.into_iter().filter(|(_, list)| list.as_array().is_some_and(|items| !items.is_empty()))
    {
        container[key] = list;
    }
    container
}

/// The user's file: a list of containers, or an object with everything.
fn own_file(
    cx: &Context,
    names: &Names,
    inputs: &EcsInputs,
    region: &str,
    path: &str,
) -> Result<Value, StageError> {
    let values = BTreeMap::from([
        ("image", inputs.image.known().cloned().unwrap_or_default()),
        ("name", names.container.clone()),
        ("port", inputs.port.to_string()),
        ("region", region.to_owned()),
        ("log-group", names.log_group.clone()),
        ("family", names.family.clone()),
        ("cpu", inputs.cpu.to_string()),
        ("memory", inputs.memory.to_string()),
        ("execution_role_arn", EXECUTION_ROLE.to_owned()),
        ("task_role_arn", TASK_ROLE.to_owned()),
        ("app_name", cx.pipeline().name.clone()),
        ("environment", cx.pipeline().environment.clone()),
    ]);
    let text = template::fill("task_definition", &template::read(cx, "task_definition", path)?, &values)?;
    let content: Value = serde_json::from_str(&text)
        .map_err(|error| StageError::input("task_definition", format!("{path} is not JSON: {error}")))?;
    match content {
        Value::Array(_) | Value::Object(_) => Ok(content),
        _ => Err(StageError::input("task_definition", format!("{path} is neither a list nor an object"))),
    }
}

/// The containers of a file, which is their list or an object with everything.
fn containers(content: &Value) -> Option<&Vec<Value>> {
    content.as_array().or_else(|| content["containerDefinitions"].as_array())
}

/// The container that gets the traffic has to be in the user's file, with its port: the load balancer and the
/// deployment name both.
fn check(path: &str, content: &Value, names: &Names, inputs: &EcsInputs) -> Result<(), StageError> {
    let refuse = |why: String| Err(StageError::input("task_definition", format!("{path} {why}")));
    let Some(containers) = containers(content) else {
        return refuse("is an object without the list `containerDefinitions`".into());
    };
    let Some(container) = containers.iter().find(|one| one["name"] == *names.container) else {
        let has = containers.iter().filter_map(|one| one["name"].as_str());
        let has = has.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let has = if has.is_empty() { "none".to_owned() } else { has };
        return refuse(format!(
            "has no container `{}`, which is to get the traffic (it has {has}): use `${{name}}` there, or set \
             `container_name`",
            names.container
        ));
    };
    let ports = container["portMappings"].as_array().into_iter().flatten();
    if ports.map(|port| &port["containerPort"]).any(|port| *port == inputs.port) {
        return Ok(());
    }
    refuse(format!(
        "maps no port {} in the container `{}`: use `${{port}}` there, or set `port`",
        inputs.port, names.container
    ))
}

/// The image is given with its digest: what a file puts behind it, such as the tag of a template for another tool, would
/// make an image that nobody can pull.
fn check_images(path: &str, content: &Value, inputs: &EcsInputs) -> Result<(), StageError> {
    let Some(image) = inputs.image.known() else { return Ok(()) };
    let mut images =
        containers(content).into_iter().flatten().filter_map(|container| container["image"].as_str());
    match images.find(|used| used.len() > image.len() && used.contains(image.as_str())) {
        Some(used) => Err(StageError::input(
            "task_definition",
            format!("{path} makes the image {used} of `${{image}}`, which is whole by itself: {image}"),
        )),
        None => Ok(()),
    }
}

/// Everything around the containers; what the user's file says itself goes before it.
fn whole(names: &Names, inputs: &EcsInputs, content: Value) -> Value {
    let mut whole = json!({
        "family": names.family,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": inputs.cpu.to_string(),
        "memory": inputs.memory.to_string(),
        "executionRoleArn": EXECUTION_ROLE,
        "taskRoleArn": TASK_ROLE,
        "runtimePlatform": { "cpuArchitecture": inputs.architecture, "operatingSystemFamily": "LINUX" },
    });
    match content {
        Value::Object(fields) => {
            for (key, value) in fields.into_iter().filter(|(key, _)| key != "family" && key != "tags") {
                whole[key] = value;
            }
        }
        containers => whole["containerDefinitions"] = containers,
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let text = |text: &str| text.to_owned();
        Names {
            cluster: text("web"),
            service: text("web"),
            family: text("web"),
            container: text("app"),
            log_group: text("/ecs/web"),
            execution_role: text("web-execution"),
            task_role: text("web-task"),
        }
    }

    fn document(image: Value) -> Document {
        let inputs = json!({
            "image": image, "subnets": ["s"], "security_groups": ["g"], "target_group_arn": "t",
            "environment": { "LEVEL": "info" },
        });
        let inputs: EcsInputs = serde_json::from_value(inputs).expect("reads");
        let names = names();
        Document {
            content: whole(&names, &inputs, json!([container(&names, &inputs, "eu-central-1")])),
            image: inputs.image.to_value(),
            container: names.container.clone(),
            execution: Role::Given(Maybe::Known("arn:execution".into())),
            task: Role::Made(names.task_role_id()),
        }
    }

    #[test]
    fn a_generated_document_is_what_fargate_wants() {
        let body = document(json!("a@sha256:b")).body("arn:execution", "arn:task", &[]).expect("body");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        insta::assert_json_snapshot!(body);
    }

    #[test]
    fn an_own_file_without_the_container_of_the_traffic_is_refused() {
        let said = |content: Value| {
            let inputs = json!({
                "image": "i", "subnets": [], "security_groups": [], "target_group_arn": "t", "port": 8080,
            });
            let inputs: EcsInputs = serde_json::from_value(inputs).expect("reads");
            check("task.json", &content, &names(), &inputs).map_err(|error| error.to_string())
        };
        let container =
            |name: &str, port: u16| json!({ "name": name, "portMappings": [{ "containerPort": port }] });
        assert_eq!(said(json!([container("log", 1), container("app", 8080)])), Ok(()));
        assert_eq!(said(json!({ "containerDefinitions": [container("app", 8080)] })), Ok(()));
        let refused = |content| said(content).expect_err("refused");
        assert!(
            refused(json!([])).contains("has no container `app`, which is to get the traffic (it has none)")
        );
        assert!(refused(json!([container("web", 8080)])).contains("(it has `web`)"));
        assert!(refused(json!([container("app", 80)])).contains("maps no port 8080 in the container `app`"));
        assert!(refused(json!({ "family": "web" })).contains("without the list `containerDefinitions`"));
    }

    #[test]
    fn an_image_with_something_behind_its_digest_is_refused() {
        let inputs = json!({
            "image": "host/hello@sha256:b", "subnets": [], "security_groups": [], "target_group_arn": "t",
        });
        let inputs: EcsInputs = serde_json::from_value(inputs).expect("reads");
        let said = |image: &str| {
            let own = json!([{ "image": image }, { "image": "side:1" }]);
            check_images("task.json", &own, &inputs).map_err(|error| error.to_string())
        };
        assert_eq!(said("host/hello@sha256:b"), Ok(()));
        let refused = said("host/hello@sha256:b:latest").expect_err("refused");
        assert!(
            refused.contains("task.json makes the image host/hello@sha256:b:latest of `${image}`"),
            "{refused}"
        );
    }

    #[test]
    fn the_fingerprint_follows_every_part() {
        let one = document(json!("a@sha256:b"));
        let print = |document: &Document, role| document.fingerprint("arn:execution", role).expect("known");
        assert_eq!(print(&one, "arn:task"), print(&document(json!("a@sha256:b")), "arn:task"));
        assert_ne!(print(&one, "arn:task"), print(&one, "arn:other"));
        assert_ne!(print(&one, "arn:task"), print(&document(json!("a@sha256:c")), "arn:task"));
    }

    #[test]
    fn an_unknown_image_has_no_fingerprint() {
        let unknown = document(json!({ "$unknown": "stages.image.image" }));
        assert!(unknown.fingerprint("e", "t").is_err());
        assert!(contains_unknown(&unknown.shown().to_value()));
    }
}
