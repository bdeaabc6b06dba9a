//! A target group: the tasks of one version, and how their health is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_elasticloadbalancingv2::types::{
    Matcher, ProtocolEnum, TargetGroup as Description, TargetGroupAttribute, TargetHealthStateEnum,
    TargetTypeEnum,
};
use pipeline_aws::wait::{self, WaitOptions};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Reading, Resource, Tags};
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, async_trait, is_unknown, json};
use serde::Deserialize;

use crate::inputs::{AlbInputs, HealthCheck};
use crate::load_balancer::{sdk_tags, tags, update_tags};
use crate::settings::{Settings, number};

pub(crate) const KIND: &str = "elbv2:targetgroup";

const DELAY: &str = "deregistration_delay.timeout_seconds";
const SLOW_START: &str = "slow_start.duration_seconds";

pub(crate) struct TargetGroup {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

/// Longer than any health check takes to find a target unhealthy: 300 s, 10 times, and a timeout.
const WATCH: Duration = Duration::from_secs(3600);

/// What the health checks say of the targets, each as `address:port`.
#[derive(Default)]
struct Targets {
    healthy: BTreeSet<String>,
    unhealthy: BTreeMap<String, String>,
}

/// The attributes that are sent.
#[derive(Deserialize)]
struct Shape {
    vpc_id: String,
    port: i32,
    protocol: String,
    health_check: HealthCheck,
}

impl TargetGroup {
    pub(crate) fn wanted(aws: Arc<Aws>, name: &str, inputs: &AlbInputs, tags: &Tags) -> Self {
        let desired = json!({
            "vpc_id": inputs.vpc_id.to_value(),
            "port": inputs.port,
            "protocol": inputs.protocol,
            "health_check": inputs.health_check,
            "deregistration_delay_seconds": inputs.deregistration_delay_seconds,
            "slow_start_seconds": inputs.slow_start_seconds,
            "tags": tags.to_value(),
        });
        Self { aws, id: ResourceId::new(KIND, name), desired: Some(Attributes::of(desired)) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), desired: None }
    }

    async fn find(&self) -> Result<Option<Description>, StageError> {
        let call = self.aws.elbv2().describe_target_groups().names(&self.id.name);
        let answer = call.send().await.if_found("elasticloadbalancing:DescribeTargetGroups")?;
        Ok(answer.and_then(|answer| answer.target_groups).unwrap_or_default().into_iter().next())
    }

    async fn settings(&self, arn: &str) -> Result<Settings, StageError> {
        let call = self.aws.elbv2().describe_target_group_attributes().target_group_arn(arn);
        let answer = call.send().await.or_fail("elasticloadbalancing:DescribeTargetGroupAttributes")?;
        let attributes = answer.attributes.unwrap_or_default();
        Ok(attributes.into_iter().filter_map(|one| Some((one.key?, one.value?))).collect())
    }

    /// The targets that pass their checks, and those that do not with the reason.
    async fn health(&self, arn: &str) -> Result<Targets, StageError> {
        let answer = self.aws.elbv2().describe_target_health().target_group_arn(arn).send().await;
        let answer = answer.or_fail("elasticloadbalancing:DescribeTargetHealth")?;
        let mut targets = Targets::default();
        for one in answer.target_health_descriptions() {
            let (Some(target), Some(health)) = (one.target(), one.target_health()) else { continue };
            let name = format!("{}:{}", target.id().unwrap_or("?"), target.port().unwrap_or_default());
            match health.state() {
                Some(TargetHealthStateEnum::Healthy) => drop(targets.healthy.insert(name)),
                Some(TargetHealthStateEnum::Unhealthy) => {
                    let why = health.description().unwrap_or("no reason given").to_owned();
                    targets.unhealthy.insert(name, why);
                }
                _ => {}
            }
        }
        Ok(targets)
    }

    /// Changes the health check. Both groups have it at once, also the one with the traffic: a check that
    /// running tasks do not pass would have ECS stop them one after the other. So those that were healthy
    /// are watched for as long as it takes to find out; a failure here is undone like any other.
    async fn change_check(&self, cx: &Context, arn: &str, check: &HealthCheck) -> Result<(), StageError> {
        let before = self.health(arn).await?.healthy;
        let call = self.aws.elbv2().modify_target_group().target_group_arn(arn);
        let call = call
            .health_check_path(&check.path)
            .health_check_interval_seconds(signed(check.interval_seconds))
            .health_check_timeout_seconds(signed(check.timeout_seconds))
            .healthy_threshold_count(signed(check.healthy_threshold))
            .unhealthy_threshold_count(signed(check.unhealthy_threshold))
            .matcher(Matcher::builder().http_code(&check.status_codes).build());
        call.send().await.or_fail("elasticloadbalancing:ModifyTargetGroup")?;
        // Undoing puts a check back that is known to work.
        if self.desired.is_some() && !before.is_empty() {
            Box::pin(self.watch(cx, arn, check, &before)).await
        } else {
            Ok(())
        }
    }

