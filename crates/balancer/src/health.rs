//! Health checks of targets.

use super::body::RequestBody;
use super::clock::Pace;
use super::report::{Health, HealthReason, HealthState};
use super::table::{HealthCheck, HealthCheckPort};
use super::target::LiveTarget;
use super::upstream::Upstream;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Checks are not made more often than this, however fast the clock runs.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

impl Health {
    pub(super) fn new(state: HealthState, reason: Option<HealthReason>, description: Option<&str>) -> Self {
        Self { state, reason, description: description.map(str::to_owned) }
    }

    pub(super) fn registering() -> Self {
        let description = "Target registration is in progress";
        Self::new(HealthState::Initial, Some(HealthReason::RegistrationInProgress), Some(description))
    }

    pub(super) fn checking() -> Self {
        let description = "Initial health checks in progress";
        Self::new(HealthState::Initial, Some(HealthReason::InitialHealthChecking), Some(description))
    }

    pub(super) fn draining() -> Self {
        let description = "Target deregistration is in progress";
        Self::new(HealthState::Draining, Some(HealthReason::DeregistrationInProgress), Some(description))
    }

    pub(super) fn unused() -> Self {
        let description = "Target group is not configured to receive traffic from the load balancer";
        Self::new(HealthState::Unused, Some(HealthReason::NotInUse), Some(description))
    }

    pub(super) fn unchecked() -> Self {
        let description = "Health checks are disabled for this target group";
        Self::new(HealthState::Unavailable, Some(HealthReason::HealthCheckDisabled), Some(description))
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Passed,
    WrongCode(StatusCode),
    TimedOut,
    Broken,
}

impl Finding {
    fn unhealthy(&self) -> Health {
        let (reason, description) = match self {
            Self::WrongCode(code) => (
                HealthReason::ResponseCodeMismatch,
                format!("Health checks failed with these codes: [{}]", code.as_u16()),
            ),
            Self::TimedOut => (HealthReason::Timeout, "Request timed out".to_owned()),
            Self::Broken | Self::Passed => {
                (HealthReason::FailedHealthChecks, "Health checks failed".to_owned())
            }
        };
        Health::new(HealthState::Unhealthy, Some(reason), Some(&description))
    }
}

/// The history that decides on a target's health: one success makes a new target healthy, after that the
/// thresholds count
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>).
#[derive(Clone, Debug)]
pub(super) struct Record {
    health: Health,
    successes: u32,
    failures: u32,
}

impl Record {
    /// Goes on from a health that is known, or begins with [`Health::checking`].
    pub(super) fn new(health: Health) -> Self {
        Self { health, successes: 0, failures: 0 }
    }

    /// Takes a finding into account; the new health if it changed.
    pub(super) fn add(&mut self, finding: &Finding, settings: &HealthCheck) -> Option<Health> {
        if *finding == Finding::Passed {
            self.successes += 1;
            self.failures = 0;
        } else {
            self.failures += 1;
            self.successes = 0;
        }
        let healthy = match self.health.state {
            HealthState::Initial => self.successes >= 1,
            _ => self.successes >= settings.healthy_threshold.max(1),
        };
        let health = if healthy {
            Health::new(HealthState::Healthy, None, None)
        } else if self.failures >= settings.unhealthy_threshold.max(1) {
            finding.unhealthy()
        } else {
            return None;
        };
        if health == self.health {
            return None;
        }
        self.health = health.clone();
        Some(health)
    }
}

/// Status codes that count as a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matcher(Vec<RangeInclusive<u16>>);

impl Matcher {
    /// Reads `200`, `200,202`, `200-299`; parts that are neither are left out.
    pub(super) fn new(text: &str) -> Self {
        let code = |text: &str| text.trim().parse::<u16>().ok();
        let parts = text.split(',').filter_map(|part| match part.split_once('-') {
            Some((first, last)) => Some(code(first)?..=code(last)?),
            None => code(part).map(|code| code..=code),
        });
        Self(parts.collect())
    }

    fn accepts(&self, status: StatusCode) -> bool {
        self.0.iter().any(|codes| codes.contains(&status.as_u16()))
    }
}

/// Checks a target for ever and tells about every change.
pub(super) async fn watch(
    target: Arc<LiveTarget>,
    settings: HealthCheck,
    pace: Pace,
    mut record: Record,
    tell: impl Fn(Health),
) {
    let matcher = Matcher::new(&settings.matcher);
    let interval = pace.real(settings.interval).max(SHORTEST_INTERVAL);
    loop {
        let next = Instant::now() + interval;
        let check = check(&target, &settings, &matcher);
        let finding = tokio::time::timeout(pace.limit(settings.timeout), check).await;
        if let Some(health) = record.add(&finding.unwrap_or(Finding::TimedOut), &settings) {
            tell(health);
        }
        tokio::time::sleep_until(next).await;
    }
}

/// One check, on a connection of its own that is closed afterwards.
async fn check(target: &LiveTarget, settings: &HealthCheck, matcher: &Matcher) -> Finding {
    let port = match settings.port {
        HealthCheckPort::Traffic => target.address.port(),
        HealthCheckPort::Port(port) => port,
    };
    let address = SocketAddr::new(target.address.ip(), port);
    let Some(request) = request(settings, address) else { return Finding::Broken };
    let Ok(mut upstream) = Upstream::connect(address, settings.protocol).await else {
        return Finding::Broken;
    };
    match upstream.send(request, || false).await {
        Some(Ok(response)) if matcher.accepts(response.status()) => Finding::Passed,
        Some(Ok(response)) => Finding::WrongCode(response.status()),
        Some(Err(_)) | None => Finding::Broken,
    }
}

fn request(settings: &HealthCheck, address: SocketAddr) -> Option<Request<RequestBody>> {
    Request::get(&settings.path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, HeaderValue::from_static("ELB-HealthChecker/2.0"))
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(RequestBody::Empty)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers() {
        let accepts = |text: &str, code| Matcher::new(text).accepts(StatusCode::from_u16(code).unwrap());
        assert!(accepts("200", 200) && !accepts("200", 201));
        assert!(accepts("200-299, 301", 204) && accepts("200-299, 301", 301) && !accepts("200-299,301", 302));
        assert!(!accepts("", 200) && !accepts("abc", 200));
    }

    #[test]
    fn one_success_is_enough_at_first_then_thresholds_count() {
        let settings = HealthCheck { healthy_threshold: 3, unhealthy_threshold: 2, ..HealthCheck::default() };
        let mut record = Record::new(Health::checking());
        let mut states = Vec::new();
        let broken = Finding::Broken;
        for finding in [
            &broken,
            &Finding::Passed,
            &broken,
            &Finding::Passed,
            &broken,
            &Finding::TimedOut,
            &Finding::TimedOut,
            &Finding::Passed,
            &Finding::Passed,
            &Finding::WrongCode(StatusCode::NOT_FOUND),
            &Finding::WrongCode(StatusCode::NOT_FOUND),
            &Finding::Passed,
            &Finding::Passed,
            &Finding::Passed,
        ] {
            let health = record.add(finding, &settings);
            states
                .push(health.map(|health| (health.state.as_str(), health.reason.map(HealthReason::as_str))));
        }
        let unhealthy = |reason| Some(("unhealthy", Some(reason)));
        assert_eq!(
            states,
            [
                None,
                Some(("healthy", None)),
                None,
                None,
                None,
                unhealthy("Target.Timeout"),
                None,
                None,
                None,
                None,
                unhealthy("Target.ResponseCodeMismatch"),
                None,
                None,
                Some(("healthy", None)),
            ]
        );
    }
}
