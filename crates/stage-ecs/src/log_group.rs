//! The log group that the tasks write to.

use std::sync::Arc;

use aws_sdk_cloudwatchlogs::types::LogGroup as Description;
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Reading, Resource, Tags, changed_tags};
use pipeline_sdk::{Action, Context, Recorded, ResourceId, StageError, async_trait, json};

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
        let call = self.aws.logs().describe_log_groups().log_group_name_prefix(&self.id.name);
        let answer = call.send().await.or_fail("logs:DescribeLogGroups")?;
        let groups = answer.log_groups.unwrap_or_default();
        Ok(groups.into_iter().find(|group| group.log_group_name() == Some(&self.id.name)))
    }

    async fn tags(&self, arn: String) -> Result<Tags, StageError> {
        let call = self.aws.logs().list_tags_for_resource().resource_arn(arn);
        let answer = call.send().await.if_found("logs:ListTagsForResource")?;
        Ok(answer.and_then(|answer| answer.tags).unwrap_or_default().into_iter().collect())
    }

    async fn set_retention(&self, desired: &Attributes) -> Result<(), StageError> {
        let days = desired.value("retention_days").as_i64().and_then(|days| i32::try_from(days).ok());
        match days.filter(|days| *days > 0) {
            Some(days) => {
                let call = self.aws.logs().put_retention_policy().log_group_name(&self.id.name);
                call.retention_in_days(days).send().await.or_fail("logs:PutRetentionPolicy").map(|_| ())
            }
            None => {
                let call = self.aws.logs().delete_retention_policy().log_group_name(&self.id.name);
                call.send().await.or_gone("logs:DeleteRetentionPolicy")
            }
        }
    }
}

/// The ARN without the `:*` that CloudWatch Logs puts behind it, as its tagging calls want it.
fn arn(group: &Description) -> Option<&str> {
    group.log_group_arn().or_else(|| group.arn().map(|arn| arn.trim_end_matches(":*")))
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
                "retention_days": group.retention_in_days().unwrap_or(0),
                "tags": tags.to_value(),
                "arn": arn(&group),
            }))
        }))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let call = self.aws.logs().create_log_group().log_group_name(&self.id.name);
        let tags = Tags::from(desired.value("tags"));
        let tags = tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        call.set_tags(Some(tags)).send().await.or_fail("logs:CreateLogGroup")?;
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
        let set: std::collections::HashMap<_, _> =
            set.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if !set.is_empty() {
            let call = self.aws.logs().tag_resource().resource_arn(arn).set_tags(Some(set));
            call.send().await.or_fail("logs:TagResource")?;
        }
        if !unset.is_empty() {
            let call = self.aws.logs().untag_resource().resource_arn(arn).set_tag_keys(Some(unset));
            call.send().await.or_fail("logs:UntagResource")?;
        }
        Ok(())
    }

    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.logs().delete_log_group().log_group_name(&self.id.name);
        call.send().await.or_gone("logs:DeleteLogGroup")
    }

    fn irreversible(&self, action: Action, _observed: &Attributes) -> Option<String> {
        matches!(action, Action::Delete | Action::Replace).then(|| "the logs in it are deleted".to_owned())
    }
}
