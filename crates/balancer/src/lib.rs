//! The load balancer of the embedded cloud: real HTTP traffic on loopback, steered by a [`RoutingTable`].
//!
//! It knows nothing of AWS's wire formats nor of the model of the account. The control plane gives it a whole
//! table with [`Balancer::apply`] and hears of the targets' health through [`HealthReport`]s. Where it has a
//! choice it behaves as an Application Load Balancer is documented to
//! (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/>).

#![warn(missing_docs)]

mod body;
mod clock;
mod control;
mod front;
mod gather;
mod headers;
mod health;
mod listener;
mod membership;
mod metrics;
mod pattern;
mod proxy;
mod report;
mod response;
mod routes;
mod rules;
mod selection;
mod stickiness;
mod table;
mod target;
mod tls;
mod trace;
mod tunnel;
mod upstream;
mod workers;

pub use control::{Balancer, Options};
pub use metrics::{ListenerMetrics, Metrics, TargetMetrics};
pub use report::{BindError, Bound, Health, HealthReason, HealthReport, HealthState};
pub use table::{
    Action, Algorithm, Certificate, Condition, ForwardedFor, GroupId, HeaderPolicy, HealthCheck,
    HealthCheckPort, Listener, ListenerId, ListenerProtocol, QueryParameter, Redirect, RoutingTable, Rule,
    Target, TargetGroup, TargetId, TargetProtocol, TargetState,
};

#[cfg(test)]
mod tests;
