//! What the stage takes.

use pipeline_aws::UserTags;
use pipeline_sdk::{JsonSchema, Maybe, StageError, schemars};
use serde::{Deserialize, Serialize};

/// The inputs of the stage `alb`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlbInputs {
    /// Name of the load balancer; the target groups add `-blue` and `-green`, so at most 26 characters.
    /// Default: `{name}-{environment}`.
    #[serde(default)]
    pub name: Option<String>,
    /// The VPC of the targets.
    pub vpc_id: Maybe<String>,
    /// Subnets of the load balancer, in at least two availability zones.
    pub subnets: Maybe<Vec<String>>,
    /// Security groups of the load balancer.
    pub security_groups: Maybe<Vec<String>>,
    /// Whether it is reachable only from inside the VPC.
    #[serde(default)]
    pub internal: bool,
    /// Seconds after which an idle connection is closed: 1 to 4000.
    #[schemars(range(min = 1, max = 4000))]
    #[serde(default = "idle_timeout")]
    pub idle_timeout_seconds: u32,
    /// Refuse to delete the load balancer, also by `pipeline destroy`.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Port that the targets listen on.
    #[schemars(range(min = 1))]
    #[serde(default = "port")]
    pub port: u16,
    /// Protocol that the targets speak: `HTTP` or `HTTPS`.
    #[schemars(extend("enum" = ["HTTP", "HTTPS"]))]
    #[serde(default = "protocol")]
    pub protocol: String,
    /// How the load balancer finds out whether a target works.
    #[serde(default)]
    pub health_check: HealthCheck,
    /// Seconds for which a target that leaves may finish its requests: 0 to 3600.
    #[schemars(range(max = 3600))]
    #[serde(default = "deregistration_delay")]
    pub deregistration_delay_seconds: u32,
    /// Seconds over which a new target gets more and more traffic: 0, or 30 to 900.
    #[schemars(range(max = 900))]
    #[serde(default)]
    pub slow_start_seconds: u32,
    /// ARN of the certificate. With one there is an HTTPS listener, and HTTP redirects to it.
    #[serde(default)]
    pub certificate_arn: Option<Maybe<String>>,
    /// A domain that an issued certificate of this account covers, in the place of `certificate_arn`.
    #[serde(default)]
    pub certificate_domain: Option<String>,
    /// Which TLS versions and ciphers the HTTPS listener takes.
    #[serde(default = "ssl_policy")]
    pub ssl_policy: String,
    /// Port of the HTTP listener.
    #[schemars(range(min = 1))]
    #[serde(default = "http_port")]
    pub http_port: u16,
    /// Port of the HTTPS listener.
    #[schemars(range(min = 1))]
    #[serde(default = "https_port")]
    pub https_port: u16,
    /// Port of a listener that gets a new version before production does. Default: there is none.
    #[schemars(range(min = 1))]
    #[serde(default)]
    pub test_port: Option<u16>,
    /// Take over what has these names and was not made by this pipeline.
    #[serde(default)]
    pub adopt: bool,
    /// More tags.
    #[serde(default)]
    pub tags: UserTags,
}

/// How the load balancer finds out whether a target works.
///
/// A new target serves after its first good answer; the thresholds count for changes after that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// The path that is asked.
    pub path: String,
    /// Seconds between two questions: 5 to 300.
    #[schemars(range(min = 5, max = 300))]
    pub interval_seconds: u32,
    /// Seconds until an answer is too late: 2 to 120, less than the interval.
    #[schemars(range(min = 2, max = 120))]
    pub timeout_seconds: u32,
    /// So many good answers in a row make a target healthy: 2 to 10.
    #[schemars(range(min = 2, max = 10))]
    pub healthy_threshold: u32,
    /// So many bad answers in a row make a target unhealthy: 2 to 10. A low number takes a broken
    /// target out quickly; 10 would leave it in traffic for almost a minute.
    #[schemars(range(min = 2, max = 10))]
    pub unhealthy_threshold: u32,
    /// The status codes that count as good, such as `200` or `200-299`.
    pub status_codes: String,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/health-check".into(),
            interval_seconds: 5,
            timeout_seconds: 2,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            status_codes: "200".into(),
        }
    }
}

