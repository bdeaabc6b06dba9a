//! What a listener or a rule does with a request.
//!
//! Source: API_Action of the API reference.

use serde::{Deserialize, Serialize};

use super::error::{configuration, constraint, in_range, no_target_group, one_of, validation};
use super::{Elbv2State, LoadBalancer, LoadBalancerType, names};
use crate::wire::ApiError;

/// An action, in requests, in answers and as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Action {
    /// `forward`, `redirect` or `fixed-response`.
    pub(crate) r#type: String,
    /// Given when it forwards to one group only.
    pub(crate) target_group_arn: Option<String>,
    pub(super) order: Option<i64>,
    pub(crate) forward_config: Option<Forward>,
    pub(crate) redirect_config: Option<Redirect>,
    pub(crate) fixed_response_config: Option<FixedResponse>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Forward {
    pub(crate) target_groups: Vec<WeightedGroup>,
    #[serde(rename = "TargetGroupStickinessConfig")]
    pub(crate) stickiness: Option<Stickiness>,
}

/// A target group and its share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct WeightedGroup {
    pub(crate) target_group_arn: String,
    /// 0 to 999.
    pub(crate) weight: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Stickiness {
    pub(crate) enabled: bool,
    pub(crate) duration_seconds: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Redirect {
    pub(crate) protocol: Option<String>,
    pub(crate) port: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) query: Option<String>,
    /// `HTTP_301` or `HTTP_302`.
    pub(crate) status_code: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct FixedResponse {
    pub(crate) message_body: Option<String>,
    pub(crate) status_code: String,
    pub(crate) content_type: Option<String>,
}

impl Action {
    /// The groups that it forwards to.
    pub(crate) fn groups(&self) -> &[WeightedGroup] {
        self.forward_config.as_ref().map_or(&[], |forward| forward.target_groups.as_slice())
    }

    pub(super) fn forwards_to(&self, group: &str) -> bool {
        self.groups().iter().any(|weighted| weighted.target_group_arn == group)
    }
}

/// Refuses to forward to what no target group's ARN is.
pub(super) fn check_arns(actions: &[Action]) -> Result<(), ApiError> {
    let alone = actions.iter().filter_map(|action| action.target_group_arn.as_ref());
    let weighted = actions.iter().flat_map(Action::groups).map(|group| &group.target_group_arn);
    names::check_arns(alone.chain(weighted), names::Kind::TargetGroup)
}

/// Checks actions for listeners of `balancer`, and puts them into the form that AWS answers with.
/// `member` is their name in the request.
pub(super) fn checked(
    elbv2: &Elbv2State,
    balancer: &LoadBalancer,
    actions: &[Action],
    member: &str,
) -> Result<Vec<Action>, ApiError> {
    if actions.is_empty() {
        return Err(validation("An action must be specified"));
    }
    let mut checked = Vec::new();
    for (index, action) in actions.iter().enumerate() {
        checked.push(check_one(elbv2, balancer, action, &format!("{member}.{}.member", index + 1))?);
    }
    if checked.len() > 1 {
        return Err(ApiError::sender(
            "TooManyActions",
            "You've reached the limit on the number of actions per rule: the actions that authenticate, which may come before others, are not part of the embedded cloud",
        ));
    }
    Ok(checked)
}

fn check_one(
    elbv2: &Elbv2State,
    balancer: &LoadBalancer,
    action: &Action,
    member: &str,
) -> Result<Action, ApiError> {
    let types = [
        "forward",
        "authenticate-oidc",
        "authenticate-cognito",
        "redirect",
        "fixed-response",
        "jwt-validation",
    ];
    one_of(&action.r#type, &format!("{member}.type"), &types)?;
    if let Some(order) = action.order {
        in_range(order, &format!("{member}.order"), 1, 50_000)?;
    }
    let kept = Action { r#type: action.r#type.clone(), order: action.order, ..Action::default() };
    if balancer.kind != LoadBalancerType::Application && action.r#type != "forward" {
        return Err(configuration(format!(
            "Actions of type '{}' are not supported on network load balancers",
            action.r#type
        )));
    }
    match action.r#type.as_str() {
        "forward" => {
            let forward = check_forward(elbv2, balancer, action, member)?;
            let target_group_arn = match forward.target_groups.as_slice() {
                [only] => Some(only.target_group_arn.clone()),
                _ => None,
            };
            Ok(Action { forward_config: Some(forward), target_group_arn, ..kept })
        }
        "redirect" => {
            let given =
                action.redirect_config.as_ref().ok_or_else(|| missing_config(action, "RedirectConfig"))?;
            Ok(Action { redirect_config: Some(check_redirect(given, member)?), ..kept })
        }
        "fixed-response" => {
            let given = action.fixed_response_config.as_ref();
            let given = given.ok_or_else(|| missing_config(action, "FixedResponseConfig"))?;
            check_fixed_response(given, member)?;
            Ok(Action { fixed_response_config: Some(given.clone()), ..kept })
        }
        other => Err(ApiError::sender(
            "InvalidLoadBalancerAction",
            format!("the embedded cloud does not implement actions of type '{other}'"),
        )),
    }
}

fn missing_config(action: &Action, config: &str) -> ApiError {
    validation(format!("{config} is required for an action of type '{}'", action.r#type))
}

fn check_forward(
    elbv2: &Elbv2State,
    balancer: &LoadBalancer,
    action: &Action,
    member: &str,
) -> Result<Forward, ApiError> {
    let mut forward = match (&action.forward_config, &action.target_group_arn) {
        (Some(forward), arn) if !forward.target_groups.is_empty() => {
            let only = forward.target_groups.first().filter(|_| forward.target_groups.len() == 1);
            if arn.as_ref().is_some_and(|arn| only.is_none_or(|only| only.target_group_arn != *arn)) {
                return Err(validation(
                    "You cannot specify both a TargetGroupArn and a ForwardConfig with other target groups",
                ));
            }
            forward.clone()
        }
        (_, Some(arn)) => Forward {
            target_groups: vec![WeightedGroup { target_group_arn: arn.clone(), weight: None }],
            stickiness: action.forward_config.as_ref().and_then(|forward| forward.stickiness.clone()),
        },
        (_, None) => return Err(validation("A target group ARN must be specified")),
    };
    if forward.target_groups.len() > 5 {
        return Err(validation("A forward action can have at most '5' target groups"));
    }
    for index in 0..forward.target_groups.len() {
        let (earlier, rest) = forward.target_groups.split_at_mut(index);
        let Some(weighted) = rest.first_mut() else { continue };
        if earlier.iter().any(|other| other.target_group_arn == weighted.target_group_arn) {
            return Err(validation("The target group list cannot contain duplicate target groups"));
        }
        let weight = *weighted.weight.get_or_insert(1);
        in_range(
            weight,
            &format!("{member}.forwardConfig.targetGroups.{}.member.weight", index + 1),
            0,
            999,
        )?;
        check_group(elbv2, balancer, &weighted.target_group_arn)?;
    }
    let stickiness = forward.stickiness.get_or_insert_with(Stickiness::default);
    match stickiness.duration_seconds {
        Some(seconds) if !(1..=604_800).contains(&seconds) => {
            return Err(validation("Stickiness duration must be between 1 and 604800 seconds"));
        }
        None if stickiness.enabled => {
            return Err(validation(
                "Stickiness duration must be specified when target group stickiness is enabled",
            ));
        }
        _ => {}
    }
    Ok(forward)
}

fn check_group(elbv2: &Elbv2State, balancer: &LoadBalancer, arn: &str) -> Result<(), ApiError> {
    let group = elbv2.target_groups.get(arn).ok_or_else(|| no_target_group(arn))?;
    let application = balancer.kind == LoadBalancerType::Application;
    if application != (group.speaks_http() || group.target_type == "lambda") {
        let protocol = group.protocol.as_deref().unwrap_or("none");
        return Err(configuration(format!(
            "The target group '{arn}' has the protocol '{protocol}', which the load balancer does not support"
        )));
    }
    if group.vpc_id.as_ref().is_some_and(|vpc| *vpc != balancer.vpc_id) {
        return Err(configuration(format!(
            "The following target groups are not in the VPC of the load balancer: '{arn}'"
        )));
    }
    // docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
    if elbv2.users_of_group(arn).iter().any(|user| *user != balancer.arn) {
        let message = format!(
            "The following target groups cannot be associated with more than one load balancer: {arn}"
        );
        return Err(ApiError::sender("TargetGroupAssociationLimit", message));
    }
    Ok(())
}

/// Parts that are not given stay as they are in the request's URL.
fn check_redirect(given: &Redirect, member: &str) -> Result<Redirect, ApiError> {
    one_of(&given.status_code, &format!("{member}.redirectConfig.statusCode"), &["HTTP_301", "HTTP_302"])?;
    let or = |value: &Option<String>, default: &str| {
        Some(value.clone().filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned()))
    };
    let redirect = Redirect {
        protocol: or(&given.protocol, "#{protocol}"),
        port: or(&given.port, "#{port}"),
        host: or(&given.host, "#{host}"),
        path: or(&given.path, "/#{path}"),
        query: given.query.clone().or_else(|| Some("#{query}".to_owned())),
        status_code: given.status_code.clone(),
    };
    let (protocol, port) = (redirect.protocol.as_deref(), redirect.port.as_deref().unwrap_or_default());
    if !matches!(protocol, Some("HTTP" | "HTTPS" | "#{protocol}")) {
        let limit = r"Member must satisfy regular expression pattern: ^(HTTPS?|#\{protocol\})$";
        return Err(constraint(
            protocol.unwrap_or_default(),
            &format!("{member}.redirectConfig.protocol"),
            limit,
        ));
    }
    if port != "#{port}" && !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(validation(format!(
            "The redirect port '{port}' must be #{{port}} or between 1 and 65535"
        )));
    }
    if redirect.path.as_deref().is_some_and(|path| !path.starts_with('/')) {
        return Err(validation("The redirect path must begin with a '/' character"));
    }
    let untouched = protocol == Some("#{protocol}")
        && port == "#{port}"
        && redirect.host.as_deref() == Some("#{host}")
        && redirect.path.as_deref() == Some("/#{path}");
    if untouched {
        let message =
            "The redirect must change the protocol, the port, the host or the path, or it would never end";
        return Err(ApiError::sender("InvalidLoadBalancerAction", message));
    }
    Ok(redirect)
}

fn check_fixed_response(given: &FixedResponse, member: &str) -> Result<(), ApiError> {
    let code = given.status_code.parse::<u16>().ok();
    if !code.is_some_and(|code| matches!(code, 200..=299 | 400..=599)) {
        let limit = r"Member must satisfy regular expression pattern: ^(2|4|5)\d\d$";
        return Err(constraint(
            &given.status_code,
            &format!("{member}.fixedResponseConfig.statusCode"),
            limit,
        ));
    }
    let types = ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];
    if given.content_type.as_deref().is_some_and(|kind| !types.contains(&kind)) {
        let message = "The ContentType must be one of:'text/html', 'application/json', 'application/javascript', 'text/css', 'text/plain'";
        return Err(ApiError::sender("InvalidLoadBalancerAction", message));
    }
    if given.message_body.as_ref().is_some_and(|body| body.len() > 1024) {
        return Err(validation("The message body cannot be longer than '1024' characters"));
    }
    Ok(())
}
