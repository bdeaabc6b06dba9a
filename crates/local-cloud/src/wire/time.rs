//! Points in time, as each protocol writes them.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A time in the JSON protocols: seconds since 1970 with milliseconds as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EpochSeconds(pub(crate) Timestamp);

impl Serialize for EpochSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a double's 53 bits")]
        serializer.serialize_f64(self.0.as_millisecond() as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for EpochSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        #[expect(clippy::cast_possible_truncation, reason = "out of range saturates and is refused below")]
        let milliseconds = (seconds * 1000.0).round() as i64;
        Timestamp::from_millisecond(milliseconds).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A time in the XML protocols: `2026-01-31T12:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Iso8601(pub(crate) Timestamp);

impl Serialize for Iso8601 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
    }
}

/// Whether a field holds a point in time where several protocols write one answer differently.
pub(super) fn is_time(field: &str, value: &Value) -> bool {
    field.ends_with("Timestamp") && value.is_number()
}

/// An answer for awsQuery: points in time that were written for JSON become text.
pub(super) fn as_text(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let text = |name: &String, value: &Value| match EpochSeconds::deserialize(value) {
                Ok(time) if is_time(name, value) => serde_json::to_value(Iso8601(time.0)).unwrap_or_default(),
                _ => as_text(value),
            };
            fields.iter().map(|(name, value)| (name.clone(), text(name, value))).collect()
        }
        Value::Array(items) => items.iter().map(as_text).collect(),
        other => other.clone(),
    }
}
