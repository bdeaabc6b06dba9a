//! The HTTP endpoint: finds service, operation, account and region of a request.
//!
//! Three kinds of requests share one port: AWS calls, the OCI registry below `/v2/`, and the cloud's
//! own interface below `/_cloud/`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use uuid::Uuid;

use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{self, Answer, ApiError, Identity, Input, Protocol, Service};
use crate::world::{DEFAULT_ACCOUNT, Partition, World};

/// The region of requests that are not signed.
const DEFAULT_REGION: &str = "us-east-1";

/// No AWS call that the cloud speaks has a body near this size; layers go to the registry.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// The header that names a Smithy protocol, in requests and answers, and its only value.
const SMITHY_PROTOCOL: &str = "smithy-protocol";
const RPC_V2_CBOR: &str = "rpc-v2-cbor";

/// What the endpoint needs to answer.
pub(crate) struct Front {
    /// What exists.
    pub(crate) world: World,
    /// Facts about the running cloud.
    pub(crate) settings: Settings,
    /// Called after the world was reset, so that the data plane follows at once.
    pub(crate) status: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
}

/// The routes of the endpoint; `registry` answers below `/v2/`.
pub(crate) fn router(front: Arc<Front>, registry: Router) -> Router {
    Router::new()
        .route("/_cloud/status", get(status))
        .route("/_cloud/reset", post(reset))
        // The path that test suites written for moto call.
        .route("/moto-api/reset", post(reset))
        .fallback(aws)
        .layer(DefaultBodyLimit::disable())
        .with_state(front)
        .merge(registry)
}

async fn status(State(front): State<Arc<Front>>) -> Response {
    axum::response::IntoResponse::into_response((
        [(header::CONTENT_TYPE, "application/json")],
        (front.status)().to_string(),
    ))
}

async fn reset(State(front): State<Arc<Front>>) -> Response {
    front.world.reset();
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#).into_response()
}

async fn aws(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    };
    let request_id = Uuid::new_v4().to_string();
    let answer = front.answer(&parts, &body, &request_id);
    into_response(answer, &request_id)
}

/// A request whose service and operation are known.
struct Routed {
    service: Service,
    operation: String,
    input: Input,
}

impl Front {
    fn answer(&self, parts: &Parts, body: &Bytes, request_id: &str) -> Answer {
        let identity = Identity::of(parts);
        let spoken = spoken(parts);
        let (service, operation, result) = match route(parts, body, &identity, spoken) {
            Ok(routed) => {
                let result = self.call(&identity, &routed);
                (routed.service, routed.operation, result)
            }
            Err((service, error)) => (service, "Unknown".to_owned(), Err(error)),
        };
        let protocol = spoken.unwrap_or_else(|| service.protocol());
        wire::encode_as(service, protocol, &operation, request_id, result)
    }

    fn call(&self, identity: &Identity, routed: &Routed) -> Result<wire::Output, ApiError> {
        let place = Partition {
            account: identity.account().unwrap_or(DEFAULT_ACCOUNT).to_owned(),
            region: identity.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned()),
        };
        self.world.write_if(|state| {
            let mut call = Call {
                place,
                access_key: identity.access_key.clone(),
                now: Clock::now(&self.settings.clock),
                settings: &self.settings,
                state,
            };
            let result = services::call(&mut call, routed.service, &routed.operation, &routed.input);
            // A failed call may have changed nothing; one that only reads never does.
            let changed = result.is_ok() && !services::only_reads(&routed.operation);
            (result, changed)
        })
    }
}

/// The protocol of a request that names it: of these, a service may speak several.
fn spoken(parts: &Parts) -> Option<Protocol> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if header(SMITHY_PROTOCOL) == Some(RPC_V2_CBOR) {
        return Some(Protocol::Cbor);
    }
    let content = header("content-type").unwrap_or_default();
    let json =
        [("application/x-amz-json-1.0", Protocol::Json10), ("application/x-amz-json-1.1", Protocol::Json)];
    json.into_iter().find(|(name, _)| content.starts_with(name)).map(|(_, protocol)| protocol)
}

