//! How traffic is shifted: one of CodeDeploy's own configurations, or one of ours.

use std::sync::Arc;

use aws_sdk_codedeploy::types::{
    ComputePlatform, TimeBasedCanary, TimeBasedLinear, TrafficRoutingConfig, TrafficRoutingType,
};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Ownership, Reading, Resource};
use pipeline_sdk::{
    Context, JsonSchema, Recorded, ResourceId, StageError, Value, async_trait, json, schemars,
};
use serde::{Deserialize, Serialize};

pub(crate) const KIND: &str = "codedeploy:deploymentconfig";

/// How traffic is shifted to a new version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// A first part, then after a while all of it.
    Canary(Step),
    /// In equal parts at equal intervals.
    Linear(Step),
    /// All at once. Health checks of the new version may begin only after the shift: prefer a canary.
    AllAtOnce,
    /// A configuration that exists, such as `CodeDeployDefault.ECSCanary10Percent15Minutes`.
    Configuration(String),
}

/// A part of the traffic and how long it is left at that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How much of the traffic, in percent: 1 to 99.
    #[schemars(range(min = 1, max = 99))]
    pub percent: u8,
    /// Minutes until the next step: 1 to 2880.
    #[schemars(range(min = 1, max = 2880))]
    pub minutes: u16,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic::Canary(Step { percent: 10, minutes: 5 })
    }
}

impl Traffic {
    /// How long a shift takes by itself. Of a configuration that exists it is not known.
    pub(crate) fn minutes(&self) -> u32 {
        match self {
            Self::Canary(step) => u32::from(step.minutes),
            Self::Linear(step) => u32::from(step.minutes) * 100_u32.div_ceil(u32::from(step.percent.max(1))),
            Self::AllAtOnce | Self::Configuration(_) => 0,
        }
    }

    /// The name of the configuration that the deployment group uses. Where CodeDeploy has one that
    /// shifts the same way it is taken; else one of ours called after `name`.
    ///
    /// The predefined ones: <https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html>.
    pub(crate) fn configuration_name(&self, name: &str) -> String {
        match self {
            Traffic::AllAtOnce => "CodeDeployDefault.ECSAllAtOnce".into(),
            Traffic::Canary(Step { percent: 10, minutes: minutes @ (5 | 15) }) => {
                format!("CodeDeployDefault.ECSCanary10Percent{minutes}Minutes")
            }
            Traffic::Linear(Step { percent: 10, minutes: minutes @ (1 | 3) }) => {
                format!("CodeDeployDefault.ECSLinear10PercentEvery{minutes}Minutes")
            }
            Traffic::Configuration(existing) => existing.clone(),
            // A configuration cannot be changed, so its name says what it does.
            Traffic::Canary(step) => format!("{name}-canary-{}-{}m", step.percent, step.minutes),
            Traffic::Linear(step) => format!("{name}-linear-{}-{}m", step.percent, step.minutes),
        }
    }

    /// The step and its kind, if it takes a configuration of our own.
    fn own(&self, name: &str) -> Option<(&'static str, Step)> {
        let own = !self.configuration_name(name).starts_with("CodeDeployDefault.");
        match self {
            Traffic::Canary(step) if own => Some(("canary", *step)),
            Traffic::Linear(step) if own => Some(("linear", *step)),
            _ => None,
        }
    }
}

