//! How a target group checks its targets: defaults and limits by protocol.
//!
//! Source: API_CreateTargetGroup of the API reference.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{in_range, one_of, validation};
use crate::wire::ApiError;

/// Health check settings of a target group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthCheck {
    /// HTTP, HTTPS, TCP; nothing for Lambda functions.
    pub(crate) protocol: Option<String>,
    /// `traffic-port` or a number.
    pub(crate) port: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) path: Option<String>,
    interval: i64,
    timeout: i64,
    pub(crate) healthy_threshold: i64,
    pub(crate) unhealthy_threshold: i64,
    pub(crate) matcher: Option<Matcher>,
}

/// Codes that are a success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Matcher {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_code: Option<String>,
}

/// What a request says of the health check.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    pub(super) protocol: Option<&'a str>,
    pub(super) port: Option<&'a str>,
    pub(super) enabled: Option<bool>,
    pub(super) path: Option<&'a str>,
    pub(super) interval: Option<i64>,
    pub(super) timeout: Option<i64>,
    pub(super) healthy: Option<i64>,
    pub(super) unhealthy: Option<i64>,
    pub(super) matcher: Option<&'a Matcher>,
    /// The group's own protocol is HTTP or HTTPS: the timeout must be shorter than the interval.
    pub(super) over_http: bool,
}

const PROTOCOLS: &[&str] = &["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE"];

impl HealthCheck {
    /// The settings that a target group has when nothing is said.
    pub(super) fn default_for(protocol: Option<&str>, target_type: &str, version: Option<&str>) -> Self {
        let http = matches!(protocol, Some("HTTP" | "HTTPS"));
        let lambda = target_type == "lambda";
        let grpc = version == Some("GRPC");
        let own = match protocol {
            Some("HTTP" | "HTTPS") => Some("HTTP"),
            _ if lambda => None,
            _ if target_type == "alb" => Some("HTTP"),
            _ => Some("TCP"),
        };
        let speaks_http = own == Some("HTTP") || lambda;
        let codes = if grpc {
            Matcher { http_code: None, grpc_code: Some("12".to_owned()) }
        } else {
            let codes = if http || lambda { "200" } else { "200-399" };
            Matcher { http_code: Some(codes.to_owned()), grpc_code: None }
        };
        Self {
            protocol: own.map(str::to_owned),
            port: (!lambda).then(|| "traffic-port".to_owned()),
            enabled: !lambda,
            path: speaks_http.then(|| if grpc { "/AWS.ALB/healthcheck" } else { "/" }.to_owned()),
            interval: if lambda { 35 } else { 30 },
            timeout: match protocol {
                Some("HTTP" | "HTTPS" | "GENEVE") => 5,
                _ if lambda => 30,
                _ if target_type == "alb" => 6,
                _ => 10,
            },
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: speaks_http.then_some(codes),
        }
    }

    /// The settings with what was asked for, if that is allowed.
    pub(super) fn with(&self, asked: &Asked<'_>) -> Result<Self, ApiError> {
        let mut new = self.clone();
        if let Some(protocol) = asked.protocol {
            one_of(protocol, "healthCheckProtocol", PROTOCOLS)?;
            check_protocol(protocol, asked.over_http)?;
            new.protocol = Some(protocol.to_owned());
            if matches!(protocol, "HTTP" | "HTTPS") {
                new.path.get_or_insert_with(|| "/".to_owned());
                new.matcher.get_or_insert_with(|| Matcher {
                    http_code: Some("200-399".to_owned()),
                    grpc_code: None,
                });
            } else {
                new.path = None;
                new.matcher = None;
            }
        }
        if let Some(port) = asked.port {
            check_port(port)?;
            new.port = Some(port.to_owned());
        }
        if let Some(path) = asked.path {
            check_path(path)?;
            new.path = Some(path.to_owned());
        }
        new.enabled = asked.enabled.unwrap_or(new.enabled);
        let numbers = [
            (asked.interval, &mut new.interval, "healthCheckIntervalSeconds", 5, 300),
            (asked.timeout, &mut new.timeout, "healthCheckTimeoutSeconds", 2, 120),
            (asked.healthy, &mut new.healthy_threshold, "healthyThresholdCount", 2, 10),
            (asked.unhealthy, &mut new.unhealthy_threshold, "unhealthyThresholdCount", 2, 10),
        ];
        for (number, setting, member, least, most) in numbers {
            if let Some(number) = number {
                in_range(number, member, least, most)?;
                *setting = number;
            }
        }
        let least = i64::from(asked.over_http);
        if asked.interval.is_some() && asked.timeout.is_none() && new.timeout + least > new.interval {
            // AWS keeps its default timeout below a short interval.
            new.timeout = (new.interval - 1).max(2);
        }
        check_times(&new, asked)?;
        if let Some(matcher) = asked.matcher {
            check_matcher(matcher)?;
            new.matcher = Some(matcher.clone());
        }
        Ok(new)
    }

