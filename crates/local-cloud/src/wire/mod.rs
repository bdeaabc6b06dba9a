//! AWS's wire protocols: from a request to a typed input, from a typed output to an answer.
//!
//! A service sees neither JSON nor XML. It asks an [`Input`] for its own type and returns an
//! [`Output`]; the protocol of the service decides how both look on the wire:
//! awsJson 1.1 and 1.0, RPC v2 CBOR, awsQuery, the EC2 flavour of it, and restXml.
//! Sources: smithy.io/2.0/aws/protocols.

mod cbor;
mod error;
mod identity;
mod lenient;
mod query;
mod service;
mod time;
mod xml;

use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(crate) use error::ApiError;
pub(crate) use identity::Identity;
pub(crate) use service::{Protocol, Service};
pub(crate) use time::{EpochSeconds, Iso8601};
pub(crate) use xml::parse as parse_xml;

/// The parameters of a call, whatever protocol they came by.
#[derive(Debug)]
pub(crate) struct Input {
    service: Service,
    parameters: Value,
}

impl Input {
    /// Reads a JSON body; an empty one is an empty object.
    pub(crate) fn from_json(service: Service, body: &[u8]) -> Result<Self, ApiError> {
        let parameters = if body.is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_slice(body).map_err(|error| {
                ApiError::sender("SerializationException", format!("the body is not JSON: {error}"))
            })?
        };
        Ok(Self { service, parameters })
    }

    /// Reads a CBOR body; an empty one is an empty object.
    pub(crate) fn from_cbor(service: Service, body: &[u8]) -> Result<Self, ApiError> {
        let parameters = if body.is_empty() { Some(Value::Object(Map::new())) } else { cbor::decode(body) };
        let parameters =
            parameters.ok_or_else(|| ApiError::sender("SerializationException", "the body is not CBOR"))?;
        Ok(Self { service, parameters })
    }

    /// Takes the form fields of a query call: `Name.member.1=…` becomes a list.
    pub(crate) fn from_query(service: Service, fields: &[(String, String)]) -> Self {
        Self { service, parameters: query::tree(fields) }
    }

    /// Takes parameters that were put together from a path, a query string and an XML body.
    pub(crate) fn from_value(service: Service, parameters: Value) -> Self {
        Self { service, parameters }
    }

    /// The parameters as the service's own type. Unknown parameters are ignored, as AWS does.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        lenient::from_value(&self.parameters).map_err(|error| {
            ApiError::sender(self.service.validation_code(), format!("invalid parameters: {error}"))
        })
    }
}

/// The answer to a call.
#[derive(Debug)]
pub(crate) struct Output {
    body: Value,
    location: Option<String>,
}

impl Output {
    /// An answer with this content. Lists are plain lists: the protocol wraps them.
    pub(crate) fn of<T: Serialize>(content: &T) -> Result<Self, ApiError> {
        let mut body = serde_json::to_value(content)
            .map_err(|error| ApiError::receiver("InternalFailure", error.to_string()))?;
        drop_nulls(&mut body);
        Ok(Self { body, location: None })
    }

    /// An answer without content.
    pub(crate) fn empty() -> Self {
        Self { body: Value::Object(Map::new()), location: None }
    }

    /// The content, for tests.
    #[cfg(test)]
    pub(crate) fn into_body(self) -> Value {
        self.body
    }

    /// The same answer as one that says where a new resource is: status 201. Some restXml operations
    /// answer so.
    pub(crate) fn created_at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }
}

/// AWS leaves out what is not set; some clients stumble over an explicit null.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A call's answer as it goes over the wire.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// How it is written.
    pub(crate) protocol: Protocol,
    /// Content type.
    pub(crate) content_type: HeaderValue,
    /// The AWS error code, for the header that names it.
    pub(crate) error_code: Option<String>,
    /// Where a new resource is.
    pub(crate) location: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// Writes the result of `operation` in the protocol of `service`.
#[cfg(test)]
pub(crate) fn encode(
    service: Service,
    operation: &str,
    request_id: &str,
    result: Result<Output, ApiError>,
) -> Answer {
    encode_as(service, service.protocol(), operation, request_id, result)
}

/// Writes the result of `operation` in a protocol that `service` speaks.
pub(crate) fn encode_as(
    service: Service,
    protocol: Protocol,
    operation: &str,
    request_id: &str,
    result: Result<Output, ApiError>,
) -> Answer {
    match result {
        Ok(output) => Answer {
            status: if output.location.is_some() { StatusCode::CREATED } else { StatusCode::OK },
            protocol,
            content_type: content_type(protocol),
            error_code: None,
            body: success_body(service, protocol, operation, request_id, &output.body),
            location: output.location,
        },
        Err(error) => Answer {
            status: error.status,
            protocol,
            content_type: content_type(protocol),
            body: error_body(service, protocol, request_id, &error),
            error_code: Some(error.code),
            location: None,
        },
    }
}

fn content_type(protocol: Protocol) -> HeaderValue {
    HeaderValue::from_static(match protocol {
        Protocol::Json => "application/x-amz-json-1.1",
        Protocol::Json10 => "application/x-amz-json-1.0",
        Protocol::Cbor => "application/cbor",
        Protocol::Query | Protocol::Ec2 | Protocol::RestXml => "text/xml",
    })
}

fn success_body(
    service: Service,
    protocol: Protocol,
    operation: &str,
    request_id: &str,
    body: &Value,
) -> Vec<u8> {
    let namespace = service.namespace();
    match protocol {
        // Operations without an output structure answer with no body at all or `{}`; both are read.
        Protocol::Json | Protocol::Json10 => body.to_string().into_bytes(),
        Protocol::Cbor => cbor::encode(body),
        Protocol::Query => xml::document(&format!("{operation}Response"), namespace, |writer| {
            writer.element(&format!("{operation}Result"), &time::as_text(body));
            writer.text_in("ResponseMetadata", "RequestId", request_id);
        }),
        Protocol::Ec2 => xml::document(&format!("{operation}Response"), namespace, |writer| {
            writer.text("requestId", request_id);
            writer.fields(body);
        }),
        Protocol::RestXml => {
            xml::document(&format!("{operation}Response"), namespace, |writer| writer.fields(body))
        }
    }
}

fn error_body(service: Service, protocol: Protocol, request_id: &str, error: &ApiError) -> Vec<u8> {
    match protocol {
        Protocol::Json | Protocol::Json10 => error.json().to_string().into_bytes(),
        Protocol::Cbor => cbor::encode(&error.json()),
        Protocol::Query | Protocol::RestXml => {
            xml::document("ErrorResponse", service.namespace(), |writer| {
                writer.element("Error", &error.xml_fields());
                writer.text("RequestId", request_id);
            })
        }
        Protocol::Ec2 => xml::document("Response", "", |writer| {
            let fields = serde_json::json!({ "Error": { "Code": error.code, "Message": error.message } });
            writer.element("Errors", &fields);
            writer.text("RequestID", request_id);
        }),
    }
}

#[cfg(test)]
mod tests;
