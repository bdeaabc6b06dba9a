//! Security policies of TLS listeners, and the limits of an account.

use serde::{Deserialize, Serialize};

use super::page::page;
use crate::wire::{ApiError, Output};

/// What a listener gets when it names no policy (API_CreateListener).
pub(super) const DEFAULT_SSL_POLICY: &str = "ELBSecurityPolicy-2016-08";

const TLS13: &[&str] = &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const ECDHE_GCM: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];
const ECDHE_SHA2: &[&str] = &[
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
];
const RSA_SHA2: &[&str] = &["AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"];
const SHA1: &[&str] = &[
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "AES128-SHA",
    "AES256-SHA",
];

type Policy = (&'static str, &'static [&'static str], &'static [&'static [&'static str]]);

/// Name, protocols, ciphers
/// (docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html).
const POLICIES: &[Policy] = &[
    ("ELBSecurityPolicy-2016-08", &["TLSv1", "TLSv1.1", "TLSv1.2"], &[ECDHE_GCM, ECDHE_SHA2, RSA_SHA2, SHA1]),
    ("ELBSecurityPolicy-TLS13-1-2-2021-06", &["TLSv1.2", "TLSv1.3"], &[TLS13, ECDHE_GCM, ECDHE_SHA2]),
    ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", &["TLSv1.2", "TLSv1.3"], &[TLS13, ECDHE_GCM]),
    (
        "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
        &["TLSv1.2", "TLSv1.3"],
        &[TLS13, ECDHE_GCM, ECDHE_SHA2, RSA_SHA2],
    ),
    (
        "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
        &["TLSv1.2", "TLSv1.3"],
        &[TLS13, ECDHE_GCM, ECDHE_SHA2, RSA_SHA2, SHA1],
    ),
    ("ELBSecurityPolicy-TLS13-1-3-2021-06", &["TLSv1.3"], &[TLS13]),
    (
        "ELBSecurityPolicy-TLS13-1-1-2021-06",
        &["TLSv1.1", "TLSv1.2", "TLSv1.3"],
        &[TLS13, ECDHE_GCM, ECDHE_SHA2, RSA_SHA2, SHA1],
    ),
    (
        "ELBSecurityPolicy-TLS13-1-0-2021-06",
        &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"],
        &[TLS13, ECDHE_GCM, ECDHE_SHA2, RSA_SHA2, SHA1],
    ),
    ("ELBSecurityPolicy-TLS-1-2-2017-01", &["TLSv1.2"], &[ECDHE_GCM, ECDHE_SHA2, RSA_SHA2]),
    ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", &["TLSv1.2"], &[ECDHE_GCM, ECDHE_SHA2, RSA_SHA2, SHA1]),
    ("ELBSecurityPolicy-TLS-1-1-2017-01", &["TLSv1.1", "TLSv1.2"], &[ECDHE_GCM, ECDHE_SHA2, RSA_SHA2, SHA1]),
    ("ELBSecurityPolicy-2015-05", &["TLSv1", "TLSv1.1", "TLSv1.2"], &[ECDHE_GCM, ECDHE_SHA2, RSA_SHA2, SHA1]),
    ("ELBSecurityPolicy-FS-2018-06", &["TLSv1", "TLSv1.1", "TLSv1.2"], &[ECDHE_GCM, ECDHE_SHA2]),
    ("ELBSecurityPolicy-FS-1-2-2019-08", &["TLSv1.2"], &[ECDHE_GCM, ECDHE_SHA2]),
    ("ELBSecurityPolicy-FS-1-2-Res-2019-08", &["TLSv1.2"], &[ECDHE_GCM, ECDHE_SHA2]),
    ("ELBSecurityPolicy-FS-1-2-Res-2020-10", &["TLSv1.2"], &[ECDHE_GCM]),
];

fn no_policy(name: &str) -> ApiError {
    ApiError::sender("SSLPolicyNotFound", format!("SSL policy '{name}' not found"))
}

/// Checks that there is such a policy.
pub(super) fn check_ssl_policy(name: &str) -> Result<(), ApiError> {
    if POLICIES.iter().any(|(known, ..)| *known == name) { Ok(()) } else { Err(no_policy(name)) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PoliciesInput {
    #[serde(default)]
    names: Vec<String>,
    marker: Option<String>,
    page_size: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PoliciesOutput {
    ssl_policies: Vec<PolicyItem>,
    next_marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyItem {
    ssl_protocols: &'static [&'static str],
    ciphers: Vec<Cipher>,
    name: &'static str,
    supported_load_balancer_types: [&'static str; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Cipher {
    name: &'static str,
    priority: usize,
}

pub(super) fn describe_ssl_policies(input: &PoliciesInput) -> Result<Output, ApiError> {
    input.names.iter().try_for_each(|name| check_ssl_policy(name))?;
    let found = POLICIES
        .iter()
        .filter(|(name, ..)| input.names.is_empty() || input.names.iter().any(|wanted| wanted == name))
        .map(|(name, ssl_protocols, groups)| PolicyItem {
            ssl_protocols,
            ciphers: groups
                .iter()
                .copied()
                .flatten()
                .enumerate()
                .map(|(index, name)| Cipher { name, priority: index + 1 })
                .collect(),
            name,
            supported_load_balancer_types: ["application", "network"],
        })
        .collect();
    let (ssl_policies, next_marker) = page(found, input.page_size, input.marker.as_deref())?;
    Output::of(&PoliciesOutput { ssl_policies, next_marker })
}

/// Default quotas (docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
/// and its counterpart for network load balancers).
const LIMITS: &[(&str, &str)] = &[
    ("target-groups", "3000"),
    ("targets-per-application-load-balancer", "1000"),
    ("listeners-per-application-load-balancer", "50"),
    ("rules-per-application-load-balancer", "100"),
    ("network-load-balancers", "50"),
    ("targets-per-network-load-balancer", "3000"),
    ("targets-per-availability-zone-per-network-load-balancer", "500"),
    ("listeners-per-network-load-balancer", "50"),
    ("condition-values-per-alb-rule", "5"),
    ("condition-wildcards-per-alb-rule", "6"),
    ("target-groups-per-action-on-application-load-balancer", "5"),
    ("target-groups-per-action-on-network-load-balancer", "1"),
    ("certificates-per-application-load-balancer", "25"),
    ("certificates-per-network-load-balancer", "25"),
    ("targets-per-target-group", "1000"),
    ("target-groups-per-application-load-balancer", "100"),
    ("application-load-balancers", "50"),
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LimitsOutput {
    limits: Vec<Limit>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Limit {
    name: &'static str,
    max: &'static str,
}

pub(super) fn describe_account_limits() -> Result<Output, ApiError> {
    Output::of(&LimitsOutput { limits: LIMITS.iter().map(|(name, max)| Limit { name, max }).collect() })
}
