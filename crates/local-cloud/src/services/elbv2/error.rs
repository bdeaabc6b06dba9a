//! ELB's errors. Codes are those of the API reference; texts are those that the service is seen to
//! answer, quoted in issues of the tools that call it.

use crate::wire::ApiError;

pub(super) fn validation(message: impl Into<String>) -> ApiError {
    ApiError::sender("ValidationError", message)
}

/// A value outside of what the shape of the request allows.
pub(super) fn constraint(value: &str, member: &str, constraint: &str) -> ApiError {
    validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    ))
}

/// Checks a value against those that the shape of the request allows.
pub(super) fn one_of(value: &str, member: &str, allowed: &[&str]) -> Result<(), ApiError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    Err(constraint(value, member, &format!("Member must satisfy enum value set: [{allowed}]")))
}

/// Checks a number against the range that the shape of the request allows.
pub(super) fn in_range(value: i64, member: &str, least: i64, most: i64) -> Result<(), ApiError> {
    let text = value.to_string();
    if value < least {
        let limit = format!("Member must have value greater than or equal to {least}");
        return Err(constraint(&text, member, &limit));
    }
    if value > most {
        return Err(constraint(
            &text,
            member,
            &format!("Member must have value less than or equal to {most}"),
        ));
    }
    Ok(())
}

pub(super) fn configuration(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidConfigurationRequest", message)
}

pub(super) fn no_load_balancer(arn: &str) -> ApiError {
    ApiError::sender("LoadBalancerNotFound", format!("Load balancer '{arn}' not found"))
}

pub(super) fn no_load_balancers() -> ApiError {
    ApiError::sender("LoadBalancerNotFound", "One or more load balancers not found")
}

pub(super) fn no_listener() -> ApiError {
    ApiError::sender("ListenerNotFound", "One or more listeners not found")
}

pub(super) fn no_rule() -> ApiError {
    ApiError::sender("RuleNotFound", "One or more rules not found")
}

pub(super) fn no_target_groups() -> ApiError {
    ApiError::sender("TargetGroupNotFound", "One or more target groups not found")
}

pub(super) fn no_target_group(arn: &str) -> ApiError {
    ApiError::sender("TargetGroupNotFound", format!("Target group '{arn}' not found"))
}
