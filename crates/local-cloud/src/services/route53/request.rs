//! restXml: finds the operation by method and path, and puts its parameters together.
//!
//! Paths and query names are those of the API model (github.com/aws/api-models-aws).

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::services::missing;
use crate::wire::{ApiError, Service, parse_xml};

/// Finds the operation of a request and its parameters.
pub(crate) fn route(parts: &Parts, body: &[u8]) -> Result<(String, Value), ApiError> {
    let path: Vec<String> = parts
        .uri
        .path()
        .split('/')
        .skip(2)
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let (operation, in_path) = operation(&parts.method, &path)
        .ok_or_else(|| missing(Service::Route53, &format!("{} {}", parts.method, parts.uri.path())))?;
    let mut parameters = body_fields(body)?;
    for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()) {
        parameters.insert(query_name(&name).to_owned(), Value::String(value.into_owned()));
    }
    for (name, value) in in_path {
        parameters.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    Ok((operation.to_owned(), Value::Object(parameters)))
}

type InPath<'a> = Vec<(&'static str, &'a str)>;

fn operation<'a>(method: &Method, path: &[&'a str]) -> Option<(&'static str, InPath<'a>)> {
    Some(match (method.as_str(), path) {
        ("POST", ["hostedzone"]) => ("CreateHostedZone", vec![]),
        ("GET", ["hostedzone"]) => ("ListHostedZones", vec![]),
        ("GET", ["hostedzonesbyname"]) => ("ListHostedZonesByName", vec![]),
        ("GET", ["hostedzonecount"]) => ("GetHostedZoneCount", vec![]),
        ("GET", ["hostedzone", id]) => ("GetHostedZone", vec![("Id", id)]),
        ("POST", ["hostedzone", id]) => ("UpdateHostedZoneComment", vec![("Id", id)]),
        ("DELETE", ["hostedzone", id]) => ("DeleteHostedZone", vec![("Id", id)]),
        ("POST", ["hostedzone", id, "rrset"]) => ("ChangeResourceRecordSets", vec![("HostedZoneId", id)]),
        ("GET", ["hostedzone", id, "rrset"]) => ("ListResourceRecordSets", vec![("HostedZoneId", id)]),
        ("POST", ["hostedzone", id, "associatevpc"]) => {
            ("AssociateVPCWithHostedZone", vec![("HostedZoneId", id)])
        }
        ("POST", ["hostedzone", id, "disassociatevpc"]) => {
            ("DisassociateVPCFromHostedZone", vec![("HostedZoneId", id)])
        }
        ("GET", ["hostedzonesbyvpc"]) => ("ListHostedZonesByVPC", vec![]),
        ("GET", ["hostedzone", id, "dnssec"]) => ("GetDNSSEC", vec![("Id", id)]),
        ("GET", ["change", id]) => ("GetChange", vec![("Id", id)]),
        ("POST", ["tags", kind]) => ("ListTagsForResources", vec![("ResourceType", kind)]),
        ("GET", ["tags", kind, id]) => {
            ("ListTagsForResource", vec![("ResourceType", kind), ("ResourceId", id)])
        }
        ("POST", ["tags", kind, id]) => {
            ("ChangeTagsForResource", vec![("ResourceType", kind), ("ResourceId", id)])
        }
        ("POST", ["healthcheck"]) => ("CreateHealthCheck", vec![]),
        ("GET", ["healthcheck"]) => ("ListHealthChecks", vec![]),
        ("GET", ["healthcheckcount"]) => ("GetHealthCheckCount", vec![]),
        ("GET", ["healthcheck", id]) => ("GetHealthCheck", vec![("HealthCheckId", id)]),
        ("GET", ["healthcheck", id, "status"]) => ("GetHealthCheckStatus", vec![("HealthCheckId", id)]),
        ("POST", ["healthcheck", id]) => ("UpdateHealthCheck", vec![("HealthCheckId", id)]),
        ("DELETE", ["healthcheck", id]) => ("DeleteHealthCheck", vec![("HealthCheckId", id)]),
        _ => return None,
    })
}

fn query_name(name: &str) -> &str {
    match name {
        "dnsname" => "DNSName",
        "hostedzoneid" => "HostedZoneId",
        "hostedzonetype" => "HostedZoneType",
        "delegationsetid" => "DelegationSetId",
        "vpcid" => "VPCId",
        "vpcregion" => "VPCRegion",
        "marker" => "Marker",
        "maxitems" => "MaxItems",
        "name" => "StartRecordName",
        "type" => "StartRecordType",
        "identifier" => "StartRecordIdentifier",
        other => other,
    }
}

fn body_fields(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let mut tree = parse_xml(body)
        .map_err(|error| ApiError::sender("MalformedXML", format!("the body is not XML: {error}")))?;
    unwrap_lists(&mut tree);
    match tree {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

/// The lists of Route 53's inputs and the element that each item is in. Only the name tells a list
/// of one item from a structure.
const LISTS: [(&str, &str); 8] = [
    ("Changes", "Change"),
    ("ResourceRecords", "ResourceRecord"),
    ("AddTags", "Tag"),
    ("RemoveTagKeys", "Key"),
    ("ResourceIds", "ResourceId"),
    ("Regions", "Region"),
    ("ChildHealthChecks", "ChildHealthCheck"),
    ("ResetElements", "ResettableElementName"),
];

/// `{Changes: {Change: x}}` becomes `{Changes: [x]}`.
fn unwrap_lists(tree: &mut Value) {
    match tree {
        Value::Array(items) => items.iter_mut().for_each(unwrap_lists),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                let item = LISTS.iter().find(|(list, _)| list == name).map(|(_, item)| *item);
                if let Some(items) = item.and_then(|item| value.get_mut(item)).map(Value::take) {
                    *value = if items.is_array() { items } else { Value::Array(vec![items]) };
                }
                unwrap_lists(value);
            }
        }
        _ => {}
    }
}
