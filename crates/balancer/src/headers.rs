//! Headers on their way through.

use super::front::Front;
use super::table::{ForwardedFor, HeaderPolicy};
use bytes::Bytes;
use http::header::{
    CONNECTION, EXPECT, Entry, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SERVER, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Whether the client asks to leave HTTP.
pub(super) fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE) && names(headers).any(|name| name.eq_ignore_ascii_case("upgrade"))
}

/// Turns a client's headers into those for a target
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html>).
pub(super) fn for_target(headers: &mut HeaderMap, front: &Front, upgrade: bool) {
    let upgraded_to = if upgrade { headers.get(UPGRADE).cloned() } else { None };
    strip_hop_by_hop(headers);
    // The client has been told to continue by the balancer, which holds the request back no longer.
    headers.remove(EXPECT);
    headers.remove(PROXY_AUTHORIZATION);
    if let Some(protocol) = upgraded_to {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    let policy = &front.listener.routes.load().headers;
    if policy.drop_invalid {
        drop_invalid(headers);
    }
    match policy.forwarded_for {
        ForwardedFor::Append => append_forwarded_for(headers, front.forwarded_for(policy.client_port)),
        ForwardedFor::Preserve => {}
        ForwardedFor::Remove => drop(headers.remove(X_FORWARDED_FOR)),
    }
    headers.insert(X_FORWARDED_PROTO, front.listener.forwarded_proto());
    headers.insert(X_FORWARDED_PORT, front.listener.forwarded_port.clone());
    add_trace_id(headers, front);
    if !headers.contains_key(HOST) {
        headers.insert(HOST, front.local_authority.clone());
    }
}

/// Turns a target's headers into those for a client.
pub(super) fn for_client(headers: &mut HeaderMap, upgrade: bool) {
    if upgrade {
        return;
    }
    strip_hop_by_hop(headers);
    headers.remove(PROXY_AUTHENTICATE);
}

/// Puts on a response, of a target or of the balancer itself, what the listener has for all of them.
pub(super) fn on_response(headers: &mut HeaderMap, policy: &HeaderPolicy) {
    if policy.hide_server {
        headers.remove(SERVER);
    }
    for (name, value) in &policy.response {
        headers.insert(name, value.clone());
    }
}

fn drop_invalid(headers: &mut HeaderMap) {
    let is_valid =
        |name: &HeaderName| name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let invalid: Vec<HeaderName> = headers.keys().filter(|name| !is_valid(name)).cloned().collect();
    for name in invalid {
        headers.remove(name);
    }
}

/// Removes what concerns only one connection (RFC 9110 section 7.6.1).
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        // Names with a meaning for the message as a whole may not be struck off through this list.
        let listed: Vec<HeaderName> = names(headers)
            .filter_map(|name| name.parse().ok())
            .filter(|name| {
                ![HOST, http::header::CONTENT_LENGTH, X_FORWARDED_FOR, X_FORWARDED_PROTO].contains(name)
            })
            .collect();
        for name in listed {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn append_forwarded_for(headers: &mut HeaderMap, client: &HeaderValue) {
    match headers.entry(X_FORWARDED_FOR) {
        Entry::Vacant(entry) => {
            entry.insert(client.clone());
        }
        Entry::Occupied(mut entry) => {
            let mut list: Vec<&[u8]> = entry.iter().map(HeaderValue::as_bytes).collect();
            list.push(client.as_bytes());
            // Joined values are valid because their parts and the separator are.
            if let Ok(joined) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
                entry.insert(joined);
            }
        }
    }
}

fn add_trace_id(headers: &mut HeaderMap, front: &Front) {
    let id = front.trace_ids.header(headers.get(X_AMZN_TRACE_ID).map(HeaderValue::as_bytes));
    if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(id)) {
        headers.insert(X_AMZN_TRACE_ID, id);
    }
}