/// A deployment configuration of our own as a resource.
pub(crate) struct Configuration {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

impl Configuration {
    /// The configuration that `traffic` needs; nothing is wanted if CodeDeploy has it already.
    pub(crate) fn wanted(aws: Arc<Aws>, name: &str, traffic: &Traffic) -> Self {
        let id = ResourceId::new(KIND, traffic.configuration_name(name));
        let desired = traffic.own(name).map(|(shift, step)| {
            Attributes::of(json!({ "shift": shift, "percent": step.percent, "minutes": step.minutes }))
        });
        Self { aws, id, desired }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        let own = !recorded.id.name.starts_with("CodeDeployDefault.");
        let desired = own.then(|| Attributes::of(recorded.attributes.clone()));
        Self { aws, id: recorded.id.clone(), desired }
    }
}

#[async_trait]
impl Resource for Configuration {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    /// It has no tags; it is known by its name, which the stage chooses.
    fn ownership(&self) -> Ownership {
        Ownership::Parent
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["shift", "percent", "minutes"]
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        if self.desired.is_none() {
            // Not ours: neither made nor removed here.
            return Ok(None);
        }
        let call = self.aws.codedeploy().get_deployment_config().deployment_config_name(&self.id.name);
        let answer = call.send().await.if_found("codedeploy:GetDeploymentConfig")?;
        let routing =
            answer.and_then(|answer| answer.deployment_config_info).map(|info| info.traffic_routing_config);
        Ok(routing.map(|routing| Attributes::of(described(routing.as_ref()))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let call = self.aws.codedeploy().create_deployment_config();
        let call = call
            .deployment_config_name(&self.id.name)
            .compute_platform(ComputePlatform::Ecs)
            .traffic_routing_config(routing(desired)?);
        call.send().await.or_fail("codedeploy:CreateDeploymentConfig").map(|_| ())
    }

    async fn update(&self, _: &Context, _: &Attributes, _: &Attributes) -> Result<(), StageError> {
        Err(StageError::failed("a deployment configuration cannot be changed, only replaced"))
    }

    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.codedeploy().delete_deployment_config().deployment_config_name(&self.id.name);
        call.send().await.or_gone("codedeploy:DeleteDeploymentConfig")
    }
}

fn described(routing: Option<&TrafficRoutingConfig>) -> Value {
    let step = |shift: &str, percent: i32, minutes: i32| json!({ "shift": shift, "percent": percent, "minutes": minutes });
    let Some(routing) = routing else { return json!({}) };
    match (routing.time_based_canary(), routing.time_based_linear()) {
        (Some(canary), _) => step("canary", canary.canary_percentage, canary.canary_interval),
        (_, Some(linear)) => step("linear", linear.linear_percentage, linear.linear_interval),
        _ => json!({ "shift": "all_at_once" }),
    }
}

/// The attributes of a configuration.
#[derive(Deserialize)]
struct Shift {
    shift: String,
    percent: i32,
    minutes: i32,
}

fn routing(desired: &Attributes) -> Result<TrafficRoutingConfig, StageError> {
    let Shift { shift, percent, minutes } = desired.read()?;
    let builder = TrafficRoutingConfig::builder();
    Ok(match shift.as_str() {
        "canary" => {
            let canary = TimeBasedCanary::builder().canary_percentage(percent).canary_interval(minutes);
            builder.r#type(TrafficRoutingType::TimeBasedCanary).time_based_canary(canary.build()).build()
        }
        _ => {
            let linear = TimeBasedLinear::builder().linear_percentage(percent).linear_interval(minutes);
            builder.r#type(TrafficRoutingType::TimeBasedLinear).time_based_linear(linear.build()).build()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predefined_configurations_are_used_where_they_fit() {
        let name = |traffic: Traffic| traffic.configuration_name("web");
        assert_eq!(name(Traffic::default()), "CodeDeployDefault.ECSCanary10Percent5Minutes");
        assert_eq!(
            name(Traffic::Linear(Step { percent: 10, minutes: 3 })),
            "CodeDeployDefault.ECSLinear10PercentEvery3Minutes"
        );
        assert_eq!(name(Traffic::Canary(Step { percent: 20, minutes: 5 })), "web-canary-20-5m");
        assert_eq!(name(Traffic::AllAtOnce), "CodeDeployDefault.ECSAllAtOnce");
    }

    #[test]
    fn a_configuration_of_our_own_reads_back_as_it_was_sent() {
        for shift in ["canary", "linear"] {
            let desired = json!({ "shift": shift, "percent": 20, "minutes": 3 });
            let sent = routing(&Attributes::of(desired.clone())).expect("is sent");
            assert_eq!(described(Some(&sent)), desired);
        }
    }

    #[test]
    fn the_input_reads_as_documented() {
        let read = |value: Value| serde_json::from_value::<Traffic>(value).expect("reads");
        assert_eq!(read(json!("all_at_once")), Traffic::AllAtOnce);
        assert_eq!(read(json!({ "canary": { "percent": 10, "minutes": 5 } })), Traffic::default());
    }
}