    async fn watch(
        &self,
        cx: &Context,
        arn: &str,
        check: &HealthCheck,
        before: &BTreeSet<String>,
    ) -> Result<(), StageError> {
        let found_out = check.interval_seconds * (check.unhealthy_threshold + 1) + check.timeout_seconds;
        let found_out = Instant::now() + Duration::from_secs(found_out.into());
        let what = format!("the targets of {} to pass the new health check", self.id.name);
        let options = WaitOptions { longest: Duration::from_secs(1), ..WaitOptions::within(WATCH) };
        wait::until(cx, &what, options, || async {
            let now = self.health(arn).await?;
            // Unhealthy, or stopped for it already. Scaling in takes some of them, not all.
            let failed = now.unhealthy.iter().find(|(target, _)| before.contains(*target));
            let gone = now.healthy.is_disjoint(before).then_some("they are gone");
            if let Some(why) = failed.map(|(_, why)| why.as_str()).or(gone) {
                let (group, path) = (&self.id.name, &check.path);
                let message = format!("targets of {group} fail the new health check of {path}: {why}");
                return Err(StageError::failed(message)
                    .with_help("deploy a version that passes it first, and change the check after it"));
            }
            Ok((Instant::now() >= found_out).then_some(()))
        })
        .await
    }

    async fn put_settings(&self, arn: &str, desired: &Attributes) -> Result<(), StageError> {
        let pair = |key: &str, from: &str| {
            let value = desired.value(from).to_string();
            TargetGroupAttribute::builder().key(key).value(value).build()
        };
        let pairs = vec![pair(DELAY, "deregistration_delay_seconds"), pair(SLOW_START, "slow_start_seconds")];
        let call = self.aws.elbv2().modify_target_group_attributes().target_group_arn(arn);
        let call = call.set_attributes(Some(pairs));
        call.send().await.or_fail("elasticloadbalancing:ModifyTargetGroupAttributes").map(|_| ())
    }
}

/// A group in use can be neither changed in this nor removed, and it is in use as long as there is a
/// service.
fn cannot_change(input: &str, is: &Value) -> StageError {
    let is = is.as_str().unwrap_or("another");
    StageError::input(input, format!("the target groups have {is}, and AWS cannot change that"))
        .with_help("keep the value, or run `pipeline destroy` first")
}

fn health_check(group: &Description) -> Value {
    json!({
        "path": group.health_check_path(),
        "interval_seconds": group.health_check_interval_seconds(),
        "timeout_seconds": group.health_check_timeout_seconds(),
        "healthy_threshold": group.healthy_threshold_count(),
        "unhealthy_threshold": group.unhealthy_threshold_count(),
        "status_codes": group.matcher().and_then(Matcher::http_code),
    })
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[async_trait]
impl Resource for TargetGroup {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["vpc_id", "protocol"]
    }

    fn desired(&self, known: &Known) -> Result<Option<Attributes>, StageError> {
        let (Some(mut desired), existing) = (self.desired.clone(), known.existing(&self.id)) else {
            return Ok(None);
        };
        let Some(existing) = existing else { return Ok(Some(desired)) };
        // ECS registers every task with its own port: that of the group is for targets without one, and
        // cannot be changed.
        desired.set("port", existing.value("port").clone());
        let fixed = self.replaced_by().iter().find(|key| {
            let wanted = desired.value(key);
            !is_unknown(wanted) && existing.value(key) != wanted
        });
        match fixed {
            Some(input) => Err(cannot_change(input, existing.value(input))),
            None => Ok(Some(desired)),
        }
    }

    async fn read(&self, reading: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let more =
            |arn: String| async move { futures::try_join!(self.settings(&arn), tags(&self.aws, &arn)) };
        let described = reading.described(&self.id, self.find(), Description::target_group_arn, more);
        let Some((found, (settings, tags))) = described.await? else { return Ok(None) };
        Ok(Some(Attributes::of(json!({
            "vpc_id": found.vpc_id(),
            "port": found.port(),
            "protocol": found.protocol().map(ProtocolEnum::as_str),
            "health_check": health_check(&found),
            "deregistration_delay_seconds": number(&settings, DELAY),
            "slow_start_seconds": number(&settings, SLOW_START),
            "tags": tags,
            "arn": found.target_group_arn(),
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let shape: Shape = desired.read()?;
        let check = &shape.health_check;
        let call = self.aws.elbv2().create_target_group().name(&self.id.name);
        let call = call
            .target_type(TargetTypeEnum::Ip)
            .vpc_id(&shape.vpc_id)
            .port(shape.port)
            .protocol(ProtocolEnum::from(shape.protocol.as_str()))
            .health_check_protocol(ProtocolEnum::from(shape.protocol.as_str()))
            .health_check_path(&check.path)
            .health_check_interval_seconds(signed(check.interval_seconds))
            .health_check_timeout_seconds(signed(check.timeout_seconds))
            .healthy_threshold_count(signed(check.healthy_threshold))
            .unhealthy_threshold_count(signed(check.unhealthy_threshold))
            .matcher(Matcher::builder().http_code(&check.status_codes).build())
            .set_tags(Some(sdk_tags(&Tags::from(desired.value("tags")))));
        let answer = call.send().await.or_fail("elasticloadbalancing:CreateTargetGroup")?;
        let arn = answer.target_groups().first().and_then(Description::target_group_arn);
        match arn {
            Some(arn) => self.put_settings(arn, desired).await,
            None => Ok(()),
        }
    }

    async fn update(
        &self,
        cx: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let arn = observed.need("arn")?;
        let changed = |key| observed.value(key) != desired.value(key);
        if changed("health_check") {
            let shape: Shape = desired.read()?;
            self.change_check(cx, arn, &shape.health_check).await?;
        }
        if changed("deregistration_delay_seconds") || changed("slow_start_seconds") {
            self.put_settings(arn, desired).await?;
        }
        update_tags(&self.aws, observed, desired).await
    }

    async fn delete(&self, _cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.elbv2().delete_target_group().target_group_arn(observed.need("arn")?);
        call.send().await.or_gone("elasticloadbalancing:DeleteTargetGroup")
    }
}
