//! What the balancer tells the control plane: where listeners were bound, and how targets are.

use super::table::{GroupId, ListenerId, TargetId};
use std::net::SocketAddr;

/// The outcome of one listener of a table.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Which listener.
    pub listener: ListenerId,
    /// What the table asked for.
    pub asked: SocketAddr,
    /// Where it listens; differs from `asked` when that address or port is not available to this process.
    /// `None` when it does not listen at all.
    pub actual: Option<SocketAddr>,
    /// Why it does not listen, or why it still runs with what it had before.
    pub error: Option<BindError>,
}

/// Why a listener could not be started as asked. It is tried again with the next table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error(
        "{0} is in use; stop the program that listens there (or another listener of the same address) or choose another port"
    )]
    AddressInUse(SocketAddr),
    /// Any other error of the operating system.
    #[error("cannot listen on {0}: {1}; choose an address of this machine")]
    Refused(SocketAddr, String),
    /// The certificate or key of an HTTPS listener cannot be used.
    #[error("cannot serve TLS on {0}: {1}; import the certificate again with its chain and matching key")]
    Certificate(SocketAddr, String),
}

/// A change of a target's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// The group; a target may be in several and have a different health in each.
    pub group: GroupId,
    /// The target.
    pub target: TargetId,
    /// Its new health.
    pub health: Health,
}

/// The health of a target, in the words of
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The state.
    pub state: HealthState,
    /// Absent when healthy.
    pub reason: Option<HealthReason>,
    /// For people; absent when healthy.
    pub description: Option<String>,
}

/// Where a target is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HealthState {
    /// Registered, not yet known.
    Initial,
    /// Passes its checks.
    Healthy,
    /// Fails its checks.
    Unhealthy,
    /// Being deregistered.
    Draining,
    /// Its group gets no traffic from any listener.
    Unused,
    /// Health checks are switched off.
    Unavailable,
}

impl HealthState {
    /// As in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Unused => "unused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a target is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthReason {
    /// `Elb.RegistrationInProgress`
    RegistrationInProgress,
    /// `Elb.InitialHealthChecking`
    InitialHealthChecking,
    /// `Target.ResponseCodeMismatch`
    ResponseCodeMismatch,
    /// `Target.Timeout`
    Timeout,
    /// `Target.FailedHealthChecks`
    FailedHealthChecks,
    /// `Target.NotInUse`
    NotInUse,
    /// `Target.DeregistrationInProgress`
    DeregistrationInProgress,
    /// `Target.HealthCheckDisabled`
    HealthCheckDisabled,
}

impl HealthReason {
    /// The reason code of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RegistrationInProgress => "Elb.RegistrationInProgress",
            Self::InitialHealthChecking => "Elb.InitialHealthChecking",
            Self::ResponseCodeMismatch => "Target.ResponseCodeMismatch",
            Self::Timeout => "Target.Timeout",
            Self::FailedHealthChecks => "Target.FailedHealthChecks",
            Self::NotInUse => "Target.NotInUse",
            Self::DeregistrationInProgress => "Target.DeregistrationInProgress",
            Self::HealthCheckDisabled => "Target.HealthCheckDisabled",
        }
    }
}
