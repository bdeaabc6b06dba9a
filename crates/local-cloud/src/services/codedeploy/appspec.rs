//! The AppSpec of an ECS deployment: what is to run and which hooks are called.
//!
//! JSON or YAML; keys in any letter case, as AWS and its CLI take them.
//! Source: docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::record::LifecycleEvent;
use crate::wire::ApiError;

/// An AppSpec, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppSpec {
    /// ARN of a revision, or `family:revision`.
    pub(crate) task_definition: String,
    /// The container that receives the traffic.
    pub(crate) container_name: String,
    /// Its port.
    pub(crate) container_port: u16,
    /// Fargate's platform version; that of the service if absent.
    pub(crate) platform_version: Option<String>,
    /// Network of the tasks; that of the service if absent.
    pub(crate) network: Option<Network>,
    /// Capacity providers; those of the service if absent.
    pub(crate) capacity_providers: Vec<CapacityProvider>,
    /// Lambda functions by the event before whose end they are called.
    pub(crate) hooks: BTreeMap<LifecycleEvent, String>,
}

/// Network of `awsvpc` tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Ids of subnets.
    pub(crate) subnets: Vec<String>,
    /// Ids of security groups.
    pub(crate) security_groups: Vec<String>,
    /// `ENABLED` or `DISABLED`.
    pub(crate) assign_public_ip: String,
}

/// An item of a capacity provider strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CapacityProvider {
    /// Name of the provider, such as `FARGATE_SPOT`.
    pub(crate) name: String,
    /// Its share.
    pub(crate) weight: u32,
    /// How many tasks at least.
    pub(crate) base: u32,
}

/// Reads the text of an AppSpec.
///
/// # Errors
/// `InvalidRevisionException` that says what is wrong and where.
pub(super) fn parse(text: &str) -> Result<AppSpec, ApiError> {
    // JSON is YAML too.
    let document: Value = serde_yaml_ng::from_str(text)
        .map_err(|error| invalid(format!("the AppSpec is neither JSON nor YAML: {error}")))?;
    let document = Node::of(&document, "the AppSpec")?;
    check_version(&document)?;
    let properties = properties(&document)?;
    let balancer = properties.required("LoadBalancerInfo")?;
    Ok(AppSpec {
        task_definition: properties.text("TaskDefinition")?,
        container_name: balancer.text("ContainerName")?,
        container_port: balancer.port("ContainerPort")?,
        platform_version: properties.optional_text("PlatformVersion"),
        network: network(&properties)?,
        capacity_providers: capacity_providers(&properties)?,
        hooks: hooks(&document)?,
    })
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidRevisionException", message.into())
}

/// AWS names `0.0` as the only version there is, but files of ECS services with `1` are about in many places.
fn check_version(document: &Node<'_>) -> Result<(), ApiError> {
    let version = match document.get("version") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match version {
        Some(0.0 | 1.0) => Ok(()),
        _ => Err(invalid("the AppSpec needs `version: 0.0`, the only version there is")),
    }
}

/// The properties of the one resource.
fn properties<'a>(document: &Node<'a>) -> Result<Node<'a>, ApiError> {
    let one = || invalid("the AppSpec's Resources must be a list with exactly one resource, an ECS service");
    let resources = document.get("Resources").and_then(Value::as_array).ok_or_else(one)?;
    let [resource] = resources.as_slice() else { return Err(one()) };
    let fields = resource.as_object().filter(|fields| fields.len() == 1).ok_or_else(one)?;
    let (name, content) = fields.iter().next().ok_or_else(one)?;
    let resource = Node::of(content, name)?;
    let kind = resource.text("Type")?;
    if kind != "AWS::ECS::Service" {
        return Err(invalid(format!("{name}: the Type is {kind}, it must be AWS::ECS::Service")));
    }
    resource.required("Properties")
}

fn network(properties: &Node<'_>) -> Result<Option<Network>, ApiError> {
    let Some(configuration) = properties.optional("NetworkConfiguration")? else { return Ok(None) };
    let vpc = configuration.required("AwsvpcConfiguration")?;
    let subnets = vpc.texts("Subnets");
    if subnets.is_empty() {
        return Err(invalid("the AppSpec's AwsvpcConfiguration needs at least one of Subnets"));
    }
    Ok(Some(Network {
        subnets,
        security_groups: vpc.texts("SecurityGroups"),
        assign_public_ip: vpc.optional_text("AssignPublicIp").unwrap_or_else(|| "DISABLED".into()),
    }))
}

fn capacity_providers(properties: &Node<'_>) -> Result<Vec<CapacityProvider>, ApiError> {
    let items = properties.get("CapacityProviderStrategy").and_then(Value::as_array);
    let read = |item: &Value| {
        let item = Node::of(item, "CapacityProviderStrategy")?;
        let number =
            |key| item.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        Ok(CapacityProvider {
            name: item.text("CapacityProvider")?,
            weight: number("Weight"),
            base: number("Base"),
        })
    };
    items.map(Vec::as_slice).unwrap_or_default().iter().map(read).collect()
}

