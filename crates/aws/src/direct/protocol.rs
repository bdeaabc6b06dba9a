//! Requests and answers as the protocols have them:
//! <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>,
//! <https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html>,
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Refusal;

/// How a service is spoken to.
#[derive(Debug)]
pub(crate) enum Protocol {
    /// A form, answered in XML; `version` is the API's.
    Query { version: &'static str },
    /// EC2's own form and XML.
    Ec2Query { version: &'static str },
    /// JSON both ways; `target` stands before the operation's name.
    Json { target: &'static str },
}

/// What an operation is given.
#[derive(Debug)]
pub enum Parameters {
    /// Names and values of a query protocol.
    Form(Vec<(String, String)>),
    /// The input of a JSON protocol.
    Json(Value),
}

impl From<Vec<(String, String)>> for Parameters {
    fn from(pairs: Vec<(String, String)>) -> Self {
        Self::Form(pairs)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Parameters {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self::Form(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

impl From<Value> for Parameters {
    fn from(input: Value) -> Self {
        Self::Json(input)
    }
}

/// A list in an answer in XML: `<vpcSet><item>…</item></vpcSet>`, in IAM `<member>…</member>`.
#[derive(Clone, Debug, Deserialize)]
pub struct Items<T> {
    /// What is in it.
    #[serde(rename = "item", alias = "member", default = "Vec::new")]
    pub items: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

/// The answer of an operation that says only that it was done.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

impl Protocol {
    pub(super) fn request(&self, action: &str, parameters: Parameters) -> Result<HttpRequest, BoxError> {
        let (content_type, body) = match (self, parameters) {
            (Self::Query { version } | Self::Ec2Query { version }, Parameters::Form(pairs)) => {
                ("application/x-www-form-urlencoded", form(action, version, &pairs))
            }
            (Self::Json { .. }, Parameters::Json(input)) => ("application/x-amz-json-1.1", input.to_string()),
            _ => return Err("these are parameters of another protocol".into()),
        };
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri("/")?;
        request.headers_mut().insert("content-type", content_type);
        if let Self::Json { target } = self {
            request.headers_mut().insert("x-amz-target", format!("{target}.{action}"));
        }
        Ok(request)
    }

    pub(super) fn answer<T: DeserializeOwned>(
        &self,
        action: &str,
        response: &HttpResponse,
    ) -> Result<T, OrchestratorError<Refusal>> {
        let body = response.body().bytes().unwrap_or_default();
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(OrchestratorError::operation(self.refusal(body, status)));
        }
        match self {
            Self::Json { .. } => read_json(body).map_err(OrchestratorError::other),
            Self::Query { .. } => {
                let text = String::from_utf8_lossy(body);
                quick_xml::de::from_str(result(&text, action)).map_err(OrchestratorError::other)
            }
            Self::Ec2Query { .. } => {
                quick_xml::de::from_str(&String::from_utf8_lossy(body)).map_err(OrchestratorError::other)
            }
        }
    }

    fn refusal(&self, body: &[u8], status: u16) -> Refusal {
        let text = String::from_utf8_lossy(body);
        let found = match self {
            Self::Json { .. } => json_refusal(body),
            Self::Query { .. } => xml_refusal(&text, |answer: QueryRefusal| answer.error),
            Self::Ec2Query { .. } => xml_refusal(&text, |answer: Ec2Refusal| answer.errors.error),
        };
        let builder = match found {
            Some((code, message)) => ErrorMetadata::builder().code(code).message(message),
            None => ErrorMetadata::builder().message(format!("HTTP status {status}: {text}")),
        };
        Refusal(builder.build())
    }
}

fn form(action: &str, version: &str, pairs: &[(String, String)]) -> String {
    let fixed = [("Action", action), ("Version", version)];
    let own = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fixed).extend_pairs(own).finish()
}

/// An operation without output may answer without a body.
fn read_json<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    if body.is_empty() {
        serde_json::from_value(Value::Object(Map::new()))
    } else {
        serde_json::from_slice(body)
    }
}

/// The element that holds the output: `<GetRoleResult>` in `<GetRoleResponse>`. The whole answer where an
/// operation has no output.
fn result<'a>(text: &'a str, action: &str) -> &'a str {
    let (open, close) = (format!("<{action}Result>"), format!("</{action}Result>"));
    match (text.find(&open), text.rfind(&close)) {
        (Some(start), Some(end)) if start < end => &text[start..end + close.len()],
        _ => text,
    }
}

type CodeAndMessage = (String, String);

/// `{"__type": "prefix#ResourceNotFoundException", "message": "…"}`; AWS writes `Message` too.
fn json_refusal(body: &[u8]) -> Option<CodeAndMessage> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let code = answer["__type"].as_str().or_else(|| answer["code"].as_str())?;
    let code = code.rsplit('#').next().and_then(|code| code.split(':').next()).unwrap_or(code);
    let message = answer["message"].as_str().or_else(|| answer["Message"].as_str()).unwrap_or_default();
    Some((code.to_owned(), message.to_owned()))
}

fn xml_refusal<T: DeserializeOwned>(text: &str, error: impl Fn(T) -> Why) -> Option<CodeAndMessage> {
    let Why { code, message } = error(quick_xml::de::from_str(text).ok()?);
    Some((code, message))
}

/// `<ErrorResponse><Error><Code>…</Code><Message>…</Message></Error></ErrorResponse>`
#[derive(Deserialize)]
struct QueryRefusal {
    #[serde(rename = "Error")]
    error: Why,
}

/// `<Response><Errors><Error><Code>…</Code><Message>…</Message></Error></Errors></Response>`
#[derive(Deserialize)]
struct Ec2Refusal {
    #[serde(rename = "Errors")]
    errors: QueryRefusal,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Why {
    code: String,
    #[serde(default)]
    message: String,
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::error::metadata::ProvideErrorMetadata;
    use serde_json::json;

    use super::*;

    const QUERY: Protocol = Protocol::Query { version: "2010-05-08" };
    const EC2: Protocol = Protocol::Ec2Query { version: "2016-11-15" };
    const JSON: Protocol = Protocol::Json { target: "Logs_20140328" };

    fn said(refusal: &Refusal) -> (Option<&str>, Option<&str>) {
        (refusal.meta().code(), refusal.meta().message())
    }

    #[test]
    fn a_query_is_a_form() {
        let request = EC2.request("DescribeVpcs", [("Filter.1.Value.1", "a b&c")].into());
        let request = request.expect("a request");
        let body = request.body().bytes().expect("in memory");
        assert_eq!(body, b"Action=DescribeVpcs&Version=2016-11-15&Filter.1.Value.1=a+b%26c");
    }

    #[test]
    fn a_json_request_names_its_operation_in_a_header() {
        let request = JSON.request("DescribeLogGroups", json!({ "logGroupNamePrefix": "/ecs" }).into());
        let request = request.expect("a request");
        assert_eq!(request.headers().get("x-amz-target"), Some("Logs_20140328.DescribeLogGroups"));
        assert_eq!(request.body().bytes().expect("in memory"), br#"{"logGroupNamePrefix":"/ecs"}"#);
        assert!(EC2.request("DescribeVpcs", json!({}).into()).is_err());
    }

    #[test]
    fn errors_have_a_code_and_a_message_in_every_protocol() {
        let ec2 = "<?xml version=\"1.0\"?><Response><Errors><Error><Code>InvalidGroup.NotFound</Code>\
                   <Message>The security group 'sg-1' does not exist</Message></Error></Errors>\
                   <RequestID>1</RequestID></Response>";
        let refusal = EC2.refusal(ec2.as_bytes(), 400);
        let message = Some("The security group 'sg-1' does not exist");
        assert_eq!(said(&refusal), (Some("InvalidGroup.NotFound"), message));
        let iam = "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error>\
                   <Type>Sender</Type><Code>NoSuchEntity</Code><Message>no role</Message></Error>\
                   <RequestId>1</RequestId></ErrorResponse>";
        assert_eq!(said(&QUERY.refusal(iam.as_bytes(), 404)), (Some("NoSuchEntity"), Some("no role")));
        for json in [
            r#"{"__type":"com.amazonaws.logs#ResourceNotFoundException:http://x/","message":"gone"}"#,
            r#"{"__type":"ResourceNotFoundException","Message":"gone"}"#,
        ] {
            let refusal = JSON.refusal(json.as_bytes(), 400);
            assert_eq!(said(&refusal), (Some("ResourceNotFoundException"), Some("gone")));
        }
        for protocol in [QUERY, EC2, JSON] {
            assert_eq!(said(&protocol.refusal(b"busy", 503)), (None, Some("HTTP status 503: busy")));
        }
    }

    #[test]
    fn a_list_may_be_empty() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Vpcs {
            vpc_set: Items<Vpc>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Vpc {
            vpc_id: String,
        }
        let read = |text| quick_xml::de::from_str::<Vpcs>(text).expect("reads").vpc_set.items;
        assert!(read("<R><requestId>1</requestId><vpcSet/></R>").is_empty());
        let two = read("<R><vpcSet><item><vpcId>a</vpcId></item><item><vpcId>b</vpcId></item></vpcSet></R>");
        assert_eq!(two.iter().map(|vpc| vpc.vpc_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn the_output_of_a_query_is_inside_its_result() {
        let with = "<AResponse><AResult><B>1</B></AResult><ResponseMetadata/></AResponse>";
        assert_eq!(result(with, "A"), "<AResult><B>1</B></AResult>");
        let without = "<AResponse><ResponseMetadata/></AResponse>";
        assert_eq!(result(without, "A"), without);
    }

    #[test]
    fn an_empty_answer_in_json_is_an_empty_object() {
        assert!(read_json::<Nothing>(b"").is_ok());
        assert!(read_json::<Nothing>(b"{}").is_ok());
    }
}
