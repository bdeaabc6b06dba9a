//! Scaling policies: kept and shown.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::page::Page;
use super::{Call, Dimension, ScalingState, invalid, one_of, targets};
use crate::wire::{ApiError, EpochSeconds, Input, Output};

/// A policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Policy {
    #[serde(rename = "PolicyARN")]
    policy_arn: String,
    policy_name: String,
    #[serde(flatten)]
    pub(super) dimension: Dimension,
    policy_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_scaling_policy_configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_tracking_scaling_policy_configuration: Option<Value>,
    alarms: Vec<Value>,
    creation_time: EpochSeconds,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutInput {
    policy_name: String,
    #[serde(flatten)]
    dimension: Dimension,
    #[serde(default)]
    policy_type: Option<String>,
    #[serde(default)]
    step_scaling_policy_configuration: Option<Value>,
    #[serde(default)]
    target_tracking_scaling_policy_configuration: Option<Value>,
}

/// PutScalingPolicy: also updates.
pub(super) fn put(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    let input: PutInput = input.parse()?;
    targets::check(&input.dimension)?;
    let now = call.now;
    let arn = call.arn(
        "autoscaling",
        &format!(
            "scalingPolicy:{}:resource/{}/{}:policyName/{}",
            Uuid::new_v4(),
            input.dimension.service_namespace,
            input.dimension.resource_id,
            input.policy_name
        ),
    );
    let alarm_arn = |name: &str| call.arn("cloudwatch", &format!("alarm:{name}"));
    let alarms = match &input.target_tracking_scaling_policy_configuration {
        Some(_) => ["AlarmHigh", "AlarmLow"]
            .map(|which| {
                let name =
                    format!("TargetTracking-{}-{which}-{}", input.dimension.resource_id, Uuid::new_v4());
                json!({ "AlarmName": name, "AlarmARN": alarm_arn(&name) })
            })
            .to_vec(),
        None => Vec::new(),
    };
    let state = &mut call.region().application_autoscaling;
    if !state.targets.iter().any(|target| target.dimension == input.dimension) {
        return Err(input.dimension.not_found("scalable target", ""));
    }
    let is_same =
        |policy: &Policy| policy.policy_name == input.policy_name && policy.dimension == input.dimension;
    let known = state.policies.iter().position(is_same);
    let kind = policy_type(&input, known.map(|index| state.policies[index].policy_type.clone()))?;
    check_only_one(state, &input)?;
    let policy = match known {
        Some(index) => {
            let policy = &mut state.policies[index];
            if kind != policy.policy_type {
                return Err(invalid("Cannot change the type of an existing scaling policy."));
            }
            policy.step_scaling_policy_configuration = input.step_scaling_policy_configuration;
            policy.target_tracking_scaling_policy_configuration =
                input.target_tracking_scaling_policy_configuration;
            policy
        }
        None => {
            state.policies.push(Policy {
                policy_arn: arn,
                policy_name: input.policy_name,
                dimension: input.dimension,
                policy_type: kind,
                step_scaling_policy_configuration: input.step_scaling_policy_configuration,
                target_tracking_scaling_policy_configuration: input
                    .target_tracking_scaling_policy_configuration,
                alarms,
                creation_time: EpochSeconds(now),
            });
            let last = state.policies.len() - 1;
            &mut state.policies[last]
        }
    };
    Output::of(&json!({ "PolicyARN": policy.policy_arn, "Alarms": policy.alarms }))
}

fn policy_type(input: &PutInput, known: Option<String>) -> Result<String, ApiError> {
    let kind = input.policy_type.clone().or(known).unwrap_or_else(|| "StepScaling".into());
    let configuration = match kind.as_str() {
        "StepScaling" => &input.step_scaling_policy_configuration,
        "TargetTrackingScaling" => &input.target_tracking_scaling_policy_configuration,
        other => return Err(invalid(format!("{other} is not a policy type that the embedded cloud has"))),
    };
    let Some(configuration) = configuration else {
        return Err(invalid(format!("A {kind} policy needs its {kind}PolicyConfiguration.")));
    };
    if kind == "TargetTrackingScaling" {
        if !configuration["TargetValue"].is_number() {
            return Err(invalid("TargetValue is required for target tracking."));
        }
        let predefined = configuration.get(PREDEFINED);
        if predefined.is_some() == configuration.get("CustomizedMetricSpecification").is_some() {
            return Err(invalid(
                "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given.",
            ));
        }
        predefined.map(check_metric).transpose()?;
    }
    Ok(kind)
}

/// The field of a target tracking configuration.
const PREDEFINED: &str = "PredefinedMetricSpecification";

