//! How a resource differs from what is wanted.

use pipeline_sdk::{AttributeChange, Value, is_unknown};

use crate::Attributes;

/// The attributes of `desired` that `observed` does not have, dotted.
///
/// At the top only the attributes in `desired` count: the others are AWS's own. Inside of an object
/// both sides count. `null` and a missing attribute are the same. An unknown is a change: nobody can
/// say that it is none.
pub fn diff(observed: &Attributes, desired: &Attributes) -> Vec<AttributeChange> {
    let mut changes = Vec::new();
    for (key, wanted) in desired.iter() {
        compare(key, observed.value(key), wanted, &mut changes);
    }
    changes
}

fn compare(path: &str, before: &Value, after: &Value, changes: &mut Vec<AttributeChange>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) if !is_unknown(after) => {
            for (key, value) in new {
                compare(&format!("{path}.{key}"), old.get(key).unwrap_or(&Value::Null), value, changes);
            }
            for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                compare(&format!("{path}.{key}"), value, &Value::Null, changes);
            }
        }
        _ if same(before, after) => {}
        _ => changes.push(AttributeChange {
            path: path.to_owned(),
            before: before.clone(),
            after: after.clone(),
        }),
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        // 30 and 30.0 are the same to AWS.
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Object(fields), Value::Null) | (Value::Null, Value::Object(fields)) => {
            fields.values().all(|field| same(field, &Value::Null))
        }
        _ => one == other,
    }
}

/// What a new resource will be like: the attributes worth reading.
pub(crate) fn creation(desired: &Attributes) -> Vec<AttributeChange> {
    let mut changes = diff(&Attributes::default(), desired);
    changes = changes.into_iter().flat_map(spread).collect();
    changes.retain(|change| !change.path.starts_with("tags.pipeline:"));
    changes
}

/// One line per leaf of a new object.
fn spread(change: AttributeChange) -> Vec<AttributeChange> {
    match &change.after {
        Value::Object(fields) if !is_unknown(&change.after) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .flat_map(|(key, value)| {
                spread(AttributeChange {
                    path: format!("{}.{key}", change.path),
                    before: Value::Null,
                    after: value.clone(),
                })
            })
            .collect(),
        _ => vec![change],
    }
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{Unknown, json};

    use super::*;

    fn paths(observed: Value, desired: Value) -> Vec<String> {
        let changes = diff(&Attributes::of(observed), &Attributes::of(desired));
        changes.into_iter().map(|change| change.path).collect()
    }

    #[test]
    fn what_aws_fills_in_is_no_drift() {
        assert!(paths(json!({"arn": "a", "scan": true}), json!({"scan": true, "key": null})).is_empty());
        assert!(paths(json!({"n": 30.0, "x": {"a": null}}), json!({"n": 30, "x": null})).is_empty());
    }

    #[test]
    fn changes_have_dotted_paths() {
        let observed = json!({"health": {"path": "/", "port": 80}, "tags": {"old": "x"}});
        let desired = json!({"health": {"path": "/up", "port": 80}, "tags": {}});
        assert_eq!(paths(observed, desired), ["health.path", "tags.old"]);
    }

    #[test]
    fn an_unknown_is_a_change() {
        let unknown = Unknown::new("stages.network.vpc_id").to_value();
        assert_eq!(paths(json!({"vpc": "vpc-1"}), json!({"vpc": unknown})), ["vpc"]);
    }

    #[test]
    fn a_creation_shows_its_leaves_and_not_the_tags_of_every_resource() {
        let desired = json!({"name": "x", "tags": {"pipeline:name": "p", "team": "a"}, "none": null});
        let paths: Vec<_> = creation(&Attributes::of(desired)).into_iter().map(|c| c.path).collect();
        assert_eq!(paths, ["name", "tags.team"]);
    }
}
