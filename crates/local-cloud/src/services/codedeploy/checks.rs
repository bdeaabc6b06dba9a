//! Checks that several operations share.

use crate::wire::ApiError;

use super::shapes::ComputePlatform;

/// An application's name: required, up to 100 characters.
pub(super) fn application_name(name: Option<&str>) -> Result<&str, ApiError> {
    name_of(name, "ApplicationName", "application")
}

/// A deployment group's name: required, up to 100 characters.
pub(super) fn group_name(name: Option<&str>) -> Result<&str, ApiError> {
    name_of(name, "DeploymentGroupName", "deployment group")
}

/// A deployment configuration's name: required, up to 100 characters.
pub(super) fn config_name(name: Option<&str>) -> Result<&str, ApiError> {
    name_of(name, "DeploymentConfigName", "deployment configuration")
}

fn name_of<'a>(name: Option<&'a str>, shape: &str, what: &str) -> Result<&'a str, ApiError> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(ApiError::sender(
            format!("{shape}RequiredException"),
            format!("The {what} name was not specified."),
        ));
    };
    if name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(ApiError::sender(
            format!("Invalid{shape}Exception"),
            format!("The {what} name was specified in an invalid format: it has 1 to 100 characters."),
        ));
    }
    Ok(name)
}

/// A deployment's id: required.
pub(super) fn deployment_id(id: Option<&str>) -> Result<&str, ApiError> {
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Err(ApiError::sender(
            "DeploymentIdRequiredException",
            "At least one deployment ID must be specified.",
        ));
    };
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(ApiError::sender(
            "InvalidDeploymentIdException",
            format!("At least one of the deployment IDs was specified in an invalid format: {id}"),
        ));
    }
    Ok(id)
}

/// A compute platform; Server when none is given.
pub(super) fn compute_platform(name: Option<&str>) -> Result<ComputePlatform, ApiError> {
    match name {
        None | Some("Server") => Ok(ComputePlatform::Server),
        Some("Lambda") => Ok(ComputePlatform::Lambda),
        Some("ECS") => Ok(ComputePlatform::Ecs),
        Some(_) => Err(ApiError::sender(
            "InvalidComputePlatformException",
            "The computePlatform is invalid. The computePlatform should be Lambda, Server, or ECS.",
        )),
    }
}

/// At most `limit` names in one call.
pub(super) fn batch(count: usize, limit: usize) -> Result<(), ApiError> {
    if count > limit {
        return Err(ApiError::sender(
            "BatchLimitExceededException",
            format!("The maximum number of names or IDs allowed for this request ({limit}) was exceeded."),
        ));
    }
    Ok(())
}