/// Source: docs.aws.amazon.com/autoscaling/application/APIReference/API_PredefinedMetricSpecification.html
const METRIC_TYPES: [&str; 31] = [
    "DynamoDBReadCapacityUtilization",
    "DynamoDBWriteCapacityUtilization",
    "ALBRequestCountPerTarget",
    "RDSReaderAverageCPUUtilization",
    "RDSReaderAverageDatabaseConnections",
    "EC2SpotFleetRequestAverageCPUUtilization",
    "EC2SpotFleetRequestAverageNetworkIn",
    "EC2SpotFleetRequestAverageNetworkOut",
    "SageMakerVariantInvocationsPerInstance",
    "ECSServiceAverageCPUUtilization",
    "ECSServiceAverageMemoryUtilization",
    "AppStreamAverageCapacityUtilization",
    "ComprehendInferenceUtilization",
    "LambdaProvisionedConcurrencyUtilization",
    "CassandraReadCapacityUtilization",
    "CassandraWriteCapacityUtilization",
    "KafkaBrokerStorageUtilization",
    "ElastiCacheEngineCPUUtilization",
    "ElastiCacheDatabaseMemoryUsagePercentage",
    "ElastiCachePrimaryEngineCPUUtilization",
    "ElastiCacheReplicaEngineCPUUtilization",
    "ElastiCacheDatabaseMemoryUsageCountedForEvictPercentage",
    "NeptuneReaderAverageCPUUtilization",
    "SageMakerVariantProvisionedConcurrencyUtilization",
    "ElastiCacheDatabaseCapacityUsageCountedForEvictPercentage",
    "SageMakerInferenceComponentInvocationsPerCopy",
    "WorkSpacesAverageUserSessionsCapacityUtilization",
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
    "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    "ECSServiceAverageCPUUtilizationHighResolution",
    "ECSServiceAverageMemoryUtilizationHighResolution",
];

/// Checks a predefined metric: requests are counted for one target group, which must be named.
fn check_metric(specification: &Value) -> Result<(), ApiError> {
    let kind = specification["PredefinedMetricType"].as_str().unwrap_or_default();
    one_of("predefinedMetricType", kind, &METRIC_TYPES)?;
    let label = specification["ResourceLabel"].as_str().unwrap_or_default();
    if kind == "ALBRequestCountPerTarget" && label.is_empty() {
        return Err(invalid("ResourceLabel is required for the metric ALBRequestCountPerTarget."));
    }
    Ok(())
}

/// Refuses a second target tracking policy for what another of the same target follows already.
fn check_only_one(state: &ScalingState, input: &PutInput) -> Result<(), ApiError> {
    let metric = |configuration: &Option<Value>| {
        let specification = configuration.as_ref()?.get(PREDEFINED)?;
        Some((specification["PredefinedMetricType"].clone(), specification["ResourceLabel"].clone()))
    };
    let wanted = metric(&input.target_tracking_scaling_policy_configuration);
    let others = state
        .policies
        .iter()
        .filter(|policy| policy.dimension == input.dimension && policy.policy_name != input.policy_name);
    let mut others = others.map(|policy| metric(&policy.target_tracking_scaling_policy_configuration));
    // In these words: github.com/hashicorp/terraform-provider-aws/issues/41179
    match wanted.is_some() && others.any(|other| other == wanted) {
        true => {
            Err(invalid("Only one TargetTrackingScaling policy for a given metric specification is allowed."))
        }
        false => Ok(()),
    }
}

/// DescribeScalingPolicies.
pub(super) fn describe(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Which {
        service_namespace: String,
        #[serde(default)]
        policy_names: Vec<String>,
        #[serde(default)]
        resource_id: Option<String>,
        #[serde(default)]
        scalable_dimension: Option<String>,
    }
    let page: Page = input.parse()?;
    let which: Which = input.parse()?;
    targets::check_namespace(&which.service_namespace)?;
    let wanted = |policy: &&Policy| {
        let dimension = &policy.dimension;
        dimension.service_namespace == which.service_namespace
            && (which.policy_names.is_empty() || which.policy_names.contains(&policy.policy_name))
            && which.resource_id.as_ref().is_none_or(|it| *it == dimension.resource_id)
            && which.scalable_dimension.as_ref().is_none_or(|it| *it == dimension.scalable_dimension)
    };
    let policies = call.region().application_autoscaling.policies.iter().filter(wanted).cloned().collect();
    let (policies, next) = page.of(policies)?;
    Output::of(&json!({ "ScalingPolicies": policies, "NextToken": next }))
}

/// DeleteScalingPolicy.
pub(super) fn delete(call: &mut Call<'_>, input: &Input) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Which {
        policy_name: String,
        #[serde(flatten)]
        dimension: Dimension,
    }
    let which: Which = input.parse()?;
    let policies = &mut call.region().application_autoscaling.policies;
    let before = policies.len();
    policies.retain(|policy| policy.policy_name != which.policy_name || policy.dimension != which.dimension);
    if policies.len() == before {
        let more = format!(", policy name: {}", which.policy_name);
        return Err(which.dimension.not_found("scaling policy", &more));
    }
    Ok(Output::empty())
}
