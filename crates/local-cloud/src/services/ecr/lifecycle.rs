//! What a lifecycle policy says: its rules, and which images they mean.
//!
//! Source: docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::errors;
use super::state::{Image, Repository, matches};
use crate::wire::ApiError;
use pipeline_data_plane::image::Digest;

/// The values of `countType`; all but the first count days.
const COUNT_TYPES: [&str; 4] =
    ["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"];

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) priority: u64,
    tags: TagStatus,
    /// Rules are told apart in each class of storage.
    storage_class: String,
    limit: Limit,
}

/// Which images a rule looks at.
#[derive(Debug, PartialEq, Eq)]
enum TagStatus {
    Any,
    Untagged,
    /// Each pattern has to fit one of the tags.
    Tagged(Vec<String>),
}

/// Which of these it means.
#[derive(Debug)]
enum Limit {
    /// All but so many of the newest.
    Images(u64),
    /// Those that were pushed before so many days.
    Days(u64),
    /// What the cloud does not tell: pulls and classes of storage are not recorded.
    Unknown,
}

/// The rules of a policy, in the order in which they apply.
pub(super) fn read(text: &str) -> Result<Vec<Rule>, ApiError> {
    let policy = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    let policy = policy.ok_or_else(|| invalid("Could not map policyString into LifecyclePolicy."))?;
    let Some(rules) = policy.get("rules").and_then(Value::as_array) else {
        return Err(missing("rules"));
    };
    if rules.is_empty() {
        let text = "array is too short: must have at least 1 elements but instance has 0 elements";
        return Err(invalid(text));
    }
    let mut rules = rules.iter().map(Rule::read).collect::<Result<Vec<_>, _>>()?;
    rules.sort_by_key(|rule| rule.priority);
    check_together(&rules)?;
    Ok(rules)
}

/// Refuses rules, sorted by priority, that do not go with each other.
fn check_together(rules: &[Rule]) -> Result<(), ApiError> {
    if rules.windows(2).any(|pair| pair[0].priority == pair[1].priority) {
        return Err(invalid("Rule priorities must be unique"));
    }
    for (index, rule) in rules.iter().enumerate() {
        let later = rules[index + 1..].iter().find(|later| later.storage_class == rule.storage_class);
        match (&rule.tags, later) {
            (TagStatus::Any, Some(Rule { tags: TagStatus::Any, .. })) => {
                return Err(invalid("Only one rule can select Any images per storage class"));
            }
            (TagStatus::Any, Some(_)) => {
                let text = "Rule for tagStatus=ANY must have the lowest priority per storage class";
                return Err(invalid(text));
            }
            _ => {}
        }
    }
    Ok(())
}

fn invalid(text: &str) -> ApiError {
    errors::invalid("LifecyclePolicyText", &format!("Lifecycle policy validation failure: {text}"))
}

fn missing(property: &str) -> ApiError {
    invalid(&format!(r#"object has missing required properties (["{property}"])"#))
}

/// The property of an object, which has to have it.
fn needed<'a>(object: &'a Value, property: &str) -> Result<&'a Value, ApiError> {
    object.get(property).ok_or_else(|| missing(property))
}

/// A property that is one of `words`.
fn word<'a>(object: &'a Value, property: &str, words: &[&str]) -> Result<&'a str, ApiError> {
    let value = needed(object, property)?;
    value.as_str().filter(|word| words.contains(word)).ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let words = words.join(",");
        invalid(&format!("instance value ({value}) not found in enum (possible values: [{words}])"))
    })
}

/// A property that is a whole number from 1 on.
fn number(object: &Value, property: &str) -> Result<u64, ApiError> {
    let value = needed(object, property)?;
    value.as_u64().filter(|number| *number > 0).ok_or_else(|| {
        let text = "numeric instance is lower than the required minimum";
        invalid(&format!("{text} (minimum: 1, found: {value})"))
    })
}

impl Rule {
    fn read(rule: &Value) -> Result<Self, ApiError> {
        let priority = number(rule, "rulePriority")?;
        let selection = needed(rule, "selection")?;
        let expires = expires(needed(rule, "action")?)?;
        let limit = Limit::read(selection)?;
        let class = selection.get("storageClass").and_then(Value::as_str).unwrap_or("standard");
        Ok(Self {
            priority,
            tags: TagStatus::read(selection)?,
            storage_class: class.to_owned(),
            limit: if expires { limit } else { Limit::Unknown },
        })
    }

