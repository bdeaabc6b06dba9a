//! Listeners.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::actions::{self, Action};
use super::attributes::{self, Attribute, Attributes};
use super::certificates::{self, CertificateInput};
use super::error::{configuration, in_range, no_listener, no_load_balancer, one_of, validation};
use super::load_balancers::AttributesOutput;
use super::page::page;
use super::{Elbv2State, LoadBalancerType, limits, names, tags};
use crate::services::Call;
use crate::services::tag::{Tag, Tags};
use crate::wire::{ApiError, Output};
use crate::world::Region;

/// A listener.
/// How the attributes begin that put a header on responses.
const RESPONSE_HEADER: &str = "routing.http.response.";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listener {
    pub(crate) arn: String,
    pub(crate) load_balancer_arn: String,
    pub(crate) port: u16,
    /// HTTP, HTTPS, TCP, …
    pub(crate) protocol: String,
    pub(crate) default_actions: Vec<Action>,
    /// ARN of the rule that applies when no other does.
    pub(super) default_rule_arn: String,
    /// The default certificate; none for plain protocols.
    pub(crate) certificate: Option<String>,
    /// Chosen by server name.
    pub(crate) more_certificates: Vec<String>,
    ssl_policy: Option<String>,
    #[serde(default)]
    alpn_policy: Vec<String>,
    attributes: Attributes,
    pub(super) tags: Tags,
    /// Where the data plane has it; nothing while it has not.
    #[serde(skip)]
    pub(crate) bound: Option<SocketAddr>,
    /// Why the data plane does not have it as asked.
    #[serde(skip)]
    pub(crate) trouble: Option<String>,
}

