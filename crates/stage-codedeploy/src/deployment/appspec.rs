//! The AppSpec: what CodeDeploy is told to deploy.
//!
//! Its form: <https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html>.

use pipeline_sdk::{StageError, Value, json};
use sha2::{Digest, Sha256};

/// What a deployment sets, whatever else an AppSpec says.
#[derive(Debug, Default)]
pub(super) struct Target<'a> {
    /// ARN of the task definition.
    pub(super) task_definition: &'a str,
    /// The container that gets the traffic, and its port.
    pub(super) container: Option<(&'a str, u64)>,
    /// `AwsvpcConfiguration`, where it is not to stay as it is.
    pub(super) network: Option<Value>,
}

/// The text and the digest that proves it arrived whole, for `target`: the user's own AppSpec (JSON or
/// YAML) with the target put in, as `aws ecs deploy` does it, or one that says nothing more.
pub(super) fn content(own: Option<&str>, target: &Target<'_>) -> Result<(String, String), StageError> {
    let mut spec = match own {
        Some(text) => read(text)?,
        None => json!({
            "version": 0.0,
            "Resources": [{ "TargetService": { "Type": "AWS::ECS::Service", "Properties": {} } }],
        }),
    };
    let properties = needed_properties(&mut spec)?;
    put(properties, "TaskDefinition", json!(target.task_definition));
    if let Some((name, port)) = target.container {
        put(properties, "LoadBalancerInfo", json!({ "ContainerName": name, "ContainerPort": port }));
    }
    if let Some(network) = &target.network {
        put(properties, "NetworkConfiguration", json!({ "AwsvpcConfiguration": network }));
    }
    let text = spec.to_string();
    let digest = sha256(&text);
    Ok((text, digest))
}

/// Refuses a user's own AppSpec (JSON or YAML) that is none of an ECS service, or sends the traffic elsewhere than the
/// stage's inputs say.
pub(super) fn check(own: &str, container: Option<&String>, port: Option<u16>) -> Result<(), StageError> {
    let mut spec = read(own)?;
    let Some(balancer) = get(needed_properties(&mut spec)?, "LoadBalancerInfo") else { return Ok(()) };
    let named = get(balancer, "ContainerName").and_then(|name| name.as_str().map(str::to_owned));
    if let (Some(named), Some(container)) = (named, container)
        && named != *container
    {
        return Err(differs("ContainerName", &named, "container_name", container));
    }
    let number = get(balancer, "ContainerPort").and_then(|port| port.as_u64());
    match (number, port) {
        (Some(number), Some(port)) if number != u64::from(port) => {
            Err(differs("ContainerPort", &number.to_string(), "container_port", &port.to_string()))
        }
        _ => Ok(()),
    }
}

fn differs(key: &str, says: &str, input: &str, is: &str) -> StageError {
    let message = format!("the file says {key} {says}, and `{input}` is {is}: one of them has to change");
    StageError::input("app_spec", message)
}

fn unusable(why: &str) -> StageError {
    StageError::input("app_spec", format!("the file is no AppSpec of an ECS service: {why}"))
}

fn read(own: &str) -> Result<Value, StageError> {
    serde_yaml_ng::from_str(own).map_err(|error| unusable(&error.to_string()))
}

fn needed_properties(spec: &mut Value) -> Result<&mut Value, StageError> {
    properties(spec)
        .ok_or_else(|| unusable("it has no resource of the type AWS::ECS::Service with Properties"))
}

/// The properties of the first ECS service. Keys are found in any case, as AWS's own tools do.
fn properties(spec: &mut Value) -> Option<&mut Value> {
    let resources = get(spec, "Resources")?.as_array_mut()?;
    let services = resources.iter_mut().filter_map(|one| one.as_object_mut()?.values_mut().next());
    services
        .filter(|service| {
            let mut entries = service.as_object().into_iter().flatten();
            entries.any(|(key, value)| key.eq_ignore_ascii_case("Type") && value == "AWS::ECS::Service")
        })
        .find_map(|service| get(service, "Properties").filter(|properties| properties.is_object()))
}