    fn looks_at(&self, tags: &[String]) -> bool {
        match &self.tags {
            TagStatus::Any => true,
            TagStatus::Untagged => tags.is_empty(),
            TagStatus::Tagged(patterns) => {
                let fits = |pattern: &String| tags.iter().any(|tag| matches(pattern, tag));
                !tags.is_empty() && patterns.iter().all(fits)
            }
        }
    }
}

/// Whether an action removes images. The other one is a transition to another class of storage.
fn expires(action: &Value) -> Result<bool, ApiError> {
    if word(action, "type", &["expire", "transition"])? == "expire" {
        return Ok(true);
    }
    word(action, "targetStorageClass", &["archive"])?;
    Ok(false)
}

impl TagStatus {
    fn read(selection: &Value) -> Result<Self, ApiError> {
        let status = word(selection, "tagStatus", &["any", "tagged", "untagged"])?;
        let prefixes = texts(selection, "tagPrefixList")?;
        let patterns = texts(selection, "tagPatternList")?;
        match (status, prefixes, patterns) {
            ("any", None, None) => Ok(Self::Any),
            ("untagged", None, None) => Ok(Self::Untagged),
            ("tagged", Some(prefixes), None) => {
                Ok(Self::Tagged(prefixes.iter().map(|prefix| format!("{prefix}*")).collect()))
            }
            ("tagged", None, Some(patterns)) => Ok(Self::Tagged(patterns)),
            ("tagged", None, None) => {
                Err(invalid("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED"))
            }
            ("tagged", Some(_), Some(_)) => {
                Err(invalid("Must specify only one of tagPrefixList or tagPatternList"))
            }
            _ => Err(invalid("tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED")),
        }
    }
}

/// A property that, if it is there, is a list of texts with something in it.
fn texts(object: &Value, property: &str) -> Result<Option<Vec<String>>, ApiError> {
    let Some(value) = object.get(property) else { return Ok(None) };
    match serde_json::from_value::<Vec<String>>(value.clone()) {
        Ok(texts) if !texts.is_empty() => Ok(Some(texts)),
        _ => Err(invalid(&format!("{property} must be a list of at least 1 string"))),
    }
}

impl Limit {
    fn read(selection: &Value) -> Result<Self, ApiError> {
        let kind = word(selection, "countType", &COUNT_TYPES)?;
        let count = number(selection, "countNumber")?;
        let unit = selection.get("countUnit").map(Value::as_str);
        match (kind, unit) {
            ("imageCountMoreThan", None) => Ok(Self::Images(count)),
            ("sinceImagePushed", Some(Some("days"))) => Ok(Self::Days(count)),
            ("sinceImagePulled" | "sinceImageTransitioned", Some(Some("days"))) => Ok(Self::Unknown),
            _ => Err(invalid("instance failed to match exactly one schema (matched 0 out of 2)")),
        }
    }

    /// The images that go, of some that are sorted from the newest to the oldest.
    fn beyond<'a>(&self, images: &[(&'a Digest, &Image)], now: Timestamp) -> Vec<&'a Digest> {
        let hours = |days: u64| i64::try_from(days.saturating_mul(24)).unwrap_or(i64::MAX);
        let keeps = |(index, image): (usize, &Image)| match self {
            Self::Images(count) => u64::try_from(index).is_ok_and(|index| index < *count),
            Self::Days(days) => now.duration_since(image.pushed_at).as_hours() < hours(*days),
            Self::Unknown => true,
        };
        let beyond = images.iter().enumerate().filter(|(index, (_, image))| !keeps((*index, image)));
        beyond.map(|(_, (digest, _))| *digest).collect()
    }
}