impl Listener {
    /// The value of an attribute, or its default.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        attributes::value(self.known(), &self.attributes, key)
    }

    /// The headers that its attributes put on every response.
    pub(crate) fn response_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let header = |key: &str| {
            let name = key.strip_prefix(RESPONSE_HEADER)?.strip_suffix(".header_value")?.replace('_', "-");
            let value = Some(self.attribute(key)).filter(|value| !value.is_empty())?;
            Some((name.parse().ok()?, value.parse().ok()?))
        };
        self.known().iter().filter_map(|known| header(known.key)).collect()
    }

    fn known(&self) -> &'static [attributes::Known] {
        if self.protocol.starts_with("HTTP") { attributes::HTTP_LISTENER } else { attributes::TCP_LISTENER }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    listener_arn: String,
    load_balancer_arn: String,
    port: u16,
    protocol: String,
    certificates: Option<Vec<CertificateItem>>,
    ssl_policy: Option<String>,
    default_actions: Vec<Action>,
    alpn_policy: Option<Vec<String>>,
    mutual_authentication: Option<MutualAuthentication>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertificateItem {
    certificate_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MutualAuthentication {
    mode: &'static str,
}

fn shown(listener: &Listener) -> Shown {
    let certificate = listener.certificate.clone();
    Shown {
        listener_arn: listener.arn.clone(),
        load_balancer_arn: listener.load_balancer_arn.clone(),
        port: listener.port,
        protocol: listener.protocol.clone(),
        certificates: certificate.map(|certificate_arn| vec![CertificateItem { certificate_arn }]),
        ssl_policy: listener.ssl_policy.clone(),
        default_actions: listener.default_actions.clone(),
        alpn_policy: (!listener.alpn_policy.is_empty()).then(|| listener.alpn_policy.clone()),
        mutual_authentication: (listener.protocol == "HTTPS").then_some(MutualAuthentication { mode: "off" }),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SettingsInput {
    #[serde(default)]
    load_balancer_arn: String,
    #[serde(default)]
    listener_arn: String,
    protocol: Option<String>,
    port: Option<i64>,
    ssl_policy: Option<String>,
    certificates: Option<Vec<CertificateInput>>,
    default_actions: Option<Vec<Action>>,
    alpn_policy: Option<Vec<String>>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    listeners: Vec<Shown>,
    next_marker: Option<String>,
}

fn one(listener: &Listener) -> Result<Output, ApiError> {
    Output::of(&ListOutput { listeners: vec![shown(listener)], next_marker: None })
}

pub(super) fn create(call: &mut Call<'_>, input: &SettingsInput) -> Result<Output, ApiError> {
    names::check_arn(&input.load_balancer_arn, names::Kind::LoadBalancer)?;
    actions::check_arns(input.default_actions.as_deref().unwrap_or_default())?;
    tags::check(&input.tags)?;
    let place = call.place.clone();
    let region = call.region();
    let arn = &input.load_balancer_arn;
    let balancer = region.elbv2.load_balancers.get(arn).ok_or_else(|| no_load_balancer(arn))?;
    let protocol =
        input.protocol.clone().ok_or_else(|| validation("A listener protocol must be specified"))?;
    check_protocol(&protocol, balancer.kind)?;
    let port = input.port.ok_or_else(|| validation("A listener port must be specified"))?;
    let port = check_port(port)?;
    let actions = input.default_actions.as_deref().unwrap_or_default();
    let tail = format!("{}/{}", names::tail(arn, "loadbalancer/"), names::fresh_id());
    let mut listener = Listener {
        arn: names::arn(&place, &format!("listener/{tail}")),
        load_balancer_arn: arn.clone(),
        port,
        protocol,
        default_actions: actions::checked(&region.elbv2, balancer, actions, "defaultActions")?,
        default_rule_arn: names::arn(&place, &format!("listener-rule/{tail}/{}", names::fresh_id())),
        certificate: None,
        more_certificates: vec![],
        ssl_policy: None,
        alpn_policy: input.alpn_policy.clone().unwrap_or_default(),
        attributes: Attributes::new(),
        tags: input.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
        bound: None,
        trouble: None,
    };
    set_security(region, &mut listener, input)?;
    let mut others = region.elbv2.listeners.values();
    if let Some(same) = others.find(|other| other.load_balancer_arn == *arn && other.port == port) {
        let equal = same.protocol == listener.protocol
            && same.default_actions == listener.default_actions
            && same.certificate == listener.certificate
            && same.ssl_policy == listener.ssl_policy;
        return if equal { one(same) } else { Err(duplicate(arn)) };
    }
    let answer = one(&listener)?;
    region.elbv2.listeners.insert(listener.arn.clone(), listener);
    Ok(answer)
}

fn duplicate(balancer: &str) -> ApiError {
    let message = format!("A listener already exists on this port for this load balancer '{balancer}'");
    ApiError::sender("DuplicateListener", message)
}

fn check_port(port: i64) -> Result<u16, ApiError> {
    in_range(port, "port", 1, 65_535)?;
    u16::try_from(port).map_err(|_| validation("A listener port must be specified"))
}

fn check_protocol(protocol: &str, kind: LoadBalancerType) -> Result<(), ApiError> {
    let protocols = ["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC"];
    one_of(protocol, "protocol", &protocols)?;
    let http = matches!(protocol, "HTTP" | "HTTPS");
    if http == (kind == LoadBalancerType::Application) {
        return Ok(());
    }
    // API_CreateListener: which protocols belong to which type.
    let allowed = match kind {
        LoadBalancerType::Application => "HTTP, HTTPS",
        LoadBalancerType::Network => "TCP, TLS, UDP, TCP_UDP, QUIC, TCP_QUIC",
        LoadBalancerType::Gateway => "GENEVE",
    };
    Err(ApiError::sender(
        "ValidationError",
        format!("Listener protocol '{protocol}' must be one of '{allowed}'"),
    ))
}

/// Sets certificate and policy as the protocol needs them.
fn set_security(region: &Region, listener: &mut Listener, input: &SettingsInput) -> Result<(), ApiError> {
    let secure = matches!(listener.protocol.as_str(), "HTTPS" | "TLS");
    let given = input.certificates.as_deref().unwrap_or_default();
    if !secure {
        if !given.is_empty() {
            return Err(configuration(format!(
                "Certificates cannot be specified for {} listeners",
                listener.protocol
            )));
        }
        listener.certificate = None;
        listener.ssl_policy = None;
        return Ok(());
    }
    match given {
        [only] => {
            certificates::check(&region.acm, &only.certificate_arn)?;
            listener.certificate = Some(only.certificate_arn.clone());
        }
        [] if listener.certificate.is_some() => {}
        [] => {
            return Err(validation(format!(
                "A certificate must be specified for {} listeners",
                listener.protocol
            )));
        }
        _ => {
            return Err(validation(format!(
                "Only one certificate can be specified as the default of {} listeners",
                listener.protocol
            )));
        }
    }
    if let Some(policy) = &input.ssl_policy {
        limits::check_ssl_policy(policy)?;
        listener.ssl_policy = Some(policy.clone());
    }
    listener.ssl_policy.get_or_insert_with(|| limits::DEFAULT_SSL_POLICY.to_owned());
    Ok(())
}

pub(super) fn modify(call: &mut Call<'_>, input: &SettingsInput) -> Result<Output, ApiError> {
    names::check_arn(&input.listener_arn, names::Kind::Listener)?;
    actions::check_arns(input.default_actions.as_deref().unwrap_or_default())?;
    let region = call.region();
    let mut listener = region.elbv2.listeners.get(&input.listener_arn).ok_or_else(no_listener)?.clone();
    let balancer_arn = listener.load_balancer_arn.clone();
    let balancer =
        region.elbv2.load_balancers.get(&balancer_arn).ok_or_else(|| no_load_balancer(&balancer_arn))?;
    if let Some(protocol) = &input.protocol {
        check_protocol(protocol, balancer.kind)?;
        listener.protocol.clone_from(protocol);
    }
    if let Some(port) = input.port {
        listener.port = check_port(port)?;
        let taken = region.elbv2.listeners.values().any(|other| {
            other.arn != listener.arn
                && other.load_balancer_arn == balancer_arn
                && other.port == listener.port
        });
        if taken {
            return Err(duplicate(&balancer_arn));
        }
    }
    if let Some(actions) = &input.default_actions {
        listener.default_actions = actions::checked(&region.elbv2, balancer, actions, "defaultActions")?;
    }
    if let Some(policy) = &input.alpn_policy {
        listener.alpn_policy.clone_from(policy);
    }
    set_security(region, &mut listener, input)?;
    let answer = one(&listener)?;
    region.elbv2.listeners.insert(listener.arn.clone(), listener);
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ArnInput {
    #[serde(default)]
    listener_arn: String,
}

pub(super) fn delete(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    names::check_arn(&input.listener_arn, names::Kind::Listener)?;
    let elbv2 = &mut call.region().elbv2;
    elbv2.listeners.shift_remove(&input.listener_arn).ok_or_else(no_listener)?;
    elbv2.rules.retain(|_, rule| rule.listener_arn != input.listener_arn);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    load_balancer_arn: Option<String>,
    #[serde(default)]
    listener_arns: Vec<String>,
    marker: Option<String>,
    page_size: Option<i64>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    names::check_arns(&input.load_balancer_arn, names::Kind::LoadBalancer)?;
    names::check_arns(&input.listener_arns, names::Kind::Listener)?;
    let elbv2 = &call.region().elbv2;
    match (&input.load_balancer_arn, input.listener_arns.is_empty()) {
        (None, true) => {
            return Err(validation("You must specify either listener ARNs or a load balancer ARN"));
        }
        (Some(_), false) => {
            return Err(validation(
                "Listener ARNs and a load balancer ARN cannot be specified at the same time",
            ));
        }
        (Some(arn), true) if !elbv2.load_balancers.contains_key(arn) => {
            return Err(super::error::no_load_balancers());
        }
        _ => {}
    }
    if input.listener_arns.iter().any(|arn| !elbv2.listeners.contains_key(arn)) {
        return Err(no_listener());
    }
    let found = elbv2
        .listeners
        .values()
        .filter(|listener| {
            input.load_balancer_arn.as_ref().is_none_or(|arn| listener.load_balancer_arn == *arn)
                && (input.listener_arns.is_empty() || input.listener_arns.contains(&listener.arn))
        })
        .map(shown)
        .collect();
    let (listeners, next_marker) = page(found, input.page_size, input.marker.as_deref())?;
    Output::of(&ListOutput { listeners, next_marker })
}

impl Elbv2State {
    pub(super) fn listener_mut(&mut self, arn: &str) -> Result<&mut Listener, ApiError> {
        names::check_arn(arn, names::Kind::Listener)?;
        self.listeners.get_mut(arn).ok_or_else(no_listener)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyAttributesInput {
    #[serde(default)]
    listener_arn: String,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

pub(super) fn describe_attributes(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    let listener = call.region().elbv2.listener_mut(&input.listener_arn)?;
    Output::of(&AttributesOutput { attributes: attributes::all(listener.known(), &listener.attributes) })
}

pub(super) fn modify_attributes(
    call: &mut Call<'_>,
    input: &ModifyAttributesInput,
) -> Result<Output, ApiError> {
    let listener = call.region().elbv2.listener_mut(&input.listener_arn)?;
    attributes::set(listener.known(), "Listener", &mut listener.attributes, &input.attributes)?;
    Output::of(&AttributesOutput { attributes: attributes::all(listener.known(), &listener.attributes) })
}
