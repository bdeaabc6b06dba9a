//! Cookies that bring a client back to its group and target
//! (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html>,
//! "Sticky sessions"). As with ELB their values mean nothing to clients.

use super::routes::Forward;
use super::selection::LiveGroup;
use super::target::LiveTarget;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

const GROUP_COOKIE: &str = "AWSALBTG";
const TARGET_COOKIE: &str = "AWSALB";

/// The group that a client stays with.
pub(super) fn group<'a>(forward: &'a Forward, headers: &HeaderMap) -> Option<&'a Arc<LiveGroup>> {
    forward.stickiness?;
    let wanted = cookie(headers, GROUP_COOKIE)?;
    let (group, _) =
        forward.groups.iter().find(|(group, weight)| *weight > 0 && token(&group.id.as_str()) == wanted)?;
    Some(group)
}

/// The target that a client stays with.
pub(super) fn target<'a>(group: &'a LiveGroup, headers: &HeaderMap) -> Option<&'a LiveTarget> {
    let wanted = cookie(headers, TARGET_COOKIE)?;
    group.targets.iter().map(|target| &**target).find(|target| target_token(target) == wanted)
}

/// Cookies to set with a response.
#[derive(Default)]
pub(super) struct Cookies(Vec<HeaderValue>);

impl Cookies {
    pub(super) fn new(forward: &Forward, group: &LiveGroup, target: &LiveTarget) -> Self {
        let group_cookie = forward
            .stickiness
            .and_then(|duration| set_cookie(GROUP_COOKIE, &token(&group.id.as_str()), duration));
        let target_cookie =
            group.stickiness.and_then(|duration| set_cookie(TARGET_COOKIE, &target_token(target), duration));
        Self(group_cookie.into_iter().chain(target_cookie).collect())
    }

    pub(super) fn set(self, headers: &mut HeaderMap) {
        for cookie in self.0 {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

fn set_cookie(name: &str, value: &str, duration: Duration) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{name}={value}; Max-Age={}; Path=/", duration.as_secs())).ok()
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn target_token(target: &LiveTarget) -> String {
    token(&(target.id.as_str(), target.address))
}

fn token(identity: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
