//! The errors of ECS, by the codes its clients match on.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html and the Errors section of
//! each operation; texts as seen in issues of AWS's own tools.

use crate::wire::ApiError;

pub(super) fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidParameterException", message)
}

/// Refuses a value that an enumeration does not have. What is not given is no value.
pub(super) fn one_of<'a>(
    field: &str,
    given: impl IntoIterator<Item = &'a str>,
    known: &[&str],
) -> Result<(), ApiError> {
    match given.into_iter().all(|value| known.contains(&value)) {
        true => Ok(()),
        false => Err(invalid_parameter(format!("{field} should be one of [{}]", known.join(",")))),
    }
}

pub(super) fn client(message: impl Into<String>) -> ApiError {
    ApiError::sender("ClientException", message)
}

pub(super) fn cluster_not_found() -> ApiError {
    ApiError::sender("ClusterNotFoundException", "Cluster not found.")
}

pub(super) fn service_not_found() -> ApiError {
    ApiError::sender("ServiceNotFoundException", "Service not found.")
}

pub(super) fn service_not_active() -> ApiError {
    ApiError::sender("ServiceNotActiveException", "Service was not ACTIVE.")
}

pub(super) fn platform_unknown() -> ApiError {
    ApiError::sender("PlatformUnknownException", "The specified platform version does not exist.")
}

pub(super) fn task_set_not_found() -> ApiError {
    ApiError::sender("TaskSetNotFoundException", "The specified task set does not exist.")
}
