//! Auto scaling of the service: how many tasks, by how much CPU they use.
//!
//! Whether scaling is suspended is an attribute like the others: a run that was killed in the middle of
//! a deployment leaves it suspended, and the next plan shows that it will be resumed.

use std::sync::Arc;

use pipeline_aws::scaling::{POLICY, SuspendedState, dimension, policy, resource_id, scalable_target};
use pipeline_aws::{Attributes, Aws, Known, Ownership, Reading, Resource};
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, async_trait, json};
use serde::Deserialize;

use crate::{Names, Scaling};

pub(crate) const KIND: &str = "application-autoscaling:scalable-target";

pub(crate) struct ScalableTarget {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

impl ScalableTarget {
    pub(crate) fn wanted(aws: Arc<Aws>, names: &Names, scaling: Option<&Scaling>) -> Self {
        let id = ResourceId::new(KIND, resource_id(&names.cluster, &names.service));
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

    async fn tell(&self, operation: &'static str, more: Value) -> Result<(), StageError> {
        self.aws.autoscaling().tell(operation, dimension(&self.id.name, more)).await
    }

    /// Only an interrupted run leaves it suspended. Undoing a change that resumed it does not suspend it
    /// again.
    async fn put(&self, desired: &Attributes) -> Result<(), StageError> {
        let scaling: Numbers = desired.read()?;
        let target = json!({
            "MinCapacity": scaling.min,
            "MaxCapacity": scaling.max,
            "SuspendedState": SuspendedState::of_all(scaling.suspended && self.desired.is_some()),
        });
        self.tell("application-autoscaling:RegisterScalableTarget", target).await?;
        let policy = json!({
            "PolicyName": POLICY,
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": scaling.cpu_percent,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "ECSServiceAverageCPUUtilization",
                },
            },
        });
        self.tell("application-autoscaling:PutScalingPolicy", policy).await
    }
}

#[derive(Deserialize)]
struct Numbers {
    min: i32,
    max: i32,
    cpu_percent: f64,
    suspended: bool,
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
        let name = &self.id.name;
        let (target, policy) = futures::try_join!(scalable_target(&self.aws, name), policy(&self.aws, name))?;
        let Some(target) = target else { return Ok(None) };
        let tracking = policy.and_then(|policy| policy.tracking);
        let percent = tracking.map_or(Value::Null, |tracking| whole(tracking.target_value));
        Ok(Some(Attributes::of(json!({
            "min": target.min_capacity,
            "max": target.max_capacity,
            "cpu_percent": percent,
            "suspended": target.suspended_state.any(),
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
        let input = dimension(&self.id.name, json!({}));
        self.aws.autoscaling().remove("application-autoscaling:DeregisterScalableTarget", input).await
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
