//! Errors as AWS's clients see them.

use http::StatusCode;
use serde_json::{Map, Value, json};

/// An error answer: a code that clients match on, and a message for people.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    /// HTTP status; below 500 the sender is at fault.
    pub(crate) status: StatusCode,
    /// The code, such as `ClusterNotFoundException`.
    pub(crate) code: String,
    /// The message.
    pub(crate) message: String,
    /// Fields that the error's shape has beside the message.
    // Boxed: few errors have any, and every handler's result is as large as its error.
    pub(crate) fields: Box<Map<String, Value>>,
}

impl ApiError {
    /// The caller did something wrong: status 400.
    pub(crate) fn sender(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: code.into(),
            message: message.into(),
            fields: Box::default(),
        }
    }

    /// The cloud did something wrong: status 500.
    pub(crate) fn receiver(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::sender(code, message) }
    }

    /// The same error with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same error with one more field in its shape.
    pub(crate) fn with_field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    pub(super) fn json(&self) -> Value {
        let mut body = (*self.fields).clone();
        body.insert("__type".into(), json!(self.code));
        body.insert("message".into(), json!(self.message));
        Value::Object(body)
    }

    pub(super) fn xml_fields(&self) -> Value {
        let fault = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        let mut fields = Map::new();
        fields.insert("Type".into(), json!(fault));
        fields.insert("Code".into(), json!(self.code));
        fields.insert("Message".into(), json!(self.message));
        fields.extend((*self.fields).clone());
        Value::Object(fields)
    }
}