/// Finds service and operation, in the order in which the protocols are told apart: a header (CBOR), a
/// target header (JSON), a form with an action (query), else method and path (REST).
fn route(
    parts: &Parts,
    body: &Bytes,
    identity: &Identity,
    spoken: Option<Protocol>,
) -> Result<Routed, (Service, ApiError)> {
    if spoken == Some(Protocol::Cbor) {
        return route_cbor(parts.uri.path(), body);
    }
    let signed = identity.service.as_deref().and_then(Service::by_signing_name);
    if let Some(target) = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        return route_json(target, body);
    }
    if signed.is_none_or(|service| service.protocol() != Protocol::RestXml) {
        let fields = form_fields(parts, body);
        if let Some(routed) = route_query(&fields, signed) {
            return Ok(routed);
        }
    }
    let service = signed.unwrap_or(Service::Route53);
    if service.protocol() == Protocol::RestXml && parts.uri.path().starts_with("/2013-04-01/") {
        let (operation, parameters) =
            services::route53::route(parts, body).map_err(|error| (service, error))?;
        let input = Input::from_value(service, parameters);
        return Ok(Routed { service, operation, input });
    }
    Err((service, unknown_request(parts, identity)))
}

/// `/service/NAME/operation/OPERATION`
fn route_cbor(path: &str, body: &Bytes) -> Result<Routed, (Service, ApiError)> {
    let names = path.strip_prefix("/service/").and_then(|rest| rest.split_once("/operation/"));
    let service = names.and_then(|(service, _)| Service::by_target(service));
    let (Some(service), Some((_, operation))) = (service, names) else {
        let message = format!("the embedded cloud does not implement the service of {path}");
        return Err((Service::CloudWatch, ApiError::sender("UnknownOperationException", message)));
    };
    let input = Input::from_cbor(service, body).map_err(|error| (service, error))?;
    Ok(Routed { service, operation: operation.to_owned(), input })
}

fn route_json(target: &str, body: &Bytes) -> Result<Routed, (Service, ApiError)> {
    let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", target));
    let Some(service) = Service::by_target(prefix) else {
        let message = format!("the embedded cloud does not implement the service of {target}");
        return Err((Service::Ecs, ApiError::sender("UnknownOperationException", message)));
    };
    let input = Input::from_json(service, body).map_err(|error| (service, error))?;
    Ok(Routed { service, operation: operation.to_owned(), input })
}

fn route_query(fields: &[(String, String)], signed: Option<Service>) -> Option<Routed> {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let operation = field("Action")?.to_owned();
    let service = signed.or_else(|| Service::by_version(field("Version")?))?;
    let input = Input::from_query(service, fields);
    Some(Routed { service, operation, input })
}

/// Form fields of the body (POST) or the query (GET).
fn form_fields(parts: &Parts, body: &Bytes) -> Vec<(String, String)> {
    let source = if body.is_empty() { parts.uri.query().unwrap_or("").as_bytes() } else { body };
    url::form_urlencoded::parse(source).into_owned().collect()
}

fn unknown_request(parts: &Parts, identity: &Identity) -> ApiError {
    let service = identity.service.as_deref().unwrap_or("an unsigned request");
    let message =
        format!("the embedded cloud does not implement {} {} ({service})", parts.method, parts.uri.path());
    ApiError::sender("UnknownOperationException", message)
}

fn into_response(answer: Answer, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, answer.content_type);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    }
    if answer.protocol == Protocol::Cbor {
        let value = HeaderValue::from_static(RPC_V2_CBOR);
        headers.insert(HeaderName::from_static(SMITHY_PROTOCOL), value);
    }
    // Clients of services that were spoken in awsQuery once look for the code of that protocol here:
    // smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait
    let renewed = matches!(answer.protocol, Protocol::Cbor | Protocol::Json10);
    if let Some(code) = answer.error_code.as_deref().filter(|_| renewed) {
        let fault = if answer.status.is_server_error() { "Receiver" } else { "Sender" };
        if let Ok(value) = HeaderValue::from_str(&format!("{code};{fault}")) {
            headers.insert(HeaderName::from_static("x-amzn-query-error"), value);
        }
    }
    if let Some(location) = answer.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    if let Some(code) = answer.error_code.and_then(|code| HeaderValue::from_str(&code).ok()) {
        headers.insert(HeaderName::from_static("x-amzn-errortype"), code);
    }
    response
}
