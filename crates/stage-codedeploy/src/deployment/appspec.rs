//! The AppSpec: what CodeDeploy is told to deploy.
//!
//! Its form: <https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html>.

use pipeline_sdk::json;
use sha2::{Digest, Sha256};

/// The name in `${…}` that stands for the ARN of the task definition.
pub(super) const TASK_DEFINITION: &str = "task_definition";

/// The AppSpec of a service whose container `name` gets the traffic on `port`.
pub(super) fn default(name: &str, port: u16) -> String {
    let properties = json!({
        "TaskDefinition": format!("${{{TASK_DEFINITION}}}"),
        "LoadBalancerInfo": { "ContainerName": name, "ContainerPort": port },
    });
    let service = json!({ "TargetService": { "Type": "AWS::ECS::Service", "Properties": properties } });
    json!({ "version": 0.0, "Resources": [service] }).to_string()
}

/// The digest that CodeDeploy compares, in hexadecimal.
pub(super) fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_names_what_gets_the_traffic() {
        let text = super::super::content(&default("web", 8080), "arn:aws:ecs:x:1:task-definition/web:7");
        let (text, digest) = text.expect("fills");
        assert!(text.contains(r#""TaskDefinition":"arn:aws:ecs:x:1:task-definition/web:7""#), "{text}");
        assert!(text.contains(r#""ContainerPort":8080"#), "{text}");
        assert_eq!(digest.len(), 64);
    }

    #[test]
    fn the_digest_is_sha256() {
        // The empty text's digest is in FIPS 180-4's examples.
        assert_eq!(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
