//! The repository as a resource.

use std::sync::Arc;

use aws_sdk_ecr::types::{
    EncryptionConfiguration, EncryptionType, ImageScanningConfiguration, ImageTagMutability,
    Repository as Description, Tag,
};
use pipeline_aws::{Attributes, Aws, AwsError, AwsResult, Known, Reading, Resource, Tags, changed_tags};
use pipeline_sdk::{Action, Context, Recorded, ResourceId, StageError, Value, async_trait, json};

use crate::EcrInputs;
use crate::lifecycle::Lifecycle;

pub(crate) const KIND: &str = "ecr:repository";

/// One repository, wanted or remembered.
pub(crate) struct Repository {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
    /// Not AWS's to remember: whether images go with it.
    force_delete: bool,
}

impl Repository {
    pub(crate) fn wanted(
        aws: Arc<Aws>,
        name: String,
        inputs: &EcrInputs,
        lifecycle: Lifecycle,
        tags: &Tags,
    ) -> Self {
        let key = inputs.kms_key_arn.as_ref().map(pipeline_sdk::Maybe::to_value);
        let desired = json!({
            "name": name,
            "scan_on_push": inputs.scan_on_push,
            "immutable_tags": inputs.immutable_tags,
            "lifecycle": lifecycle,
            "kms_key_arn": key,
            "tags": tags.to_value(),
        });
        Self {
            aws,
            id: ResourceId::new(KIND, name),
            desired: Some(Attributes::of(desired)),
            force_delete: inputs.force_delete,
        }
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        let force_delete = recorded.attributes["force_delete"].as_bool().unwrap_or(false);
        Self { aws, id: recorded.id.clone(), desired: None, force_delete }
    }

    async fn describe(&self) -> Result<Option<Description>, StageError> {
        let call = self.aws.ecr().describe_repositories().repository_names(&self.id.name);
        let answer = call.send().await.if_found("ecr:DescribeRepositories")?;
        Ok(answer.and_then(|answer| answer.repositories.unwrap_or_default().into_iter().next()))
    }

    async fn lifecycle(&self) -> Result<Value, StageError> {
        let call = self.aws.ecr().get_lifecycle_policy().repository_name(&self.id.name);
        let answer = call.send().await.if_found("ecr:GetLifecyclePolicy")?;
        Ok(Lifecycle::attribute(answer.as_ref().and_then(|answer| answer.lifecycle_policy_text())))
    }

    async fn tags(&self, arn: String) -> Result<Tags, StageError> {
        let call = self.aws.ecr().list_tags_for_resource().resource_arn(arn);
        let answer = call.send().await.or_fail("ecr:ListTagsForResource")?;
        Ok(answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn put_lifecycle(&self, attribute: &Value) -> Result<(), StageError> {
        let ecr = self.aws.ecr();
        match Lifecycle::text(attribute) {
            Some(text) => {
                let call = ecr.put_lifecycle_policy().repository_name(&self.id.name);
                call.lifecycle_policy_text(text).send().await.or_fail("ecr:PutLifecyclePolicy").map(drop)
            }
            None => {
                let call = ecr.delete_lifecycle_policy().repository_name(&self.id.name);
                call.send().await.or_gone("ecr:DeleteLifecyclePolicy")
            }
        }
    }

    async fn update_tags(&self, observed: &Attributes, desired: &Attributes) -> Result<(), StageError> {
        let (set, unset) = changed_tags(observed, desired);
        let (ecr, arn) = (self.aws.ecr(), observed.need("arn")?);
        if set.iter().next().is_some() {
            let call = ecr.tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(&set)?));
            call.send().await.or_fail("ecr:TagResource")?;
        }
        if !unset.is_empty() {
            let call = ecr.untag_resource().resource_arn(arn).set_tag_keys(Some(unset));
            call.send().await.or_fail("ecr:UntagResource")?;
        }
        Ok(())
    }

    async fn remove(&self, force: bool) -> Result<(), StageError> {
        let call = self.aws.ecr().delete_repository().repository_name(&self.id.name).force(force);
        call.send().await.or_gone("ecr:DeleteRepository")
    }
}

#[async_trait]
impl Resource for Repository {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["kms_key_arn"]
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    fn notes(&self) -> Attributes {
        Attributes::of(json!({ "force_delete": self.force_delete }))
    }

