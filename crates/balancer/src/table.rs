//! The routing table: everything the balancer needs to know, as plain values.
//!
//! The control plane builds a new table on every change and hands it over whole; the balancer compares it
//! with what it runs and keeps whatever did not change (sockets, health, pooled connections).

use http::{HeaderName, HeaderValue};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: AsRef<str>> From<T> for $name {
            fn from(name: T) -> Self {
                Self(Arc::from(name.as_ref()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name_type! {
    /// Identifies a listener across tables; its ARN is a good choice.
    ListenerId
}
name_type! {
    /// Identifies a target group across tables; its ARN is a good choice.
    GroupId
}
name_type! {
    /// Identifies a target within its group. A target that comes back under the same id and address while it
    /// is still in the table keeps its health; to start it afresh, give it a new id.
    TargetId
}

/// All listeners and target groups of all load balancers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutingTable {
    /// Listeners, each with its own rules.
    pub listeners: Vec<Listener>,
    /// Target groups. A group that no listener forwards to is `unused`: it is not health-checked.
    pub groups: HashMap<GroupId, TargetGroup>,
}

/// One address and port that accepts connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Stays the same for as long as it is the same listener to its clients.
    pub id: ListenerId,
    /// The address asked for. Listeners of one load balancer share it.
    pub address: IpAddr,
    /// The port asked for; also what targets see in `X-Forwarded-Port`. 0 picks a free one.
    pub port: u16,
    /// Plain text or TLS.
    pub protocol: ListenerProtocol,
    /// Closes client and target connections on which nothing moves for this long; a target that has not
    /// answered by then is reported to the client as 504. ELB's default is 60 s.
    pub idle_timeout: Duration,
    /// What is done to headers beside what every proxy does.
    pub headers: HeaderPolicy,
    /// Rules, in any order; the lowest priority that matches wins.
    pub rules: Vec<Rule>,
    /// What happens when no rule matches.
    pub default_action: Action,
}

/// What a listener does to headers that not every listener does
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/header-modification.html>).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderPolicy {
    /// What becomes of a request's list of the addresses that it came from.
    pub forwarded_for: ForwardedFor,
    /// The client's port stands behind the address that is appended to the list.
    pub client_port: bool,
    /// Headers of requests are dropped whose names have other characters than letters, digits and hyphens.
    pub drop_invalid: bool,
    /// No response says what server made it.
    pub hide_server: bool,
    /// Headers of every response, in the place of those of the same name.
    pub response: Vec<(HeaderName, HeaderValue)>,
}

/// What becomes of `X-Forwarded-For`
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedFor {
    /// The client's address is appended.
    #[default]
    Append,
    /// It stays as the client sent it.
    Preserve,
    /// It is removed.
    Remove,
}

/// How clients speak to a listener.
#[derive(Clone, Debug, PartialEq)]
pub enum ListenerProtocol {
    /// HTTP/1.x in plain text.
    Http,
    /// HTTP/1.x over TLS. The first certificate is the default one, the others are chosen by server name
    /// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/https-listener-certificates.html>).
    Https {
        /// At least one.
        certificates: Vec<Certificate>,
    },
}

/// A certificate chain with its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The leaf first, then its issuers.
    pub chain_pem: String,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key_pem: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

/// Conditions, and what to do with the requests that meet them all.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Rules are tried from the lowest to the highest.
    pub priority: u32,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Done with the request.
    pub action: Action,
}

/// One condition of a rule. It holds when any of its values matches. `*` stands for any number of characters,
/// `?` for exactly one
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The host of the request without its port; case does not matter.
    HostHeader(Vec<String>),
    /// The path without the query; case matters.
    PathPattern(Vec<String>),
    /// A header; case does not matter.
    HttpHeader {
        /// The header's name, without wildcards.
        name: String,
        /// Patterns for its value.
        values: Vec<String>,
    },
    /// The method, exactly.
    HttpRequestMethod(Vec<String>),
    /// Parameters of the query; case does not matter.
    QueryString(Vec<QueryParameter>),
    /// CIDR blocks; the peer's address, never `X-Forwarded-For`.
    SourceIp(Vec<String>),
}

