//! The service's errors, with the texts clients know.

use crate::wire::ApiError;

pub(super) fn no_group() -> ApiError {
    ApiError::sender("ResourceNotFoundException", "The specified log group does not exist.")
}

pub(super) fn no_stream() -> ApiError {
    ApiError::sender("ResourceNotFoundException", "The specified log stream does not exist.")
}

pub(super) fn exists(what: &str) -> ApiError {
    ApiError::sender("ResourceAlreadyExistsException", format!("The specified {what} already exists"))
}

pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidParameterException", message)
}

/// A value that does not fit its field's constraint, as the service's validation words it.
pub(super) fn constraint(value: &str, field: &str, constraint: &str) -> ApiError {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
    ))
}
