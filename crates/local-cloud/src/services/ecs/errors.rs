//! The errors of ECS, by the codes its clients match on.
//!
//! Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html and the Errors section of
//! each operation; texts as seen in issues of AWS's own tools.

use crate::wire::ApiError;

pub(super) fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidParameterException", message)
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

pub(super) fn task_set_not_found() -> ApiError {
    ApiError::sender("TaskSetNotFoundException", "The specified task set does not exist.")
}
