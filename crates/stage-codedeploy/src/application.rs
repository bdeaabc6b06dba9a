//! The CodeDeploy application: a name that holds deployment groups.

use std::sync::Arc;

use aws_sdk_codedeploy::types::{ComputePlatform, Tag};
use pipeline_aws::{Attributes, Aws, AwsResult, Known, Reading, Resource, Tags, changed_tags};
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, async_trait, json};

pub(crate) const KIND: &str = "codedeploy:application";

pub(crate) struct Application {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

impl Application {
    pub(crate) fn wanted(aws: Arc<Aws>, name: &str, tags: &Tags) -> Self {
        let desired = Attributes::of(json!({ "compute_platform": "ECS", "tags": tags.to_value() }));
        Self { aws, id: ResourceId::new(KIND, name), desired: Some(desired) }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), desired: None }
    }

    /// CodeDeploy does not return the ARNs of applications; this is their form:
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodedeploy.html>.
    async fn arn(&self) -> Result<String, StageError> {
        let account = self.aws.account().await?;
        let region = self.aws.region().unwrap_or_default();
        Ok(format!("arn:aws:codedeploy:{region}:{account}:application:{}", self.id.name))
    }

    async fn tags(&self) -> Result<Tags, StageError> {
        let call = self.aws.codedeploy().list_tags_for_resource().resource_arn(self.arn().await?);
        let answer = call.send().await.if_found("codedeploy:ListTagsForResource")?;
        let tags = answer.and_then(|answer| answer.tags).unwrap_or_default();
        Ok(tags.into_iter().filter_map(|tag| Some((tag.key?, tag.value?))).collect())
    }
}

#[async_trait]
impl Resource for Application {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["compute_platform"]
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let application = async {
            let call = self.aws.codedeploy().get_application().application_name(&self.id.name);
            call.send().await.if_found("codedeploy:GetApplication")
        };
        let (answer, tags) = futures::try_join!(application, self.tags())?;
        let Some(found) = answer.and_then(|answer| answer.application) else { return Ok(None) };
        Ok(Some(Attributes::of(json!({
            "compute_platform": found.compute_platform().map(ComputePlatform::as_str),
            "tags": tags.to_value(),
            "id": found.application_id(),
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let call = self.aws.codedeploy().create_application().application_name(&self.id.name);
        let call = call
            .compute_platform(ComputePlatform::Ecs)
            .set_tags(Some(sdk_tags(&Tags::from(desired.value("tags")))));
        call.send().await.or_fail("codedeploy:CreateApplication").map(|_| ())
    }

    async fn update(
        &self,
        _cx: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let (set, unset) = changed_tags(observed, desired);
        let (arn, set) = (self.arn().await?, sdk_tags(&set));
        if !set.is_empty() {
            let call = self.aws.codedeploy().tag_resource().resource_arn(&arn).set_tags(Some(set));
            call.send().await.or_fail("codedeploy:TagResource")?;
        }
        if !unset.is_empty() {
            let call = self.aws.codedeploy().untag_resource().resource_arn(&arn);
            call.set_tag_keys(Some(unset)).send().await.or_fail("codedeploy:UntagResource")?;
        }
        Ok(())
    }

    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        let call = self.aws.codedeploy().delete_application().application_name(&self.id.name);
        call.send().await.or_gone("codedeploy:DeleteApplication")
    }
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