/// The images of `repository` that expire, each with the priority of the rule that means it.
///
/// What a rule looks at is nothing to the rules behind it, although they count it.
pub(super) fn expiring<'a>(
    rules: &[Rule],
    repository: &'a Repository,
    now: Timestamp,
) -> Vec<(&'a Digest, u64)> {
    // What an index lists stays as long as the index does.
    let mut images: Vec<_> =
        repository.images.iter().filter(|(digest, _)| repository.parents_of(digest).is_empty()).collect();
    images.sort_by_key(|(_, image)| std::cmp::Reverse(image.pushed_at));
    let mut claimed = BTreeSet::new();
    let mut expiring = Vec::new();
    for rule in rules {
        let looks_at = |digest: &Digest| rule.looks_at(&repository.tags_of(digest));
        let seen: Vec<_> = images.iter().copied().filter(|(digest, _)| looks_at(digest)).collect();
        let beyond = rule.limit.beyond(&seen, now).into_iter().filter(|digest| !claimed.contains(digest));
        expiring.extend(beyond.map(|digest| (digest, rule.priority)));
        claimed.extend(seen.into_iter().map(|(digest, _)| digest));
    }
    expiring
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(priority: u64, selection: Value) -> Value {
        json!({ "rulePriority": priority, "selection": selection, "action": { "type": "expire" } })
    }

    /// What a policy with these rules is told.
    fn told(rules: Value) -> String {
        let text = json!({ "rules": rules }).to_string();
        let error = match read(&text) {
            Ok(_) => return "fine".to_owned(),
            Err(error) => error.message,
        };
        let (_, told) = error.split_once("validation failure: ").expect("a failure");
        told.trim_end_matches('\'').to_owned()
    }

    fn newest(count: u64, tags: Value) -> Value {
        let mut selection = json!({ "countType": "imageCountMoreThan", "countNumber": count });
        for (key, value) in tags.as_object().into_iter().flatten() {
            selection[key] = value.clone();
        }
        selection
    }

    #[test]
    fn a_rule_says_what_it_selects() {
        let any = newest(5, json!({ "tagStatus": "any" }));
        let mut other = rule(1, any.clone());
        other["action"]["type"] = json!("keep");
        insta::assert_snapshot!(told(json!([other])), @r#"instance value ("keep") not found in enum (possible values: ["expire","transition"])"#);
        let one = |selection: Value| told(json!([rule(1, selection)]));
        assert_eq!(one(any.clone()), "fine");
        assert_eq!(one(newest(5, json!({ "tagStatus": "tagged", "tagPrefixList": ["v"] }))), "fine");
        insta::assert_snapshot!(told(json!([])), @"array is too short: must have at least 1 elements but instance has 0 elements");
        insta::assert_snapshot!(told(json!([{ "selection": any }])), @r#"object has missing required properties (["rulePriority"])"#);
        insta::assert_snapshot!(told(json!([rule(0, any.clone())])), @"numeric instance is lower than the required minimum (minimum: 1, found: 0)");
        insta::assert_snapshot!(one(newest(0, json!({ "tagStatus": "any" }))), @"numeric instance is lower than the required minimum (minimum: 1, found: 0)");
        insta::assert_snapshot!(one(newest(5, json!({ "tagStatus": "old" }))), @r#"instance value ("old") not found in enum (possible values: ["any","tagged","untagged"])"#);
        insta::assert_snapshot!(one(newest(5, json!({ "tagStatus": "tagged" }))), @"Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED");
        insta::assert_snapshot!(one(newest(5, json!({ "tagStatus": "any", "tagPrefixList": ["v"] }))), @"tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED");
        let both = json!({ "tagStatus": "tagged", "tagPrefixList": ["v"], "tagPatternList": ["v*"] });
        insta::assert_snapshot!(one(newest(5, both)), @"Must specify only one of tagPrefixList or tagPatternList");
    }

    #[test]
    fn days_have_a_unit_and_images_none() {
        let one = |kind: &str, unit: Option<&str>| {
            let mut selection = json!({ "tagStatus": "any", "countType": kind, "countNumber": 3 });
            if let Some(unit) = unit {
                selection["countUnit"] = json!(unit);
            }
            told(json!([rule(1, selection)]))
        };
        assert_eq!(one("sinceImagePushed", Some("days")), "fine");
        let no_schema = "instance failed to match exactly one schema (matched 0 out of 2)";
        assert_eq!(one("sinceImagePushed", None), no_schema);
        assert_eq!(one("sinceImagePushed", Some("hours")), no_schema);
        assert_eq!(one("imageCountMoreThan", Some("days")), no_schema);
    }

    #[test]
    fn rules_go_with_each_other() {
        let any = newest(5, json!({ "tagStatus": "any" }));
        let untagged = newest(5, json!({ "tagStatus": "untagged" }));
        let two =
            |first: &Value, second: &Value| told(json!([rule(1, first.clone()), rule(2, second.clone())]));
        assert_eq!(two(&untagged, &any), "fine");
        insta::assert_snapshot!(two(&any, &untagged), @"Rule for tagStatus=ANY must have the lowest priority per storage class");
        insta::assert_snapshot!(two(&any, &any), @"Only one rule can select Any images per storage class");
        insta::assert_snapshot!(told(json!([rule(1, untagged), rule(1, any)])), @"Rule priorities must be unique");
    }
}
