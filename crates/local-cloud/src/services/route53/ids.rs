//! Ids: `/hostedzone/Z…`, `/change/C…`.

use http::StatusCode;
use rand::Rng;

use crate::wire::ApiError;

/// A new id that starts with `prefix`.
pub(super) fn new(prefix: char) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut random = rand::rng();
    let tail = (0..19).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]));
    std::iter::once(prefix).chain(tail).collect()
}

/// An id without its `/hostedzone/`, `/change/`, `/healthcheck/` or `/delegationset/`.
pub(super) fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Something that is not there: status 404.
pub(super) fn not_found(code: &str, message: String) -> ApiError {
    ApiError::sender(code, message).with_status(StatusCode::NOT_FOUND)
}

/// Something that is there already: status 409.
pub(super) fn conflict(code: &str, message: &str) -> ApiError {
    ApiError::sender(code, message).with_status(StatusCode::CONFLICT)
}

pub(super) fn no_zone(id: &str) -> ApiError {
    not_found("NoSuchHostedZone", format!("No hosted zone found with ID: {}", bare(id)))
}

pub(super) fn invalid_input(message: impl Into<String>) -> ApiError {
    ApiError::sender("InvalidInput", message)
}
