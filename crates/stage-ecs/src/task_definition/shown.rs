//! What a plan shows of the container that gets the traffic.
//!
//! Values of environment variables may be secrets, also those that were registered by somebody else, and what a plan shows
//! is kept in the state. So of each there are only a few digits of a digest: enough to see that it changed, too few to
//! find out by trying whether a guess is right.

use aws_sdk_ecs::types::ContainerDefinition;
use pipeline_sdk::{Map, Value, is_unknown, json};
use sha2::{Digest, Sha256};

/// An attribute and its value.
pub(super) type Detail = (&'static str, Value);

/// Of a container definition that is to be registered.
pub(super) fn wanted(container: &Value) -> Vec<Detail> {
    let pairs = |list: &str, value: &str| {
        let items = container[list].as_array().into_iter().flatten();
        let pairs = items.map(|item| (item["name"].as_str().unwrap_or_default(), item[value].clone()));
        pairs.collect::<Vec<_>>()
    };
    let hidden =
        |value: Value| if is_unknown(&value) { value } else { digest(value.as_str().unwrap_or_default()) };
    let environment = pairs("environment", "value").into_iter().map(|(name, value)| (name, hidden(value)));
    let secrets = pairs("secrets", "valueFrom").into_iter();
    let ports = container["portMappings"].as_array().into_iter().flatten();
    details(Shown {
        name: container["name"].clone(),
        ports: ports.map(|mapping| mapping["containerPort"].clone()).collect(),
        environment: environment.map(|(name, value)| (name.to_owned(), value)).collect(),
        secrets: secrets.map(|(name, from)| (name.to_owned(), from)).collect(),
        command: container["command"].clone(),
        entry_point: container["entryPoint"].clone(),
        stop_timeout: container["stopTimeout"].clone(),
        log_group: container["logConfiguration"]["options"][LOG_GROUP].clone(),
    })
}

/// Of one that was registered.
pub(super) fn registered(container: &ContainerDefinition) -> Vec<Detail> {
    let environment = container.environment().iter().map(|variable| {
        let value = digest(variable.value().unwrap_or_default());
        (variable.name().unwrap_or_default().to_owned(), value)
    });
    let secrets = container.secrets().iter();
    let log = container.log_configuration().and_then(|log| log.options());
    details(Shown {
        name: json!(container.name()),
        ports: container.port_mappings().iter().map(|mapping| json!(mapping.container_port())).collect(),
        environment: environment.collect(),
        secrets: secrets.map(|secret| (secret.name().to_owned(), json!(secret.value_from()))).collect(),
        command: json!(container.command()),
        entry_point: json!(container.entry_point()),
        stop_timeout: json!(container.stop_timeout()),
        log_group: json!(log.and_then(|options| options.get(LOG_GROUP))),
    })
}

/// Where the log driver finds its log group.
const LOG_GROUP: &str = "awslogs-group";

struct Shown {
    name: Value,
    ports: Vec<Value>,
    environment: Map<String, Value>,
    secrets: Map<String, Value>,
    command: Value,
    entry_point: Value,
    stop_timeout: Value,
    log_group: Value,
}

fn details(shown: Shown) -> Vec<Detail> {
    let unless_empty = |list: Value| match list {
        Value::Array(items) if items.is_empty() => Value::Null,
        list => list,
    };
    vec![
        ("container", shown.name),
        ("ports", unless_empty(Value::Array(shown.ports))),
        ("environment", Value::Object(shown.environment)),
        ("secrets", Value::Object(shown.secrets)),
        ("command", unless_empty(shown.command)),
        ("entry_point", unless_empty(shown.entry_point)),
        ("stop_timeout", shown.stop_timeout),
        ("log_group", shown.log_group),
    ]
}

fn digest(value: &str) -> Value {
    let digest = Sha256::digest(value);
    json!(format!("sha256:{:02x}{:02x}…", digest[0], digest[1]))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::{KeyValuePair, LogConfiguration, LogDriver, PortMapping, Secret};
    use pipeline_sdk::Unknown;

    use super::*;

    #[test]
    fn what_is_registered_is_shown_as_what_was_wanted() {
        let document = json!({
            "name": "app",
            "portMappings": [{ "containerPort": 8080, "hostPort": 8080 }],
            "stopTimeout": 30,
            "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/ecs/web" } },
            "environment": [{ "name": "LEVEL", "value": "info" }, { "name": "EMPTY", "value": "" }],
            "secrets": [{ "name": "TOKEN", "valueFrom": "arn:aws:ssm:::parameter/token" }],
            "command": ["serve"],
            "entryPoint": [],
        });
        let variable = |name, value| KeyValuePair::builder().name(name).value(value).build();
        let secret = Secret::builder().name("TOKEN").value_from("arn:aws:ssm:::parameter/token");
        let log = LogConfiguration::builder().log_driver(LogDriver::Awslogs).options(LOG_GROUP, "/ecs/web");
        let container = ContainerDefinition::builder()
            .name("app")
            .port_mappings(PortMapping::builder().container_port(8080).build())
            .stop_timeout(30)
            .log_configuration(log.build().expect("complete"))
            .environment(variable("EMPTY", ""))
            .environment(variable("LEVEL", "info"))
            .secrets(secret.build().expect("complete"))
            .command("serve");
        assert_eq!(wanted(&document), registered(&container.build()));
        let said = json!(wanted(&document)).to_string();
        assert!(said.contains("sha256:") && !said.contains("info"), "{said}");
    }

    #[test]
    fn a_value_that_is_not_known_yet_is_shown_as_that() {
        let unknown = Unknown::new("stages.database.url").to_value();
        let document = json!({ "environment": [{ "name": "URL", "value": unknown }] });
        assert!(wanted(&document).contains(&("environment", json!({ "URL": unknown }))));
    }
}
