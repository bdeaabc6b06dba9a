//! The cluster that holds the service.

use std::sync::Arc;

use aws_sdk_ecs::types::{ClusterField, ClusterSetting, ClusterSettingName, Tag};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Reading, Resource, Tags, changed_tags};
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, async_trait, json};

use crate::EcsInputs;

pub(crate) const KIND: &str = "ecs:cluster";

pub(crate) struct Cluster {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

impl Cluster {
    pub(crate) fn wanted(aws: Arc<Aws>, name: &str, inputs: &EcsInputs, tags: &Tags) -> Self {
        let desired = json!({ "container_insights": inputs.container_insights, "tags": tags.to_value() });
        Self { aws, id: ResourceId::new(KIND, name), desired: Some(Attributes::of(desired)) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), desired: None }
    }
}

/// The ARN of the active cluster called `name`.
pub(crate) async fn arn_of(aws: &Aws, name: &str) -> Result<Option<String>, StageError> {
    let answer = aws.ecs().describe_clusters().clusters(name).send().await.or_fail("ecs:DescribeClusters")?;
    let active = answer.clusters().iter().find(|cluster| cluster.status() == Some("ACTIVE"));
    Ok(active.and_then(|cluster| cluster.cluster_arn()).map(str::to_owned))
}

#[async_trait]
impl Resource for Cluster {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let call = self.aws.ecs().describe_clusters().clusters(&self.id.name);
        let call = call.include(ClusterField::Tags).include(ClusterField::Settings);
        let answer = call.send().await.or_fail("ecs:DescribeClusters")?;
        let active = answer.clusters().iter().find(|cluster| cluster.status() == Some("ACTIVE"));
        Ok(active.map(|cluster| {
            let insights = cluster.settings().iter().any(|setting| {
                setting.name() == Some(&ClusterSettingName::ContainerInsights)
                    && setting.value() != Some("disabled")
            });
            Attributes::of(json!({
                "container_insights": insights,
                "tags": tags_of(cluster.tags()),
                "arn": cluster.cluster_arn(),
            }))
        }))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let call = self.aws.ecs().create_cluster().cluster_name(&self.id.name);
        let tags = sdk_tags(&Tags::from(desired.value("tags")));
        let call = call.settings(insights(desired)).set_tags(Some(tags));
        call.send().await.or_fail("ecs:CreateCluster").map(|_| ())
    }

    async fn update(
        &self,
        _: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        if observed.value("container_insights") != desired.value("container_insights") {
            let call = self.aws.ecs().update_cluster_settings().cluster(&self.id.name);
            call.settings(insights(desired)).send().await.or_fail("ecs:UpdateClusterSettings")?;
        }
        update_tags(&self.aws, observed, desired).await
    }

    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.ecs().delete_cluster().cluster(&self.id.name);
        call.send().await.or_gone("ecs:DeleteCluster")
    }
}

fn insights(desired: &Attributes) -> ClusterSetting {
    let on = desired.value("container_insights").as_bool().unwrap_or_default();
    ClusterSetting::builder()
        .name(ClusterSettingName::ContainerInsights)
        .value(if on { "enabled" } else { "disabled" })
        .build()
}

/// The tags of an ECS resource as the `tags` attribute.
pub(crate) fn tags_of(tags: &[Tag]) -> Value {
    let pairs = tags.iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
    pairs.collect::<Tags>().to_value()
}

/// The tags in ECS's own type.
pub(crate) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Brings the tags of the ECS resource whose ARN is among `observed` from these to `desired`.
pub(crate) async fn update_tags(
    aws: &Aws,
    observed: &Attributes,
    desired: &Attributes,
) -> Result<(), StageError> {
    let (set, unset) = changed_tags(observed, desired);
    let (arn, set) = (observed.need("arn")?, sdk_tags(&set));
    if !set.is_empty() {
        let call = aws.ecs().tag_resource().resource_arn(arn).set_tags(Some(set));
        call.send().await.or_fail("ecs:TagResource")?;
    }
    if !unset.is_empty() {
        let call = aws.ecs().untag_resource().resource_arn(arn).set_tag_keys(Some(unset));
        call.send().await.or_fail("ecs:UntagResource")?;
    }
    Ok(())
}
