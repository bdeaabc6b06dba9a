//! Values that cross the contract, and the ones that are not known yet.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// The key that marks an unknown value on the wire: `{"$unknown": "stages.registry.repository_url"}`.
const MARKER: &str = "$unknown";

/// A value that is known only after an upstream stage was applied.
///
/// `origin` is the reference it comes from, as the user wrote it (`stages.NAME.OUTPUT`), or for an
/// attribute that a resource of the same stage will get, `KIND.NAME.ATTRIBUTE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unknown {
    /// Where the value will come from.
    pub origin: String,
}

impl Unknown {
    /// An unknown that will come from `origin`.
    pub fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into() }
    }

    /// The marker object that stands for this unknown inside a [`Value`].
    pub fn to_value(&self) -> Value {
        json!({ MARKER: self.origin })
    }
}

/// The origin of `value` if `value` itself is unknown.
pub fn unknown_origin(value: &Value) -> Option<&str> {
    let object = value.as_object()?;
    (object.len() == 1).then(|| object.get(MARKER)?.as_str()).flatten()
}

/// Whether `value` itself is unknown.
pub fn is_unknown(value: &Value) -> bool {
    unknown_origin(value).is_some()
}

/// Whether `value` or anything inside it is unknown.
pub fn contains_unknown(value: &Value) -> bool {
    match value {
        _ if is_unknown(value) => true,
        Value::Array(items) => items.iter().any(contains_unknown),
        Value::Object(fields) => fields.values().any(contains_unknown),
        _ => false,
    }
}

/// An input that may be unknown while planning and is known when applying.
///
/// Its JSON schema is the one of `T`: whether a value is known is not the user's concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maybe<T> {
    /// The value.
    Known(T),
    /// It will be known once its origin was applied.
    Unknown(Unknown),
}

impl<T> Maybe<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Maybe::Known(value) => Some(value),
            Maybe::Unknown(_) => None,
        }
    }

    /// The same knowledge about something computed from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Maybe<U> {
        match self {
            Maybe::Known(value) => Maybe::Known(f(value)),
            Maybe::Unknown(unknown) => Maybe::Unknown(unknown),
        }
    }
}

impl<T> From<T> for Maybe<T> {
    fn from(value: T) -> Self {
        Maybe::Known(value)
    }
}

impl<T: Default> Default for Maybe<T> {
    fn default() -> Self {
        Maybe::Known(T::default())
    }
}

impl<T: Serialize> Maybe<T> {
    /// The value as JSON, or the marker of the unknown.
    ///
    /// A value that cannot be represented as JSON becomes `null`; input types never hold one.
    pub fn to_value(&self) -> Value {
        match self {
            Maybe::Known(value) => serde_json::to_value(value).unwrap_or(Value::Null),
            Maybe::Unknown(unknown) => unknown.to_value(),
        }
    }
}

impl<T: Serialize> Serialize for Maybe<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Maybe::Known(value) => value.serialize(serializer),
            Maybe::Unknown(unknown) => unknown.to_value().serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match first_unknown(&value) {
            Some(origin) => Ok(Maybe::Unknown(Unknown::new(origin))),
            None => serde_json::from_value(value).map(Maybe::Known).map_err(D::Error::custom),
        }
    }
}

/// A list or map with one unknown inside is unknown as a whole to a typed reader.
fn first_unknown(value: &Value) -> Option<&str> {
    unknown_origin(value).or_else(|| match value {
        Value::Array(items) => items.iter().find_map(first_unknown),
        Value::Object(fields) => fields.values().find_map(first_unknown),
        _ => None,
    })
}

impl<T: JsonSchema> JsonSchema for Maybe<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_survives_the_wire() {
        let value = Unknown::new("stages.registry.repository_url").to_value();
        let read: Maybe<String> = serde_json::from_value(value.clone()).expect("reads");
        assert_eq!(read, Maybe::Unknown(Unknown::new("stages.registry.repository_url")));
        assert_eq!(read.to_value(), value);
    }

    #[test]
    fn an_unknown_inside_a_list_makes_the_list_unknown() {
        let value = json!(["sg-1", { "$unknown": "stages.network.group" }]);
        assert!(!is_unknown(&value));
        assert!(contains_unknown(&value));
        let read: Maybe<Vec<String>> = serde_json::from_value(value).expect("reads");
        assert_eq!(read.known(), None);
    }

    #[test]
    fn a_known_value_of_the_wrong_type_is_refused() {
        assert!(serde_json::from_value::<Maybe<u16>>(json!("eighty")).is_err());
    }
}
