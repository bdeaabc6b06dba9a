//! What is known about one resource, as JSON.

use std::ops::{Deref, DerefMut};

use pipeline_sdk::{Map, StageError, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The attributes of a resource by name. `null` and "not there" mean the same: not set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(Map<String, Value>);

impl Attributes {
    /// The fields of a JSON object; of anything else, nothing.
    pub fn of(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            _ => Self::default(),
        }
    }

    /// Reads the attributes into the stage's own type, which may leave some out.
    ///
    /// # Errors
    /// A failure that names the attribute: one is missing, of another type or still unknown.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        serde_json::from_value(Value::Object(self.0.clone())).map_err(|error| {
            StageError::failed(format!("the attributes of a resource cannot be read: {error}"))
        })
    }

    /// The attribute, `null` if it is not there.
    pub fn value(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// The attribute, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).as_str()
    }

    /// The attribute as text where the stage cannot go on without it.
    ///
    /// # Errors
    /// A failure that names the attribute.
    pub fn need(&self, name: &str) -> Result<&str, StageError> {
        self.text(name).ok_or_else(|| StageError::failed(format!("the attribute `{name}` is not known")))
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The attributes as JSON.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

impl Deref for Attributes {
    type Target = Map<String, Value>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Attributes {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
