//! An IAM role that an AWS service assumes: several stages own one.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_iam::types::Tag;
use percent_encoding::percent_decode_str;
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, json};

use crate::{Attributes, Aws, AwsResult, Known, Reading, Resource, Tags, changed_tags};

/// The kind of [`Role`] in plans.
pub const ROLE_KIND: &str = "iam:role";

/// What a role is for and what it allows.
#[derive(Clone, Debug)]
pub struct RoleSpec {
    /// The service that assumes it, such as `ecs-tasks.amazonaws.com`.
    pub service: &'static str,
    /// ARNs of managed policies.
    pub managed_policies: Vec<String>,
    /// Inline policies by name.
    pub policies: BTreeMap<String, Value>,
}

/// An IAM role as a resource. Its attribute `arn` is what other resources refer to.
pub struct Role {
    aws: Arc<Aws>,
    id: ResourceId,
    desired: Option<Attributes>,
}

impl Role {
    /// The role `name` as it should be; without a `spec` it should not exist.
    pub fn wanted(aws: Arc<Aws>, name: &str, spec: Option<&RoleSpec>, tags: &Tags) -> Self {
        let desired = spec.map(|spec| {
            let mut managed = spec.managed_policies.clone();
            managed.sort();
            Attributes::of(json!({
                "name": name,
                "service": spec.service,
                "managed_policies": managed,
                "policies": spec.policies,
                "tags": tags.to_value(),
            }))
        });
        Self { aws, id: ResourceId::new(ROLE_KIND, name), desired }
    }

    /// A role from an earlier run.
    pub fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), desired: None }
    }

    fn name(&self) -> &str {
        &self.id.name
    }

    async fn managed_policies(&self) -> Result<Vec<String>, StageError> {
        let call = self.aws.iam().list_attached_role_policies().role_name(self.name());
        let answer = call.send().await.if_found("iam:ListAttachedRolePolicies")?;
        let attached = answer.and_then(|answer| answer.attached_policies).unwrap_or_default();
        let mut arns: Vec<_> = attached.into_iter().filter_map(|policy| policy.policy_arn).collect();
        arns.sort();
        Ok(arns)
    }

    async fn policies(&self) -> Result<BTreeMap<String, Value>, StageError> {
        let call = self.aws.iam().list_role_policies().role_name(self.name());
        let names = call.send().await.if_found("iam:ListRolePolicies")?;
        let names = names.map(|answer| answer.policy_names).unwrap_or_default();
        let policy = |name: String| async move {
            let call = self.aws.iam().get_role_policy().role_name(self.name()).policy_name(&name);
            let found = call.send().await.if_found("iam:GetRolePolicy")?;
            Ok::<_, StageError>(found.map(|policy| (name, document(&policy.policy_document))))
        };
        let policies = futures::future::try_join_all(names.into_iter().map(policy)).await?;
        Ok(policies.into_iter().flatten().collect())
    }

    async fn set_managed_policies(&self, old: &Value, new: &Value) -> Result<(), StageError> {
        let (old, new) = (texts(old), texts(new));
        for arn in new.iter().filter(|arn| !old.contains(arn)) {
            let call = self.aws.iam().attach_role_policy().role_name(self.name()).policy_arn(*arn);
            call.send().await.or_fail("iam:AttachRolePolicy")?;
        }
        for arn in old.iter().filter(|arn| !new.contains(arn)) {
            let call = self.aws.iam().detach_role_policy().role_name(self.name()).policy_arn(*arn);
            call.send().await.or_gone("iam:DetachRolePolicy")?;
        }
        Ok(())
    }

    async fn set_policies(&self, old: &Value, new: &Value) -> Result<(), StageError> {
        for (name, policy) in new.as_object().into_iter().flatten() {
            if old[name] != *policy {
                let call = self.aws.iam().put_role_policy().role_name(self.name());
                let call = call.policy_name(name).policy_document(policy.to_string());
                call.send().await.or_fail("iam:PutRolePolicy")?;
            }
        }
        for name in old.as_object().into_iter().flatten().map(|(name, _)| name) {
            if new[name].is_null() {
                let call = self.aws.iam().delete_role_policy().role_name(self.name()).policy_name(name);
                call.send().await.or_gone("iam:DeleteRolePolicy")?;
            }
        }
        Ok(())
    }

    async fn set_tags(&self, observed: &Attributes, desired: &Attributes) -> Result<(), StageError> {
        let (set, unset) = changed_tags(observed, desired);
        let set = sdk_tags(&set)?;
        if !set.is_empty() {
            let call = self.aws.iam().tag_role().role_name(self.name()).set_tags(Some(set));
            call.send().await.or_fail("iam:TagRole")?;
        }
        if !unset.is_empty() {
            let call = self.aws.iam().untag_role().role_name(self.name()).set_tag_keys(Some(unset));
            call.send().await.or_fail("iam:UntagRole")?;
        }
        Ok(())
    }
}

