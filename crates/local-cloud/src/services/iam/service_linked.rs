//! Roles that belong to AWS services.
//!
//! Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html and the
//! pages on service-linked roles of each service.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::error::no_such_entity;
use super::roles::{AN_HOUR, Role, RoleInput, SERVICE_LINKED, insert};
use super::unique_id;
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// What stands before `.amazonaws.com`, and the end of the role's name.
const NAMES: [(&str, &str); 15] = [
    ("autoscaling", "AutoScaling"),
    ("codedeploy", "CodeDeploy"),
    ("dynamodb.application-autoscaling", "ApplicationAutoScaling_DynamoDBTable"),
    ("ec2.application-autoscaling", "ApplicationAutoScaling_EC2SpotFleetRequest"),
    ("ecs.application-autoscaling", "ApplicationAutoScaling_ECSService"),
    ("lambda.application-autoscaling", "ApplicationAutoScaling_LambdaConcurrency"),
    ("rds.application-autoscaling", "ApplicationAutoScaling_RDSCluster"),
    ("sagemaker.application-autoscaling", "ApplicationAutoScaling_SageMakerEndpoint"),
    ("custom-resource.application-autoscaling", "ApplicationAutoScaling_CustomResource"),
    ("ecr", "ECR"),
    ("ecs", "ECS"),
    ("elasticbeanstalk", "ElasticBeanstalk"),
    ("elasticloadbalancing", "ElasticLoadBalancing"),
    ("replication.ecr", "ECRReplication"),
    ("spot", "EC2Spot"),
];

fn name_of(service: &str) -> String {
    let host = service.strip_suffix(".amazonaws.com").unwrap_or(service);
    let known = NAMES.iter().find(|(known, _)| *known == host);
    format!("AWSServiceRoleFor{}", known.map_or(host, |(_, name)| name))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    #[serde(rename = "AWSServiceName")]
    service: String,
    description: Option<String>,
    custom_suffix: Option<String>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let suffix = input.custom_suffix.as_ref().map(|suffix| format!("_{suffix}")).unwrap_or_default();
    let name = name_of(&input.service) + &suffix;
    let path = format!("{SERVICE_LINKED}{}/", input.service);
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Action": ["sts:AssumeRole"],
            "Effect": "Allow",
            "Principal": { "Service": [input.service] },
        }],
    });
    if call.account().iam.has_role_like(&name) {
        let message = format!(
            "Service role name {name} has been taken in this account, please try a different suffix."
        );
        return Err(ApiError::sender("InvalidInput", message));
    }
    let role = Role {
        arn: call.global_arn("iam", &format!("role{path}{name}")),
        id: unique_id("AROA"),
        created: call.now,
        trust: trust.to_string(),
        description: input.description.clone(),
        max_session_seconds: AN_HOUR,
        permissions_boundary: None,
        tags: Vec::new(),
        attached: Vec::new(),
        policies: BTreeMap::new(),
        name,
        path,
    };
    insert(&mut call.account().iam, role)
}

/// The role goes at once; the task that AWS makes of it is told to have succeeded.
pub(super) fn delete(call: &mut Call<'_>, input: &RoleInput) -> Result<Output, ApiError> {
    let iam = &mut call.account().iam;
    let role = iam.role(&input.role_name)?;
    if !role.is_service_linked() {
        let message = format!("The role {} is not a service-linked role.", input.role_name);
        return Err(ApiError::sender("InvalidInput", message));
    }
    let task = format!("task{}{}/{}", role.path, role.name, uuid::Uuid::new_v4());
    iam.roles.shift_remove(&input.role_name);
    Output::of(&json!({ "DeletionTaskId": task }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StatusInput {
    deletion_task_id: String,
}

pub(super) fn deletion_status(input: &StatusInput) -> Result<Output, ApiError> {
    if !input.deletion_task_id.starts_with(&format!("task{SERVICE_LINKED}")) {
        return Err(no_such_entity(format!("Deletion task {} cannot be found.", input.deletion_task_id)));
    }
    Output::of(&json!({ "Status": "SUCCEEDED" }))
}
