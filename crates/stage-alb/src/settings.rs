//! Attributes of load balancers and target groups: Elastic Load Balancing keeps them as pairs of texts
//! beside the resource itself.

use std::collections::BTreeMap;

use pipeline_sdk::Value;

/// Pairs of names and values, by name.
pub(crate) type Settings = BTreeMap<String, String>;

/// The number behind `key`, or null.
pub(crate) fn number(settings: &Settings, key: &str) -> Value {
    settings.get(key).and_then(|text| text.parse::<u64>().ok()).map_or(Value::Null, Value::from)
}

/// Whether `key` is on.
pub(crate) fn flag(settings: &Settings, key: &str) -> bool {
    settings.get(key).is_some_and(|text| text == "true")
}