    async fn read(&self, reading: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let tags = |arn| self.tags(arn);
        let described = reading.described(&self.id, self.describe(), Description::repository_arn, tags);
        let (found, lifecycle) = futures::try_join!(described, self.lifecycle())?;
        let Some((found, tags)) = found else { return Ok(None) };
        let scanning = found.image_scanning_configuration();
        let mutability = found.image_tag_mutability();
        let encryption = found.encryption_configuration();
        Ok(Some(Attributes::of(json!({
            "name": self.id.name,
            "scan_on_push": scanning.is_some_and(ImageScanningConfiguration::scan_on_push),
            "immutable_tags": mutability == Some(&ImageTagMutability::Immutable),
            "lifecycle": lifecycle,
            "kms_key_arn": encryption.and_then(EncryptionConfiguration::kms_key),
            "tags": tags.to_value(),
            "arn": found.repository_arn(),
            "uri": found.repository_uri(),
            "registry_id": found.registry_id(),
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let call = self.aws.ecr().create_repository().repository_name(&self.id.name);
        let call = call
            .image_scanning_configuration(scanning(desired))
            .image_tag_mutability(mutability(desired))
            .set_encryption_configuration(encryption(desired)?)
            .set_tags(Some(sdk_tags(&Tags::from(desired.value("tags")))?));
        call.send().await.or_fail("ecr:CreateRepository")?;
        if Lifecycle::text(desired.value("lifecycle")).is_some() {
            self.put_lifecycle(desired.value("lifecycle")).await?;
        }
        Ok(())
    }

    async fn update(
        &self,
        _cx: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        let ecr = self.aws.ecr();
        let changed = |key| observed.value(key) != desired.value(key);
        if changed("scan_on_push") {
            let call = ecr.put_image_scanning_configuration().repository_name(&self.id.name);
            let call = call.image_scanning_configuration(scanning(desired));
            call.send().await.or_fail("ecr:PutImageScanningConfiguration")?;
        }
        if changed("immutable_tags") {
            let call = ecr.put_image_tag_mutability().repository_name(&self.id.name);
            let call = call.image_tag_mutability(mutability(desired));
            call.send().await.or_fail("ecr:PutImageTagMutability")?;
        }
        if changed("lifecycle") {
            self.put_lifecycle(desired.value("lifecycle")).await?;
        }
        self.update_tags(observed, desired).await
    }

    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        self.remove(self.force_delete).await.map_err(|error| match not_empty(&error) {
            true => error.with_help("delete its images first, or set `force_delete = true` and run once"),
            false => error,
        })
    }

    async fn undo_create(&self, cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        match self.remove(false).await {
            Err(error) if not_empty(&error) => {
                cx.note(format!("{} stays: images were pushed to it, and those are kept", self.id));
                Ok(())
            }
            result => result,
        }
    }

    fn irreversible(&self, action: Action, _observed: &Attributes) -> Option<String> {
        let removes = matches!(action, Action::Delete | Action::Replace);
        (removes && self.force_delete).then(|| "the images in the repository are deleted with it".to_owned())
    }
}

fn not_empty(error: &StageError) -> bool {
    AwsError::behind(error).is_some_and(|aws| aws.is(&["RepositoryNotEmptyException"]))
}

fn scanning(desired: &Attributes) -> ImageScanningConfiguration {
    let on = desired.value("scan_on_push").as_bool().unwrap_or_default();
    ImageScanningConfiguration::builder().scan_on_push(on).build()
}

fn mutability(desired: &Attributes) -> ImageTagMutability {
    match desired.value("immutable_tags").as_bool() {
        Some(true) => ImageTagMutability::Immutable,
        _ => ImageTagMutability::Mutable,
    }
}

fn encryption(desired: &Attributes) -> Result<Option<EncryptionConfiguration>, StageError> {
    let Some(key) = desired.text("kms_key_arn") else { return Ok(None) };
    let built = EncryptionConfiguration::builder().encryption_type(EncryptionType::Kms).kms_key(key).build();
    built.map(Some).map_err(|error| StageError::failed(error.to_string()))
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>, StageError> {
    tags.build(|key, value| Tag::builder().key(key).value(value).build())
}
