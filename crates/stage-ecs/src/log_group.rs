//! The log group that the tasks write to.

use std::sync::Arc;

use pipeline_aws::{Attributes, Aws, Known, Reading, Resource, Tags, UserTags, changed_tags};
use pipeline_sdk::{Action, Context, Recorded, ResourceId, StageError, async_trait, json};
use serde::Deserialize;

use crate::EcsInputs;

pub(crate) const KIND: &str = "logs:log-group";

pub(crate) struct LogGroup {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

impl LogGroup {
    pub(crate) fn wanted(aws: Arc<Aws>, name: &str, inputs: &EcsInputs, tags: &Tags) -> Self {
        let desired = json!({ "retention_days": inputs.log_retention_days, "tags": tags.to_value() });
        Self { aws, id: ResourceId::new(KIND, name), desired: Some(Attributes::of(desired)) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), desired: None }
    }

    async fn describe(&self) -> Result<Option<Description>, StageError> {
        let wanted = json!({ "logGroupNamePrefix": self.id.name });
        let answer: LogGroups = self.aws.logs().call("logs:DescribeLogGroups", wanted).await?;
        Ok(answer.log_groups.into_iter().find(|group| group.log_group_name == self.id.name))
    }

    async fn tags(&self, arn: String) -> Result<Tags, StageError> {
        let wanted = json!({ "resourceArn": arn });
        let answer: Option<Tagged> = self.aws.logs().find("logs:ListTagsForResource", wanted).await?;
        Ok(answer.map(|answer| answer.tags).unwrap_or_default().into_iter().collect())
    }

    async fn set_retention(&self, desired: &Attributes) -> Result<(), StageError> {
        let name = &self.id.name;
        match desired.value("retention_days").as_i64().filter(|days| *days > 0) {
            Some(days) => {
                let policy = json!({ "logGroupName": name, "retentionInDays": days });
                self.aws.logs().tell("logs:PutRetentionPolicy", policy).await
            }
            None => {
                let group = json!({ "logGroupName": name });
                self.aws.logs().remove("logs:DeleteRetentionPolicy", group).await
            }
        }
    }
}

/// The ARN without the `:*` that CloudWatch Logs puts behind it, as its tagging calls want it.
fn arn(group: &Description) -> Option<&str> {
    let plain = group.log_group_arn.as_deref();
    plain.or_else(|| group.arn.as_deref().map(|arn| arn.trim_end_matches(":*")))
}

/// The answer of DescribeLogGroups.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogGroups {
    #[serde(default)]
    log_groups: Vec<Description>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    log_group_name: String,
    arn: Option<String>,
    log_group_arn: Option<String>,
    #[serde(default)]
    retention_in_days: i64,
}

/// The answer of ListTagsForResource.
#[derive(Debug, Deserialize)]
struct Tagged {
    #[serde(default)]
    tags: UserTags,
}

#[async_trait]
impl Resource for LogGroup {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, reading: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let described = reading.described(&self.id, self.describe(), arn, |arn| self.tags(arn));
        Ok(described.await?.map(|(group, tags)| {
            Attributes::of(json!({
                "retention_days": group.retention_in_days,
                "tags": tags.to_value(),
                "arn": arn(&group),
            }))
        }))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let tags = Tags::from(desired.value("tags")).to_value();
        let group = json!({ "logGroupName": self.id.name, "tags": tags });
        self.aws.logs().tell("logs:CreateLogGroup", group).await?;
        if desired.value("retention_days") != 0 { self.set_retention(desired).await } else { Ok(()) }
    }

    async fn update(
        &self,
        _: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        if observed.value("retention_days") != desired.value("retention_days") {
            self.set_retention(desired).await?;
        }
        let (set, unset) = changed_tags(observed, desired);
        let arn = observed.need("arn")?;
        if set.iter().next().is_some() {
            let tags = json!({ "resourceArn": arn, "tags": set.to_value() });
            self.aws.logs().tell("logs:TagResource", tags).await?;
        }
        if !unset.is_empty() {
            let keys = json!({ "resourceArn": arn, "tagKeys": unset });
            self.aws.logs().tell("logs:UntagResource", keys).await?;
        }
        Ok(())
    }

    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        self.aws.logs().remove("logs:DeleteLogGroup", json!({ "logGroupName": self.id.name })).await
    }

    fn irreversible(&self, action: Action, _observed: &Attributes) -> Option<String> {
        matches!(action, Action::Delete | Action::Replace).then(|| "the logs in it are deleted".to_owned())
    }
}
