//! The compiled rules of a listener.

use super::response;
use super::rules::Test;
use super::selection::{LiveGroup, pick};
use super::table::{Action, GroupId, HeaderPolicy, Listener, Redirect};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// What a listener does, as one routing table has it.
pub(super) struct Routes {
    rules: Vec<(Vec<Test>, Route)>,
    default: Route,
    /// In real time.
    pub(super) idle_timeout: Duration,
    pub(super) headers: HeaderPolicy,
}

/// A compiled action.
pub(super) enum Route {
    Forward(Forward),
    Redirect(Redirect),
    Fixed { status: StatusCode, content_type: Option<HeaderValue>, body: Bytes },
}

/// Weighted groups.
pub(super) struct Forward {
    pub(super) groups: Vec<(Arc<LiveGroup>, u32)>,
    pub(super) stickiness: Option<Duration>,
    turn: AtomicU32,
}

impl Routes {
    /// Compiles a listener. Groups that do not exist get no requests.
    pub(super) fn new(
        listener: &Listener,
        groups: &HashMap<GroupId, Arc<LiveGroup>>,
        idle_timeout: Duration,
        actual_port: impl Fn(u16) -> u16,
    ) -> Self {
        let route = |action: &Action| Route::new(action, groups, &actual_port);
        let mut rules: Vec<_> = listener.rules.iter().collect();
        rules.sort_by_key(|rule| rule.priority);
        let rules = rules
            .into_iter()
            .map(|rule| (rule.conditions.iter().map(Test::new).collect(), route(&rule.action)))
            .collect();
        let headers = listener.headers.clone();
        Self { rules, default: route(&listener.default_action), idle_timeout, headers }
    }

    /// The action for a request.
    pub(super) fn find(&self, request: &Parts, peer: IpAddr) -> &Route {
        let rule = self.rules.iter().find(|(tests, _)| tests.iter().all(|test| test.holds(request, peer)));
        rule.map_or(&self.default, |(_, route)| route)
    }
}

impl Route {
    fn new(
        action: &Action,
        groups: &HashMap<GroupId, Arc<LiveGroup>>,
        actual_port: &impl Fn(u16) -> u16,
    ) -> Self {
        match action {
            Action::Forward { groups: weighted, stickiness } => Self::Forward(Forward {
                groups: weighted
                    .iter()
                    .filter_map(|(id, weight)| Some((groups.get(id)?.clone(), *weight)))
                    .collect(),
                stickiness: *stickiness,
                turn: AtomicU32::new(rand::random()),
            }),
            Action::Redirect(redirect) => Self::Redirect(Redirect {
                port: match redirect.port.parse() {
                    Ok(port) => actual_port(port).to_string(),
                    Err(_) => redirect.port.clone(),
                },
                ..redirect.clone()
            }),
            Action::FixedResponse { status, content_type, body } => Self::Fixed {
                status: StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                content_type: response::content_type(content_type.as_deref(), body),
                body: Bytes::copy_from_slice(body.as_bytes()),
            },
        }
    }
}

impl Forward {
    /// The group for a request; `None` when all weights are 0. ELB does not fall back to another group when the
    /// chosen one has no healthy target
    /// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html>).
    pub(super) fn group(&self) -> Option<&Arc<LiveGroup>> {
        match &self.groups[..] {
            [(group, weight)] if *weight > 0 => Some(group),
            groups => {
                let turn = self.turn.fetch_add(1, Relaxed);
                pick(turn, groups.iter(), |(_, weight)| *weight).map(|(group, _)| group)
            }
        }
    }
}
