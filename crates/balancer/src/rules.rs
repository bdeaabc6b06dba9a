//! Compiled conditions of listener rules.

use super::pattern::Pattern;
use super::table::{Condition, QueryParameter};
use http::HeaderName;
use http::request::Parts;
use std::net::IpAddr;

/// A condition ready to be tested.
#[derive(Debug)]
pub(super) enum Test {
    Host(Vec<Pattern>),
    Path(Vec<Pattern>),
    Header(Option<HeaderName>, Vec<Pattern>),
    Method(Vec<String>),
    Query(Vec<(Option<Pattern>, Pattern)>),
    Source(Vec<Block>),
}

impl Test {
    pub(super) fn new(condition: &Condition) -> Self {
        let any_case = |values: &[String]| values.iter().map(|value| Pattern::any_case(value)).collect();
        match condition {
            Condition::HostHeader(values) => Self::Host(any_case(values)),
            Condition::PathPattern(values) => {
                Self::Path(values.iter().map(|value| Pattern::exact_case(value)).collect())
            }
            Condition::HttpHeader { name, values } => {
                Self::Header(HeaderName::from_bytes(name.as_bytes()).ok(), any_case(values))
            }
            Condition::HttpRequestMethod(methods) => Self::Method(methods.clone()),
            Condition::QueryString(parameters) => Self::Query(parameters.iter().map(parameter).collect()),
            Condition::SourceIp(blocks) => {
                Self::Source(blocks.iter().filter_map(|block| Block::parse(block)).collect())
            }
        }
    }

    /// Whether a request of this peer meets the condition.
    pub(super) fn holds(&self, request: &Parts, peer: IpAddr) -> bool {
        match self {
            Self::Host(patterns) => any(patterns, host(request).as_bytes()),
            Self::Path(patterns) => any(patterns, request.uri.path().as_bytes()),
            Self::Header(Some(name), patterns) => {
                request.headers.get_all(name).iter().any(|value| any(patterns, value.as_bytes()))
            }
            Self::Header(None, _) => false,
            Self::Method(methods) => methods.iter().any(|method| method == request.method.as_str()),
            Self::Query(wanted) => {
                let query = request.uri.query().unwrap_or_default();
                query.split('&').any(|pair| wanted.iter().any(|wanted| matches_parameter(wanted, pair)))
            }
            Self::Source(blocks) => blocks.iter().any(|block| block.contains(peer)),
        }
    }
}

/// The host a request is for, without the port; empty when it names none.
pub(super) fn host(request: &Parts) -> &str {
    let authority = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => {
            request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
        }
    };
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn parameter(parameter: &QueryParameter) -> (Option<Pattern>, Pattern) {
    (parameter.key.as_deref().map(Pattern::any_case), Pattern::any_case(&parameter.value))
}

fn matches_parameter((key, value): &(Option<Pattern>, Pattern), pair: &str) -> bool {
    let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
    match key {
        Some(key) => key.matches(name.as_bytes()) && value.matches(text.as_bytes()),
        // A parameter without `=` has only a value.
        None => value.matches(if pair.contains('=') { text.as_bytes() } else { name.as_bytes() }),
    }
}

fn any(patterns: &[Pattern], text: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

/// A CIDR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    address: u128,
    v4: bool,
    shift: u32,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address.parse().ok()?, Some(length.parse::<u32>().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let (address, v4) = number(address);
        let bits = if v4 { 32 } else { 128 };
        let shift = bits - length.filter(|length| *length <= bits).or(length.is_none().then_some(bits))?;
        Some(Self { address, v4, shift })
    }

    fn contains(&self, peer: IpAddr) -> bool {
        let (peer, v4) = number(peer);
        v4 == self.v4 && (peer ^ self.address).checked_shr(self.shift).unwrap_or(0) == 0
    }
}

fn number(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn holds(condition: &Condition, request: &Parts) -> bool {
        Test::new(condition).holds(request, IpAddr::from([10, 1, 2, 3]))
    }

    #[test]
    fn each_condition() {
        let request = request(
            "GET",
            "/img/a.png?Version=V1&beta",
            &[("host", "WWW.example.com:8080"), ("x-ua", "Chrome 9")],
        );
        let yes = [
            Condition::HostHeader(vec!["other".into(), "www.EXAMPLE.com".into()]),
            Condition::PathPattern(vec!["/img/*".into()]),
            Condition::HttpHeader { name: "X-UA".into(), values: vec!["*chrome*".into()] },
            Condition::HttpRequestMethod(vec!["POST".into(), "GET".into()]),
            Condition::QueryString(vec![QueryParameter { key: Some("version".into()), value: "v?".into() }]),
            Condition::QueryString(vec![QueryParameter { key: None, value: "BETA".into() }]),
            Condition::SourceIp(vec!["192.0.2.0/24".into(), "10.1.0.0/16".into()]),
            Condition::SourceIp(vec!["0.0.0.0/0".into()]),
            Condition::SourceIp(vec!["10.1.2.3".into()]),
        ];
        let no = [
            Condition::HostHeader(vec!["example.com".into()]),
            Condition::PathPattern(vec!["/IMG/*".into(), "*beta".into()]),
            Condition::HttpHeader { name: "x-ua".into(), values: vec!["chrome".into()] },
            Condition::HttpHeader { name: "not a name".into(), values: vec!["*".into()] },
            Condition::HttpRequestMethod(vec!["get".into()]),
            Condition::QueryString(vec![QueryParameter { key: Some("version".into()), value: "v2".into() }]),
            Condition::SourceIp(vec![
                "10.1.2.0/33".into(),
                "garbage".into(),
                "10.1.2.4/32".into(),
                "::/0".into(),
            ]),
        ];
        for condition in &yes {
            assert!(holds(condition, &request), "{condition:?}");
        }
        for condition in &no {
            assert!(!holds(condition, &request), "{condition:?}");
        }
    }
}