#[async_trait]
impl Resource for Role {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn desired(&self, _known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.desired.clone())
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let role = async {
            let call = self.aws.iam().get_role().role_name(self.name());
            call.send().await.if_found("iam:GetRole")
        };
        let (answer, managed, policies) = futures::try_join!(role, self.managed_policies(), self.policies())?;
        let Some(role) = answer.and_then(|answer| answer.role) else { return Ok(None) };
        let trust = document(role.assume_role_policy_document().unwrap_or_default());
        let tags: Tags = role.tags().iter().map(|tag| (tag.key(), tag.value())).collect();
        Ok(Some(Attributes::of(json!({
            "name": self.name(),
            "service": trust["Statement"][0]["Principal"]["Service"],
            "managed_policies": managed,
            "policies": policies,
            "tags": tags.to_value(),
            "arn": role.arn(),
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let call = self.aws.iam().create_role().role_name(self.name());
        let call = call
            .assume_role_policy_document(trust(desired.need("service")?).to_string())
            .set_tags(Some(sdk_tags(&Tags::from(desired.value("tags")))?));
        call.send().await.or_fail("iam:CreateRole")?;
        self.set_managed_policies(&Value::Null, desired.value("managed_policies")).await?;
        self.set_policies(&Value::Null, desired.value("policies")).await
    }

    async fn update(
        &self,
        _cx: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        if observed.value("service") != desired.value("service") {
            let call = self.aws.iam().update_assume_role_policy().role_name(self.name());
            let call = call.policy_document(trust(desired.need("service")?).to_string());
            call.send().await.or_fail("iam:UpdateAssumeRolePolicy")?;
        }
        self.set_managed_policies(observed.value("managed_policies"), desired.value("managed_policies"))
            .await?;
        self.set_policies(observed.value("policies"), desired.value("policies")).await?;
        self.set_tags(observed, desired).await
    }

    /// A role can be deleted only once nothing is attached to it:
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteRole.html>.
    async fn delete(&self, _cx: &Context, observed: &Attributes) -> Result<(), StageError> {
        self.set_managed_policies(observed.value("managed_policies"), &Value::Null).await?;
        self.set_policies(observed.value("policies"), &Value::Null).await?;
        let call = self.aws.iam().delete_role().role_name(self.name());
        call.send().await.or_gone("iam:DeleteRole")
    }
}

fn trust(service: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": service },
            "Action": "sts:AssumeRole",
        }],
    })
}

/// A policy document as IAM returns it: JSON, percent-encoded.
fn document(text: &str) -> Value {
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    serde_json::from_str(&decoded).unwrap_or(Value::Null)
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>, StageError> {
    tags.build(|key, value| Tag::builder().key(key).value(value).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_iam_writes_it() {
        let encoded = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
        assert_eq!(document(encoded), json!({ "Version": "2012-10-17", "Statement": [] }));
        assert_eq!(document(&trust("ecs.amazonaws.com").to_string()), trust("ecs.amazonaws.com"));
    }
}