    /// From one check to the next.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(self.interval.unsigned_abs())
    }

    /// How long an answer may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.unsigned_abs())
    }

    pub(super) fn interval_seconds(&self) -> i64 {
        self.interval
    }

    pub(super) fn timeout_seconds(&self) -> i64 {
        self.timeout
    }
}

/// API_CreateTargetGroup: TCP is for groups whose targets do not speak HTTP, and of the other protocols
/// nothing can be checked.
fn check_protocol(protocol: &str, over_http: bool) -> Result<(), ApiError> {
    let allowed = if over_http { &["HTTP", "HTTPS"][..] } else { &["HTTP", "HTTPS", "TCP"] };
    if allowed.contains(&protocol) {
        return Ok(());
    }
    Err(validation(format!("Health check protocol '{protocol}' must be one of '{}'", allowed.join(", "))))
}

fn check_times(new: &HealthCheck, asked: &Asked<'_>) -> Result<(), ApiError> {
    if asked.interval.is_none() && asked.timeout.is_none() {
        return Ok(());
    }
    let (relation, fits) = match asked.over_http {
        true => ("smaller than", new.timeout < new.interval),
        false => ("smaller than or equal to", new.timeout <= new.interval),
    };
    if fits {
        return Ok(());
    }
    Err(validation(format!(
        "Health check timeout '{}' must be {relation} the interval '{}'",
        new.timeout, new.interval
    )))
}

fn check_port(port: &str) -> Result<(), ApiError> {
    if port == "traffic-port" || port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(());
    }
    Err(validation(format!(
        "Health check port '{port}' must be 'traffic-port' or a number between 1 and 65535"
    )))
}

fn check_path(path: &str) -> Result<(), ApiError> {
    if path.len() > 1024 {
        return Err(validation(format!(
            "Health check path '{path}' cannot be longer than '1024' characters"
        )));
    }
    if !path.starts_with('/') {
        return Err(validation(format!("Health check path '{path}' must begin with a '/' character")));
    }
    Ok(())
}

fn check_matcher(matcher: &Matcher) -> Result<(), ApiError> {
    let (codes, most, what) = match (&matcher.http_code, &matcher.grpc_code) {
        (Some(codes), None) => (codes, 200..=499, "HTTP"),
        (None, Some(codes)) => (codes, 0..=99, "GRPC"),
        _ => return Err(validation("You must specify either an HTTP code or a GRPC code")),
    };
    let code = |text: &str| text.trim().parse::<u16>().is_ok_and(|code| most.contains(&code));
    let valid = codes.split(',').all(|part| match part.split_once('-') {
        Some((from, to)) => code(from) && code(to) && from.trim() <= to.trim(),
        None => code(part),
    });
    if valid {
        return Ok(());
    }
    Err(validation(format!(
        "Health check matcher {what} code '{codes}' must be within '{}-{}' inclusive",
        most.start(),
        most.end()
    )))
}
