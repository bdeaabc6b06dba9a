//! Attributes: key and value pairs with defaults and limits.
//!
//! Sources: API_LoadBalancerAttribute, API_TargetGroupAttribute and API_ListenerAttribute of the API
//! reference.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::error::validation;
use crate::wire::ApiError;

/// An attribute on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attribute {
    key: String,
    #[serde(default)]
    value: String,
}

/// Attributes that were set to something.
pub(super) type Attributes = IndexMap<String, String>;

/// What an attribute may be.
pub(super) struct Known {
    pub(super) key: &'static str,
    default: &'static str,
    values: Values,
}

enum Values {
    Flag,
    Text,
    Number(u32, u32),
    /// Zero, or within a range.
    ZeroOr(u32, u32),
    /// `off`, or within a range.
    OffOr(u32, u32),
    OneOf(&'static [&'static str]),
}

use Values::{Flag, Number, OffOr, OneOf, Text, ZeroOr};

const fn known(key: &'static str, default: &'static str, values: Values) -> Known {
    Known { key, default, values }
}

const CROSS_ZONE: &[&str] = &["true", "false", "use_load_balancer_configuration"];

/// Of application load balancers.
pub(super) const APPLICATION: &[Known] = &[
    known("access_logs.s3.enabled", "false", Flag),
    known("access_logs.s3.bucket", "", Text),
    known("access_logs.s3.prefix", "", Text),
    known("idle_timeout.timeout_seconds", "60", Number(1, 4000)),
    known("deletion_protection.enabled", "false", Flag),
    known("routing.http2.enabled", "true", Flag),
    known("routing.http.drop_invalid_header_fields.enabled", "false", Flag),
    known("routing.http.xff_client_port.enabled", "false", Flag),
    known("routing.http.preserve_host_header.enabled", "false", Flag),
    known("routing.http.xff_header_processing.mode", "append", OneOf(&["append", "preserve", "remove"])),
    known("load_balancing.cross_zone.enabled", "true", Flag),
    known("routing.http.desync_mitigation_mode", "defensive", OneOf(&["monitor", "defensive", "strictest"])),
    known("client_keep_alive.seconds", "3600", Number(60, 604_800)),
    known("waf.fail_open.enabled", "false", Flag),
    known("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Flag),
    known("zonal_shift.config.enabled", "false", Flag),
    known("connection_logs.s3.enabled", "false", Flag),
    known("connection_logs.s3.bucket", "", Text),
    known("connection_logs.s3.prefix", "", Text),
    known("ipv6.deny_all_igw_traffic", "false", Flag),
];

/// Of network and gateway load balancers.
pub(super) const NETWORK: &[Known] = &[
    known("access_logs.s3.enabled", "false", Flag),
    known("access_logs.s3.bucket", "", Text),
    known("access_logs.s3.prefix", "", Text),
    known("deletion_protection.enabled", "false", Flag),
    known("load_balancing.cross_zone.enabled", "false", Flag),
    known(
        "dns_record.client_routing_policy",
        "any_availability_zone",
        OneOf(&["availability_zone_affinity", "partial_availability_zone_affinity", "any_availability_zone"]),
    ),
    known("ipv6.deny_all_igw_traffic", "false", Flag),
    known("zonal_shift.config.enabled", "false", Flag),
];

/// Of target groups whose targets speak HTTP.
pub(super) const HTTP_GROUP: &[Known] = &[
    known("stickiness.enabled", "false", Flag),
    known("deregistration_delay.timeout_seconds", "300", Number(0, 3600)),
    known("stickiness.type", "lb_cookie", OneOf(&["lb_cookie", "app_cookie"])),
    known("stickiness.lb_cookie.duration_seconds", "86400", Number(1, 604_800)),
    known("stickiness.app_cookie.cookie_name", "", Text),
    known("stickiness.app_cookie.duration_seconds", "86400", Number(1, 604_800)),
    known("slow_start.duration_seconds", "0", ZeroOr(30, 900)),
    known(
        "load_balancing.algorithm.type",
        "round_robin",
        OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
    ),
    known("load_balancing.algorithm.anomaly_mitigation", "off", OneOf(&["on", "off"])),
    known("load_balancing.cross_zone.enabled", "use_load_balancer_configuration", OneOf(CROSS_ZONE)),
    known("target_group_health.dns_failover.minimum_healthy_targets.count", "1", OffOr(1, 1000)),
    known("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", OffOr(1, 100)),
    known("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Number(1, 1000)),
    known(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        OffOr(1, 100),
    ),
];

/// Of target groups whose targets speak TCP, TLS or UDP.
pub(super) const TCP_GROUP: &[Known] = &[
    known("proxy_protocol_v2.enabled", "false", Flag),
    known("preserve_client_ip.enabled", "true", Flag),
    known("stickiness.enabled", "false", Flag),
    known("deregistration_delay.timeout_seconds", "300", Number(0, 3600)),
    known("deregistration_delay.connection_termination.enabled", "false", Flag),
    known(
        "stickiness.type",
        "source_ip",
        OneOf(&["source_ip", "source_ip_dest_ip", "source_ip_dest_ip_proto"]),
    ),
    known("load_balancing.cross_zone.enabled", "use_load_balancer_configuration", OneOf(CROSS_ZONE)),
    known("target_group_health.dns_failover.minimum_healthy_targets.count", "1", OffOr(1, 1000)),
    known("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", OffOr(1, 100)),
    known("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Number(1, 1000)),
    known(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        OffOr(1, 100),
    ),
    known("target_health_state.unhealthy.connection_termination.enabled", "true", Flag),
    known("target_health_state.unhealthy.draining_interval_seconds", "0", Number(0, 360_000)),
];

/// Of target groups of Lambda functions.
pub(super) const LAMBDA_GROUP: &[Known] =
    &[known("lambda.multi_value_headers.enabled", "false", Flag), known("stickiness.enabled", "false", Flag)];

/// Of HTTP and HTTPS listeners.
pub(super) const HTTP_LISTENER: &[Known] = &[
    known("routing.http.response.server.enabled", "true", Flag),
    known("routing.http.response.strict_transport_security.header_value", "", Text),
    known("routing.http.response.access_control_allow_origin.header_value", "", Text),
    known("routing.http.response.access_control_allow_methods.header_value", "", Text),
    known("routing.http.response.access_control_allow_headers.header_value", "", Text),
    known("routing.http.response.access_control_allow_credentials.header_value", "", Text),
    known("routing.http.response.access_control_expose_headers.header_value", "", Text),
    known("routing.http.response.access_control_max_age.header_value", "", Text),
    known("routing.http.response.content_security_policy.header_value", "", Text),
    known("routing.http.response.x_content_type_options.header_value", "", Text),
    known("routing.http.response.x_frame_options.header_value", "", Text),
    known("routing.http.request.x_amzn_mtls_clientcert.header_name", "X-Amzn-Mtls-Clientcert", Text),
    known(
        "routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name",
        "X-Amzn-Mtls-Clientcert-Serial-Number",
        Text,
    ),
    known(
        "routing.http.request.x_amzn_mtls_clientcert_issuer.header_name",
        "X-Amzn-Mtls-Clientcert-Issuer",
        Text,
    ),
    known(
        "routing.http.request.x_amzn_mtls_clientcert_subject.header_name",
        "X-Amzn-Mtls-Clientcert-Subject",
        Text,
    ),
    known(
        "routing.http.request.x_amzn_mtls_clientcert_validity.header_name",
        "X-Amzn-Mtls-Clientcert-Validity",
        Text,
    ),
    known(
        "routing.http.request.x_amzn_mtls_clientcert_leaf.header_name",
        "X-Amzn-Mtls-Clientcert-Leaf",
        Text,
    ),
    known("routing.http.request.x_amzn_tls_version.header_name", "X-Amzn-Tls-Version", Text),
    known("routing.http.request.x_amzn_tls_cipher_suite.header_name", "X-Amzn-Tls-Cipher-Suite", Text),
];

/// Of listeners of network and gateway load balancers.
pub(super) const TCP_LISTENER: &[Known] = &[known("tcp.idle_timeout.seconds", "350", Number(60, 6000))];

impl Known {
    fn allows(&self, value: &str) -> bool {
        let number = |least, most| value.parse::<u32>().is_ok_and(|number| number >= least && number <= most);
        match self.values {
            Flag => matches!(value, "true" | "false"),
            Text => value.len() <= 1024,
            Number(least, most) => number(least, most),
            ZeroOr(least, most) => value == "0" || number(least, most),
            OffOr(least, most) => value == "off" || number(least, most),
            OneOf(values) => values.contains(&value),
        }
    }
}

/// All attributes with their values.
pub(super) fn all(known: &[Known], set: &Attributes) -> Vec<Attribute> {
    let value = |known: &Known| set.get(known.key).cloned().unwrap_or_else(|| known.default.to_owned());
    known.iter().map(|known| Attribute { key: known.key.to_owned(), value: value(known) }).collect()
}

/// The value of one attribute; empty if there is no such attribute.
pub(super) fn value<'a>(known: &[Known], set: &'a Attributes, key: &str) -> &'a str {
    if let Some(value) = set.get(key) {
        return value;
    }
    known.iter().find(|known| known.key == key).map_or("", |known| known.default)
}

/// Sets attributes, or none if one of them is not valid. `owner` begins the message: `Target group`.
pub(super) fn set(
    known: &[Known],
    owner: &str,
    attributes: &mut Attributes,
    new: &[Attribute],
) -> Result<(), ApiError> {
    if new.is_empty() {
        return Err(validation("At least one attribute must be specified"));
    }
    for (index, attribute) in new.iter().enumerate() {
        let Attribute { key, value } = attribute;
        let Some(known) = known.iter().find(|known| known.key == key) else {
            return Err(validation(format!("{owner} attribute key '{key}' is not recognized")));
        };
        if !known.allows(value) {
            return Err(validation(format!(
                "{owner} attribute value '{value}' is not valid for attribute key '{key}'"
            )));
        }
        if new.iter().take(index).any(|earlier| earlier.key == *key) {
            return Err(validation(format!("{owner} attribute key '{key}' was specified more than once")));
        }
    }
    attributes.extend(new.iter().map(|attribute| (attribute.key.clone(), attribute.value.clone())));
    Ok(())
}