fn get<'a>(value: &'a mut Value, wanted: &str) -> Option<&'a mut Value> {
    let entries = value.as_object_mut()?;
    entries.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

fn put(properties: &mut Value, key: &str, value: Value) {
    match get(properties, key) {
        Some(place) => *place = value,
        None => properties[key] = value,
    }
}

/// The digest that CodeDeploy compares, in hexadecimal.
fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:ecs:x:1:task-definition/web:7";

    fn composed(own: Option<&str>, target: &Target<'_>) -> Value {
        let (text, digest) = content(own, target).expect("an AppSpec");
        assert_eq!(digest.len(), 64);
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn the_default_names_what_gets_the_traffic() {
        let target = Target { task_definition: ARN, container: Some(("web", 8080)), network: None };
        let properties = json!({
            "TaskDefinition": ARN,
            "LoadBalancerInfo": { "ContainerName": "web", "ContainerPort": 8080 },
        });
        let service = json!({ "TargetService": { "Type": "AWS::ECS::Service", "Properties": properties } });
        assert_eq!(composed(None, &target), json!({ "version": 0.0, "Resources": [service] }));
    }

    #[test]
    fn an_own_file_keeps_what_it_says_and_gets_the_task_definition() {
        let own = "
version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: <TASK_DEFINITION>
        LoadBalancerInfo: { ContainerName: web, ContainerPort: 80 }
        PlatformVersion: LATEST
Hooks:
  - AfterInstall: LambdaFunctionToValidate
";
        let network = Some(json!({ "Subnets": ["subnet-1"] }));
        let spec = composed(Some(own), &Target { task_definition: ARN, container: None, network });
        let properties = &spec["Resources"][0]["TargetService"]["Properties"];
        assert_eq!(properties["TaskDefinition"], ARN);
        assert_eq!(properties["LoadBalancerInfo"]["ContainerPort"], 80);
        assert_eq!(properties["PlatformVersion"], "LATEST");
        assert_eq!(properties["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"][0], "subnet-1");
        assert_eq!(spec["Hooks"][0]["AfterInstall"], "LambdaFunctionToValidate");
    }

    #[test]
    fn keys_in_lower_case_are_found() {
        let own = r#"{"version":1,"resources":[{"s":{"type":"AWS::ECS::Service","properties":{"taskDefinition":"old"}}}]}"#;
        let spec = composed(Some(own), &Target { task_definition: ARN, ..Target::default() });
        assert_eq!(spec["resources"][0]["s"]["properties"], json!({ "taskDefinition": ARN }));
    }

    #[test]
    fn what_is_no_appspec_is_refused() {
        for own in
            ["{", "version: 0.0", r#"{"Resources":[{"f":{"Type":"AWS::Lambda::Function","Properties":{}}}]}"#]
        {
            let error = content(Some(own), &Target::default()).expect_err("refused").to_string();
            assert!(error.starts_with("`app_spec`: the file is no AppSpec"), "{error}");
        }
    }

    #[test]
    fn a_file_that_sends_the_traffic_elsewhere_is_refused() {
        let own = |name: &str, port: u16| {
            let balancer = format!("LoadBalancerInfo: {{ ContainerName: {name}, ContainerPort: {port} }}");
            format!("Resources: [{{ s: {{ Type: 'AWS::ECS::Service', Properties: {{ {balancer} }} }} }}]")
        };
        let web = "web".to_owned();
        let said = |text: String| check(&text, Some(&web), Some(8080)).map_err(|error| error.to_string());
        assert_eq!(said(own("web", 8080)), Ok(()));
        assert!(said(own("web", 9999)).expect_err("refused").contains("`container_port` is 8080"));
        assert!(said(own("app", 8080)).expect_err("refused").contains("`container_name` is web"));
        assert!(check(&own("app", 80), None, None).is_ok(), "what is not known yet is no difference");
    }

    #[test]
    fn the_digest_is_sha256() {
        // The empty text's digest is in FIPS 180-4's examples.
        assert_eq!(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