/// `Hooks: [{BeforeInstall: function}, …]`
fn hooks(document: &Node<'_>) -> Result<BTreeMap<LifecycleEvent, String>, ApiError> {
    let mut hooks = BTreeMap::new();
    let Some(listed) = document.get("Hooks") else { return Ok(hooks) };
    let wrong = || invalid("the AppSpec's Hooks must be a list of `event: function`");
    let entries: Vec<&Map<String, Value>> = match listed {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(Value::as_object).collect::<Option<_>>().ok_or_else(wrong)?,
        Value::Object(fields) => vec![fields],
        _ => return Err(wrong()),
    };
    for (name, function) in entries.into_iter().flatten() {
        let event = LifecycleEvent::ALL
            .into_iter()
            .find(|event| event.is_scriptable() && event.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| invalid(format!("the AppSpec's Hooks name {name}, which has no hook on ECS")))?;
        let function = function.as_str().filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        if hooks.insert(event, function.to_owned()).is_some() {
            return Err(invalid(format!("the AppSpec's Hooks name {} twice", event.name())));
        }
    }
    Ok(hooks)
}

/// An object whose keys are found in any letter case, and the name that errors call it.
struct Node<'a> {
    name: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Node<'a> {
    fn of(value: &'a Value, name: &str) -> Result<Self, ApiError> {
        let fields = value.as_object().ok_or_else(|| invalid(format!("{name} must be a map")))?;
        Ok(Self { name: name.to_owned(), fields })
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        let mut fields = self.fields.iter();
        fields.find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    fn optional(&self, key: &str) -> Result<Option<Node<'a>>, ApiError> {
        self.get(key).filter(|value| !value.is_null()).map(|value| Node::of(value, key)).transpose()
    }

    fn required(&self, key: &str) -> Result<Node<'a>, ApiError> {
        self.optional(key)?.ok_or_else(|| self.lacks(key))
    }

    fn lacks(&self, key: &str) -> ApiError {
        invalid(format!("the AppSpec lacks {key} in {}", self.name))
    }

    fn optional_text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Result<String, ApiError> {
        self.optional_text(key).ok_or_else(|| self.lacks(key))
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let items = self.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    fn port(&self, key: &str) -> Result<u16, ApiError> {
        let text = self.text(key)?;
        text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            invalid(format!("the AppSpec's {key} is {text}, it must be a port from 1 to 65535"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: "hello:2"
        LoadBalancerInfo:
          ContainerName: app
          ContainerPort: 8080
        NetworkConfiguration:
          AwsvpcConfiguration:
            Subnets: ["subnet-1"]
            SecurityGroups: ["sg-1"]
            AssignPublicIp: ENABLED
Hooks:
  - BeforeAllowTraffic: check
"#;

    #[test]
    fn yaml_and_json_in_any_case_are_read_alike() {
        let yaml = parse(YAML).expect("reads");
        assert_eq!((yaml.container_name.as_str(), yaml.container_port), ("app", 8080));
        assert_eq!(yaml.hooks.get(&LifecycleEvent::BeforeAllowTraffic).map(String::as_str), Some("check"));
        assert_eq!(parse(&YAML.replace("version: 0.0", "version: 1")).expect("reads"), yaml);
        let json = r#"{"version": 0.0, "resources": [{"s": {"type": "AWS::ECS::Service", "properties": {
            "taskDefinition": "hello:2", "loadBalancerInfo": {"containerName": "app", "containerPort": "8080"},
            "networkConfiguration": {"awsvpcConfiguration":
                {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}}}}}],
            "hooks": [{"beforeAllowTraffic": "check"}]}"#;
        assert_eq!(parse(json).expect("reads"), yaml);
    }

    #[test]
    fn every_mistake_is_named() {
        let cases = [
            ("version: 0.0", "version: 2.0", "version"),
            ("version: 0.0", "", "version"),
            ("AWS::ECS::Service", "AWS::Lambda::Function", "AWS::Lambda::Function"),
            ("TaskDefinition", "Task", "TaskDefinition"),
            ("ContainerPort: 8080", "ContainerPort: many", "ContainerPort"),
            ("BeforeAllowTraffic", "AllowTraffic", "AllowTraffic"),
            ("Subnets: [\"subnet-1\"]", "Subnets: []", "Subnets"),
        ];
        for (from, to, named) in cases {
            let error = parse(&YAML.replace(from, to)).expect_err("refused");
            assert_eq!(error.code, "InvalidRevisionException");
            assert!(error.message.contains(named), "{}", error.message);
        }
        assert!(parse("{").is_err() && parse("").is_err());
    }
}
