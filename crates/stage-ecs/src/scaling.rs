//! Auto scaling of the service: how many tasks, by how much CPU they use.
//!
//! Whether scaling is suspended is an attribute like the others: a run that was killed in the middle of
//! a deployment leaves it suspended, and the next plan shows that it will be resumed.

use std::sync::Arc;

use aws_sdk_applicationautoscaling::types::{
    MetricType, PolicyType, PredefinedMetricSpecification, ScalableDimension, ScalableTarget as Description,
    ScalingPolicy, ServiceNamespace, SuspendedState, TargetTrackingScalingPolicyConfiguration,
};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Ownership, Reading, Resource};
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, async_trait, json};

use crate::{Names, Scaling};

pub(crate) const KIND: &str = "application-autoscaling:scalable-target";

/// The name of the one policy that the stage owns.
const POLICY: &str = "cpu";

/// What Application Auto Scaling calls a service.
pub(crate) fn name(cluster: &str, service: &str) -> String {
    format!("service/{cluster}/{service}")
}

pub(crate) struct ScalableTarget {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

impl ScalableTarget {
    pub(crate) fn wanted(aws: Arc<Aws>, names: &Names, scaling: Option<&Scaling>) -> Self {
        let id = ResourceId::new(KIND, name(&names.cluster, &names.service));
        let desired = scaling.map(|scaling| {
            Attributes::of(json!({
                "min": scaling.min,
                "max": scaling.max,
                "cpu_percent": scaling.cpu_percent,
                "suspended": false,
            }))
        });
        Self { aws, id, desired }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), desired: None }
    }

    async fn describe(&self) -> Result<Option<Description>, StageError> {
        let call = self.aws.autoscaling().describe_scalable_targets();
        let call = call.service_namespace(ServiceNamespace::Ecs).resource_ids(&self.id.name);
        let answer = call.send().await.or_fail("application-autoscaling:DescribeScalableTargets")?;
        Ok(answer.scalable_targets.unwrap_or_default().into_iter().next())
    }

    async fn policy(&self) -> Result<Option<ScalingPolicy>, StageError> {
        let call = self.aws.autoscaling().describe_scaling_policies();
        let call =
            call.service_namespace(ServiceNamespace::Ecs).resource_id(&self.id.name).policy_names(POLICY);
        let answer = call.send().await.or_fail("application-autoscaling:DescribeScalingPolicies")?;
        Ok(answer.scaling_policies.unwrap_or_default().into_iter().next())
    }

    /// Only an interrupted run leaves it suspended. Undoing a change that resumed it does not suspend it
    /// again.
    async fn put(&self, desired: &Attributes) -> Result<(), StageError> {
        let scaling: Numbers = desired.read()?;
        let call = self.aws.autoscaling().register_scalable_target();
        let call = call
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(&self.id.name)
            .min_capacity(scaling.min)
            .max_capacity(scaling.max)
            .suspended_state(suspended(scaling.suspended && self.desired.is_some()));
        call.send().await.or_fail("application-autoscaling:RegisterScalableTarget")?;
        let call = self.aws.autoscaling().put_scaling_policy().policy_name(POLICY);
        let call = call
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(&self.id.name)
            .policy_type(PolicyType::TargetTrackingScaling)
            .target_tracking_scaling_policy_configuration(tracking(scaling.cpu_percent)?);
        call.send().await.or_fail("application-autoscaling:PutScalingPolicy").map(|_| ())
    }
}

#[derive(serde::Deserialize)]
struct Numbers {
    min: i32,
    max: i32,
    cpu_percent: f64,
    suspended: bool,
}

fn suspended(all: bool) -> SuspendedState {
    SuspendedState::builder()
        .dynamic_scaling_in_suspended(all)
        .dynamic_scaling_out_suspended(all)
        .scheduled_scaling_suspended(all)
        .build()
}

fn is_suspended(target: &Description) -> bool {
    target.suspended_state().is_some_and(|state| {
        [
            state.dynamic_scaling_in_suspended(),
            state.dynamic_scaling_out_suspended(),
            state.scheduled_scaling_suspended(),
        ]
        .contains(&Some(true))
    })
}

fn tracking(cpu_percent: f64) -> Result<TargetTrackingScalingPolicyConfiguration, StageError> {
    let failed = |error: &dyn std::fmt::Display| StageError::failed(format!("a scaling policy: {error}"));
    let metric = PredefinedMetricSpecification::builder()
        .predefined_metric_type(MetricType::EcsServiceAverageCpuUtilization)
        .build()
        .map_err(|error| failed(&error))?;
    TargetTrackingScalingPolicyConfiguration::builder()
        .target_value(cpu_percent)
        .predefined_metric_specification(metric)
        .build()
        .map_err(|error| failed(&error))
}

#[async_trait]
impl Resource for ScalableTarget {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    /// It belongs to the service, whose tags say whose it is. Where the inputs ask for none, somebody else
    /// may have set one up: then it is ours only if the state remembers it.
    fn ownership(&self) -> Ownership {
        if self.desired.is_some() { Ownership::Parent } else { Ownership::State }
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let (target, policy) = futures::try_join!(self.describe(), self.policy())?;
        let Some(target) = target else { return Ok(None) };
        let percent = policy
            .as_ref()
            .and_then(ScalingPolicy::target_tracking_scaling_policy_configuration)
            .map_or(Value::Null, |tracking| whole(tracking.target_value()));
        Ok(Some(Attributes::of(json!({
            "min": target.min_capacity(),
            "max": target.max_capacity(),
            "cpu_percent": percent,
            "suspended": is_suspended(&target),
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        self.put(desired).await
    }

    async fn update(&self, _: &Context, _: &Attributes, desired: &Attributes) -> Result<(), StageError> {
        self.put(desired).await
    }

    /// Its policies go with it.
    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.autoscaling().deregister_scalable_target();
        let call = call
            .service_namespace(ServiceNamespace::Ecs)
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
            .resource_id(&self.id.name);
        call.send().await.or_gone("application-autoscaling:DeregisterScalableTarget")
    }
}

/// A whole number as one, so that 60.0 is no change from 60.
fn whole(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "only where nothing is cut off")]
    let cut = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "percentages are small")]
    let same = cut as f64 == number;
    if same { json!(cut) } else { json!(number) }
}
