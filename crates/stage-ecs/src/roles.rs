//! What the two roles of a task may do.

use std::collections::BTreeMap;

use pipeline_aws::RoleSpec;
use pipeline_sdk::{Value, json};

use crate::EcsInputs;

/// Both roles are assumed by ECS on behalf of a task.
const TASKS: &str = "ecs-tasks.amazonaws.com";

/// Pulling images from ECR and writing logs:
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html>.
const EXECUTION: &str = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";

/// The role with which ECS starts a task. It may read exactly the secrets that the app asks for.
pub(crate) fn execution(inputs: &EcsInputs) -> RoleSpec {
    let mut policies = BTreeMap::new();
    if !inputs.secrets.is_empty() {
        policies.insert("secrets".to_owned(), secrets_policy(inputs.secrets.values()));
    }
    RoleSpec { service: TASKS, managed_policies: vec![EXECUTION.to_owned()], policies }
}

fn secrets_policy<'a>(arns: impl Iterator<Item = &'a String>) -> Value {
    let mut arns: Vec<_> = arns.map(|arn| secret_arn(arn)).collect();
    arns.sort();
    arns.dedup();
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue", "ssm:GetParameters"],
            "Resource": arns,
        }],
    })
}

/// The secret itself: `valueFrom` may name a key, a stage and a version behind it.
fn secret_arn(value_from: &str) -> String {
    match value_from.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "secretsmanager", ..] => value_from.splitn(8, ':').take(7).collect::<Vec<_>>().join(":"),
        _ => value_from.to_owned(),
    }
}

/// The role that the app itself has: nothing, unless the user says so.
pub(crate) fn task(inputs: &EcsInputs) -> RoleSpec {
    let inline = inputs.task_policy.iter().map(|policy| ("task".to_owned(), policy.clone()));
    RoleSpec { service: TASKS, managed_policies: inputs.task_policies.clone(), policies: inline.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secrets_in_use_are_readable() {
        let with_key = "arn:aws:secretsmanager:eu-central-1:1:secret:db-AbCdEf:password::".to_owned();
        let parameter = "arn:aws:ssm:eu-central-1:1:parameter/db".to_owned();
        let policy = secrets_policy([&with_key, &parameter].into_iter());
        assert_eq!(
            policy["Statement"][0]["Resource"],
            json!(["arn:aws:secretsmanager:eu-central-1:1:secret:db-AbCdEf", parameter])
        );
    }
}
