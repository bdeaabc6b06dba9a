//! Which images a repository forgets.

use pipeline_sdk::{Value, json};
use serde::{Deserialize, Serialize};

/// What a repository keeps. 0 means that nothing is removed by that rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    pub(crate) keep_images: u32,
    pub(crate) untagged_days: u32,
}

impl Lifecycle {
    /// The policy in ECR's own form; none where nothing is removed.
    ///
    /// A rule for any tag status must have the highest `rulePriority`:
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html>.
    pub(crate) fn policy(self) -> Option<Value> {
        let untagged = (self.untagged_days > 0).then(|| {
            json!({
                "rulePriority": 1,
                "description": "Remove images without a tag",
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": self.untagged_days,
                },
                "action": { "type": "expire" },
            })
        });
        let old = (self.keep_images > 0).then(|| {
            json!({
                "rulePriority": 2,
                "description": "Keep the newest images",
                "selection": {
                    "tagStatus": "any",
                    "countType": "imageCountMoreThan",
                    "countNumber": self.keep_images,
                },
                "action": { "type": "expire" },
            })
        });
        let rules: Vec<_> = [untagged, old].into_iter().flatten().collect();
        (!rules.is_empty()).then(|| json!({ "rules": rules }))
    }

    /// The `lifecycle` attribute of a policy text: its two numbers if it is one of ours, else the whole
    /// of it under `other`, which then differs from whatever is wanted.
    pub(crate) fn attribute(policy: Option<&str>) -> Value {
        let Some(text) = policy else { return json!(Self::default()) };
        let Ok(policy) = serde_json::from_str::<Value>(text) else { return json!({ "other": text }) };
        let number = |count_type: &str| {
            let rules = policy["rules"].as_array().into_iter().flatten();
            let mut matching = rules.filter(|rule| rule["selection"]["countType"] == count_type);
            let count = matching.next().and_then(|rule| rule["selection"]["countNumber"].as_u64());
            count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
        };
        let lifecycle =
            Self { keep_images: number("imageCountMoreThan"), untagged_days: number("sinceImagePushed") };
        match lifecycle.policy() {
            Some(ours) if ours == policy => json!(lifecycle),
            _ => json!({ "other": policy }),
        }
    }

    /// The policy text of a `lifecycle` attribute, also of one that was not ours.
    pub(crate) fn text(attribute: &Value) -> Option<String> {
        match &attribute["other"] {
            Value::Null => {
                let lifecycle: Self = serde_json::from_value(attribute.clone()).unwrap_or_default();
                lifecycle.policy().map(|policy| policy.to_string())
            }
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_ours_is_read_back_as_its_numbers() {
        for (keep_images, untagged_days) in [(30, 7), (0, 7), (30, 0), (0, 0)] {
            let lifecycle = Lifecycle { keep_images, untagged_days };
            let attribute = Lifecycle::attribute(Lifecycle::text(&json!(lifecycle)).as_deref());
            assert_eq!(attribute, json!(lifecycle));
        }
    }

    #[test]
    fn a_foreign_policy_is_kept_whole_so_that_it_can_be_restored() {
        let text = r#"{"rules":[{"rulePriority":9,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":3},"action":{"type":"expire"}}]}"#;
        let attribute = Lifecycle::attribute(Some(text));
        assert_eq!(Lifecycle::text(&attribute).as_deref(), Some(text));
    }
}