/// A pattern for one parameter of a query string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParameter {
    /// Without a key, any parameter's value may match.
    pub key: Option<String>,
    /// Pattern for the value.
    pub value: String,
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send it to a target.
    Forward {
        /// Groups with their weights (0–999). Weight 0 gets nothing.
        groups: Vec<(GroupId, u32)>,
        /// How long a client stays with the group it was first sent to; `None` chooses anew each time.
        stickiness: Option<Duration>,
    },
    /// Tell the client to go elsewhere.
    Redirect(Redirect),
    /// Answer without a target.
    FixedResponse {
        /// 2xx, 4xx or 5xx.
        status: u16,
        /// For example `text/plain`.
        content_type: Option<String>,
        /// At most 1024 bytes in ELB; not limited here.
        body: String,
    },
}

/// A redirect. `#{protocol}`, `#{host}`, `#{port}`, `#{path}` (without its leading slash) and `#{query}` stand
/// for the parts of the request's URL
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RedirectActionConfig.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// Host name.
    pub host: String,
    /// Port number or `#{port}`. The port of a listener on the same address that had to be bound elsewhere is
    /// replaced by the port it really has.
    pub port: String,
    /// Starts with a slash.
    pub path: String,
    /// Without the leading question mark.
    pub query: String,
    /// 301 or 302.
    pub status: u16,
}

impl Default for Redirect {
    fn default() -> Self {
        Self {
            protocol: "#{protocol}".into(),
            host: "#{host}".into(),
            port: "#{port}".into(),
            path: "/#{path}".into(),
            query: "#{query}".into(),
            status: 302,
        }
    }
}

/// Targets that answer the same requests.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetGroup {
    /// The key it has in [`RoutingTable::groups`].
    pub id: GroupId,
    /// How the balancer speaks to its targets.
    pub protocol: TargetProtocol,
    /// Registered targets, those that drain included.
    pub targets: Vec<Target>,
    /// How targets are checked.
    pub health_check: HealthCheck,
    /// How long requests in flight may still take once their target drains.
    pub deregistration_delay: Duration,
    /// During this time after it became healthy, a target's share grows linearly. Zero switches it off.
    pub slow_start: Duration,
    /// How a target is chosen.
    pub algorithm: Algorithm,
    /// How long a client stays with its target; `None` chooses anew each time.
    pub stickiness: Option<Duration>,
}

/// How the balancer speaks to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetProtocol {
    /// HTTP/1.1 in plain text.
    Http,
    /// HTTP/1.1 over TLS; as in ELB the target's certificate is not verified.
    Https,
}

/// How a target is chosen among the healthy ones of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastOutstandingRequests,
}

/// A registered target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Unique within the group.
    pub id: TargetId,
    /// Where it really listens.
    pub address: SocketAddr,
    /// Whether it is being deregistered.
    pub state: TargetState,
}

/// Whether a target is being deregistered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Takes part.
    Active,
    /// Gets no new requests; those in flight may finish.
    Draining,
}

/// Settings of health checks
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Targets that are not checked count as healthy.
    pub enabled: bool,
    /// Plain text or TLS.
    pub protocol: TargetProtocol,
    /// Path and query of the request.
    pub path: String,
    /// Where to send it.
    pub port: HealthCheckPort,
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// An answer that takes longer is a failure.
    pub timeout: Duration,
    /// Successes in a row that make an unhealthy target healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make a target unhealthy.
    pub unhealthy_threshold: u32,
    /// Status codes that are a success: `200`, `200-299`, `200,301`.
    pub matcher: String,
}

impl Default for HealthCheck {
    /// ELB's defaults for targets of type `ip`.
    fn default() -> Self {
        Self {
            enabled: true,
            protocol: TargetProtocol::Http,
            path: "/".into(),
            port: HealthCheckPort::Traffic,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: "200".into(),
        }
    }
}

/// Where health checks are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCheckPort {
    /// The port that gets the traffic.
    Traffic,
    /// Another port of the same address.
    Port(u16),
}