fn idle_timeout() -> u32 {
    60
}
fn port() -> u16 {
    8080
}
fn protocol() -> String {
    "HTTP".into()
}
fn deregistration_delay() -> u32 {
    20
}
fn ssl_policy() -> String {
    "ELBSecurityPolicy-TLS13-1-2-2021-06".into()
}
fn http_port() -> u16 {
    80
}
fn https_port() -> u16 {
    443
}

impl AlbInputs {
    /// Checks what the schema cannot. The limits are those of
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html> and
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html>.
    pub(crate) fn check(&self) -> Result<(), StageError> {
        let check = &self.health_check;
        if check.timeout_seconds >= check.interval_seconds {
            return Err(StageError::input(
                "health_check.timeout_seconds",
                "has to be less than the interval",
            ));
        }
        if self.slow_start_seconds != 0 && !(30..=900).contains(&self.slow_start_seconds) {
            return Err(StageError::input("slow_start_seconds", "is 0, or 30 to 900"));
        }
        if !check.path.starts_with('/') {
            return Err(StageError::input("health_check.path", "begins with `/`"));
        }
        if !are_status_codes(&check.status_codes) {
            let message = "is a status code, a list like `200,204`, or a range like `200-299`, of 200 to 499";
            return Err(StageError::input("health_check.status_codes", message));
        }
        self.check_ports()?;
        if self.certificate_arn.is_some() && self.certificate_domain.is_some() {
            return Err(StageError::input("certificate_domain", "goes without `certificate_arn`: set one"));
        }
        Ok(())
    }

    /// Each listener has a port of its own.
    fn check_ports(&self) -> Result<(), StageError> {
        let encrypted = self.certificate_arn.is_some() || self.certificate_domain.is_some();
        let ports = [
            ("http_port", Some(self.http_port)),
            ("https_port", encrypted.then_some(self.https_port)),
            ("test_port", self.test_port),
        ];
        let taken = |port: u16, by: &str| {
            ports.iter().find(|(name, other)| *name != by && *other == Some(port)).map(|(name, _)| *name)
        };
        for (name, port) in ports.iter().rev() {
            if let Some(other) = port.and_then(|port| taken(port, name)) {
                return Err(StageError::input(*name, format!("is the port of `{other}` already")));
            }
        }
        Ok(())
    }
}

/// Whether the load balancer takes `text` for the codes of a healthy answer:
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Matcher.html>.
fn are_status_codes(text: &str) -> bool {
    let is_code = |code: &str| code.parse::<u16>().is_ok_and(|code| (200..=499).contains(&code));
    text.split(',').all(|part| match part.split_once('-') {
        Some((first, last)) => is_code(first) && is_code(last) && first <= last,
        None => is_code(part),
    })
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{Value, json};

    use super::*;

    fn inputs(key: &str, value: Value) -> AlbInputs {
        let mut all = json!({ "vpc_id": "v", "subnets": ["s"], "security_groups": ["g"] });
        all[key] = value;
        serde_json::from_value(all).expect("reads")
    }

    #[test]
    fn what_aws_would_refuse_is_refused_before() {
        assert!(inputs("port", json!(80)).check().is_ok());
        for (key, value) in [
            ("health_check", json!({ "timeout_seconds": 5 })),
            ("slow_start_seconds", json!(10)),
            ("health_check", json!({ "path": "health" })),
            ("health_check", json!({ "status_codes": "2xx" })),
            ("health_check", json!({ "status_codes": "200-500" })),
            ("test_port", json!(80)),
        ] {
            assert!(inputs(key, value).check().is_err(), "{key}");
        }
        assert!(inputs("test_port", json!(443)).check().is_ok(), "there is no HTTPS listener");
    }
}
