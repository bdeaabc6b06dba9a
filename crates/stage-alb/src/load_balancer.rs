//! The load balancer.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{
    LoadBalancer as Description, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerStateEnum,
    LoadBalancerTypeEnum, Tag,
};
use pipeline_aws::wait::{self, WaitOptions};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Reading, Resource, Tags, changed_tags};
use pipeline_sdk::{Action, Context, Recorded, ResourceId, StageError, Value, async_trait, json};

use crate::AlbInputs;
use crate::settings::{Settings, flag, number};

pub(crate) const KIND: &str = "elbv2:loadbalancer";

/// How long a load balancer may take until it serves.
const PROVISIONING: Duration = Duration::from_secs(900);

const IDLE_TIMEOUT: &str = "idle_timeout.timeout_seconds";
const PROTECTION: &str = "deletion_protection.enabled";
const INVALID_HEADERS: &str = "routing.http.drop_invalid_header_fields.enabled";

pub(crate) struct LoadBalancer {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

impl LoadBalancer {
    pub(crate) fn wanted(aws: Arc<Aws>, name: &str, inputs: &AlbInputs, tags: &Tags) -> Self {
        let sorted = |list: &pipeline_sdk::Maybe<Vec<String>>| {
            let sort = |mut list: Vec<String>| {
                list.sort();
                list
            };
            list.clone().map(sort).to_value()
        };
        let desired = json!({
            "internal": inputs.internal,
            "subnets": sorted(&inputs.subnets),
            "security_groups": sorted(&inputs.security_groups),
            "idle_timeout_seconds": inputs.idle_timeout_seconds,
            "deletion_protection": inputs.deletion_protection,
            // Headers that HTTP does not allow are how requests are smuggled past a proxy.
            "drop_invalid_headers": true,
            "tags": tags.to_value(),
        });
        Self { aws, id: ResourceId::new(KIND, name), desired: Some(Attributes::of(desired)) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), desired: None }
    }

    async fn settings(&self, arn: &str) -> Result<Settings, StageError> {
        let call = self.aws.elbv2().describe_load_balancer_attributes().load_balancer_arn(arn);
        let answer = call.send().await.or_fail("elasticloadbalancing:DescribeLoadBalancerAttributes")?;
        let attributes = answer.attributes.unwrap_or_default();
        Ok(attributes.into_iter().filter_map(|one| Some((one.key?, one.value?))).collect())
    }

    async fn put_settings(&self, arn: &str, desired: &Attributes) -> Result<(), StageError> {
        let pair = |key: &str, from: &str| {
            let value = desired.value(from).to_string();
            LoadBalancerAttribute::builder().key(key).value(value).build()
        };
        let pairs = vec![
            pair(IDLE_TIMEOUT, "idle_timeout_seconds"),
            pair(PROTECTION, "deletion_protection"),
            pair(INVALID_HEADERS, "drop_invalid_headers"),
        ];
        let call = self.aws.elbv2().modify_load_balancer_attributes().load_balancer_arn(arn);
        let call = call.set_attributes(Some(pairs));
        call.send().await.or_fail("elasticloadbalancing:ModifyLoadBalancerAttributes").map(|_| ())
    }
}

/// The load balancer called `name`, if there is one.
pub(crate) async fn find(aws: &Aws, name: &str) -> Result<Option<Description>, StageError> {
    let call = aws.elbv2().describe_load_balancers().names(name);
    let answer = call.send().await.if_found("elasticloadbalancing:DescribeLoadBalancers")?;
    Ok(answer.and_then(|answer| answer.load_balancers).unwrap_or_default().into_iter().next())
}

/// The same, asked once in a look.
pub(crate) async fn find_once(
    aws: &Aws,
    reading: &Reading<'_>,
    name: &str,
) -> Result<Option<Description>, StageError> {
    let found = reading.once(&format!("load balancer {name}"), || find(aws, name)).await?;
    Ok(found.as_ref().clone())
}

/// The tags of one resource of Elastic Load Balancing.
pub(crate) async fn tags(aws: &Aws, arn: &str) -> Result<Value, StageError> {
    let answer = aws.elbv2().describe_tags().resource_arns(arn).send().await;
    let answer = answer.if_found("elasticloadbalancing:DescribeTags")?;
    let described = answer.and_then(|answer| answer.tag_descriptions).unwrap_or_default();
    let tags = described.iter().flat_map(|one| one.tags()).map(|tag| (tag.key(), tag.value()));
    Ok(tags.filter_map(|(key, value)| Some((key?, value?))).collect::<Tags>().to_value())
}

/// Tags in the SDK's own type.
pub(crate) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Brings the tags of the resource whose ARN is among `observed` to `desired`.
pub(crate) async fn update_tags(
    aws: &Aws,
    observed: &Attributes,
    desired: &Attributes,
) -> Result<(), StageError> {
    let (set, unset) = changed_tags(observed, desired);
    let (arn, set) = (observed.need("arn")?, sdk_tags(&set));
    if !set.is_empty() {
        let call = aws.elbv2().add_tags().resource_arns(arn).set_tags(Some(set));
        call.send().await.or_fail("elasticloadbalancing:AddTags")?;
    }
    if !unset.is_empty() {
        let call = aws.elbv2().remove_tags().resource_arns(arn).set_tag_keys(Some(unset));
        call.send().await.or_fail("elasticloadbalancing:RemoveTags")?;
    }
    Ok(())
}

