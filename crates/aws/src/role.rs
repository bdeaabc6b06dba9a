//! An IAM role that an AWS service assumes: several stages own one.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use percent_encoding::percent_decode_str;
use pipeline_sdk::{Context, Recorded, ResourceId, StageError, Value, json};
use serde::Deserialize;

use crate::direct::{Direct, Items};
use crate::{Attributes, Aws, Known, Reading, Resource, Tags, changed_tags};

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

    fn iam(&self) -> &Direct {
        self.aws.iam()
    }

    /// The role's name, and what else an operation is given.
    fn and<const N: usize>(&self, also: [(&str, &str); N]) -> Vec<(String, String)> {
        self.and_all(also.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn and_all(&self, also: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
        std::iter::once(("RoleName".to_owned(), self.name().to_owned())).chain(also).collect()
    }

    async fn managed_policies(&self) -> Result<Vec<String>, StageError> {
        let answer: Option<AttachedPolicies> =
            self.iam().find("iam:ListAttachedRolePolicies", self.and([])).await?;
        let attached = answer.unwrap_or_default().attached_policies.items;
        let mut arns: Vec<_> = attached.into_iter().map(|policy| policy.policy_arn).collect();
        arns.sort();
        Ok(arns)
    }

    async fn policies(&self) -> Result<BTreeMap<String, Value>, StageError> {
        let answer: Option<PolicyNames> = self.iam().find("iam:ListRolePolicies", self.and([])).await?;
        let names = answer.unwrap_or_default().policy_names.items;
        let policy = |name: String| async move {
            let wanted = self.and([("PolicyName", &name)]);
            let found: Option<Policy> = self.iam().find("iam:GetRolePolicy", wanted).await?;
            Ok::<_, StageError>(found.map(|policy| (name, document(&policy.policy_document))))
        };
        let policies = futures::future::try_join_all(names.into_iter().map(policy)).await?;
        Ok(policies.into_iter().flatten().collect())
    }

    async fn set_managed_policies(&self, old: &Value, new: &Value) -> Result<(), StageError> {
        let (old, new) = (texts(old), texts(new));
        for arn in new.iter().filter(|arn| !old.contains(arn)) {
            self.iam().tell("iam:AttachRolePolicy", self.and([("PolicyArn", arn)])).await?;
        }
        for arn in old.iter().filter(|arn| !new.contains(arn)) {
            self.iam().remove("iam:DetachRolePolicy", self.and([("PolicyArn", arn)])).await?;
        }
        Ok(())
    }

    async fn set_policies(&self, old: &Value, new: &Value) -> Result<(), StageError> {
        for (name, policy) in new.as_object().into_iter().flatten() {
            if old[name] != *policy {
                let document = policy.to_string();
                let policy = self.and([("PolicyName", name), ("PolicyDocument", &document)]);
                self.iam().tell("iam:PutRolePolicy", policy).await?;
            }
        }
        for name in old.as_object().into_iter().flatten().map(|(name, _)| name) {
            if new[name].is_null() {
                self.iam().remove("iam:DeleteRolePolicy", self.and([("PolicyName", name)])).await?;
            }
        }
        Ok(())
    }

    async fn set_tags(&self, observed: &Attributes, desired: &Attributes) -> Result<(), StageError> {
        let (set, unset) = changed_tags(observed, desired);
        let set = set.form("Tags.member");
        if !set.is_empty() {
            self.iam().tell("iam:TagRole", self.and_all(set)).await?;
        }
        let keys = unset.into_iter().enumerate();
        let unset: Vec<_> = keys.map(|(at, key)| (format!("TagKeys.member.{}", at + 1), key)).collect();
        if !unset.is_empty() {
            self.iam().tell("iam:UntagRole", self.and_all(unset)).await?;
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
        let found = self.iam().find::<Found>("iam:GetRole", self.and([]));
        let (answer, managed, policies) =
            futures::try_join!(found, self.managed_policies(), self.policies())?;
        let Some(Found { role }) = answer else { return Ok(None) };
        let trust = document(&role.assume_role_policy_document);
        let tags: Tags = role.tags.items.into_iter().map(|tag| (tag.key, tag.value)).collect();
        Ok(Some(Attributes::of(json!({
            "name": self.name(),
            "service": trust["Statement"][0]["Principal"]["Service"],
            "managed_policies": managed,
            "policies": policies,
            "tags": tags.to_value(),
            "arn": role.arn,
        }))))
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        let trust = trust(desired.need("service")?).to_string();
        let tags = Tags::from(desired.value("tags")).form("Tags.member");
        let all = [self.and([("AssumeRolePolicyDocument", &trust)]), tags].concat();
        self.iam().tell("iam:CreateRole", all).await?;
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
            let document = trust(desired.need("service")?).to_string();
            self.iam().tell("iam:UpdateAssumeRolePolicy", self.and([("PolicyDocument", &document)])).await?;
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
        self.iam().remove("iam:DeleteRole", self.and([])).await
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

/// The answer of GetRole.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    role: Described,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    arn: String,
    #[serde(default)]
    assume_role_policy_document: String,
    #[serde(default)]
    tags: Items<Tag>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// The answer of ListAttachedRolePolicies.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AttachedPolicies {
    #[serde(default)]
    attached_policies: Items<Attached>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attached {
    policy_arn: String,
}

/// The answer of ListRolePolicies.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyNames {
    #[serde(default)]
    policy_names: Items<String>,
}

/// The answer of GetRolePolicy.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    policy_document: String,
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