/// A list of texts among attributes.
fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

#[async_trait]
impl Resource for LoadBalancer {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["internal"]
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, reading: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let more =
            |arn: String| async move { futures::try_join!(self.settings(&arn), tags(&self.aws, &arn)) };
        let find = find_once(&self.aws, reading, &self.id.name);
        let described = reading.described(&self.id, find, Description::load_balancer_arn, more);
        let Some((found, (settings, tags))) = described.await? else { return Ok(None) };
        let mut subnets: Vec<_> =
            found.availability_zones().iter().filter_map(|zone| zone.subnet_id()).collect();
        subnets.sort_unstable();
        let mut groups = found.security_groups().to_vec();
        groups.sort();
        Ok(Some(Attributes::of(json!({
            "internal": found.scheme() == Some(&LoadBalancerSchemeEnum::Internal),
            "subnets": subnets,
            "security_groups": groups,
            "idle_timeout_seconds": number(&settings, IDLE_TIMEOUT),
            "deletion_protection": flag(&settings, PROTECTION),
            "drop_invalid_headers": flag(&settings, INVALID_HEADERS),
            "tags": tags,
            "arn": found.load_balancer_arn(),
            "dns_name": found.dns_name(),
            "zone_id": found.canonical_hosted_zone_id(),
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let scheme = match desired.value("internal").as_bool() {
            Some(true) => LoadBalancerSchemeEnum::Internal,
            _ => LoadBalancerSchemeEnum::InternetFacing,
        };
        let call = self.aws.elbv2().create_load_balancer().name(&self.id.name);
        let call = call
            .r#type(LoadBalancerTypeEnum::Application)
            .scheme(scheme)
            .set_subnets(Some(texts(desired.value("subnets"))))
            .set_security_groups(Some(texts(desired.value("security_groups"))))
            .set_tags(Some(sdk_tags(&Tags::from(desired.value("tags")))));
        let answer = call.send().await.or_fail("elasticloadbalancing:CreateLoadBalancer")?;
        let arn = answer.load_balancers().first().and_then(Description::load_balancer_arn);
        match arn {
            Some(arn) => self.put_settings(arn, desired).await,
            None => Ok(()),
        }
    }

    async fn update(
        &self,
        _: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let arn = observed.need("arn")?;
        let changed = |key| observed.value(key) != desired.value(key);
        if changed("subnets") {
            let call = self.aws.elbv2().set_subnets().load_balancer_arn(arn);
            let call = call.set_subnets(Some(texts(desired.value("subnets"))));
            call.send().await.or_fail("elasticloadbalancing:SetSubnets")?;
        }
        if changed("security_groups") {
            let call = self.aws.elbv2().set_security_groups().load_balancer_arn(arn);
            let call = call.set_security_groups(Some(texts(desired.value("security_groups"))));
            call.send().await.or_fail("elasticloadbalancing:SetSecurityGroups")?;
        }
        if changed("idle_timeout_seconds")
            || changed("deletion_protection")
            || changed("drop_invalid_headers")
        {
            self.put_settings(arn, desired).await?;
        }
        update_tags(&self.aws, observed, desired).await
    }

    async fn delete(&self, _cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.elbv2().delete_load_balancer().load_balancer_arn(observed.need("arn")?);
        call.send().await.or_gone("elasticloadbalancing:DeleteLoadBalancer")
    }

    /// What was made a moment ago may go again, protected or not.
    async fn undo_create(&self, cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        if observed.value("deletion_protection") == &Value::Bool(true) {
            let mut unprotected = observed.clone();
            unprotected.set("deletion_protection", false);
            self.put_settings(observed.need("arn")?, &unprotected).await?;
        }
        self.delete(cx, observed).await
    }

    async fn settle(&self, cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        let what = format!("{} to be active", self.id);
        wait::until(cx, &what, WaitOptions::within(PROVISIONING), || async {
            let found = find(&self.aws, &self.id.name).await?;
            let state = found.as_ref().and_then(Description::state);
            match state.and_then(|state| state.code()) {
                Some(LoadBalancerStateEnum::Active) => Ok(Some(())),
                Some(LoadBalancerStateEnum::Failed) => {
                    let reason = state.and_then(|state| state.reason()).unwrap_or("no reason given");
                    Err(StageError::failed(format!("{} could not be set up: {reason}", self.id)))
                }
                _ => Ok(None),
            }
        })
        .await
    }

    fn protected(&self, observed: &Attributes) -> Option<String> {
        let protected = observed.value("deletion_protection") == &Value::Bool(true);
        protected.then(|| {
            "it is protected; set `deletion_protection = false` and run `pipeline run` first".to_owned()
        })
    }

    fn irreversible(&self, action: Action, _observed: &Attributes) -> Option<String> {
        matches!(action, Action::Delete | Action::Replace)
            .then(|| "its DNS name is lost; one that is made again has another".to_owned())
    }
}
