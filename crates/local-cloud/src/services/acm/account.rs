//! What an account has decided for all of its certificates. No event of an expiry is ever sent.
//!
//! Source: docs.aws.amazon.com/acm/latest/APIReference/API_PutAccountConfiguration.html

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::validation;
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// When events tell of an expiry.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ExpiryEvents {
    days_before_expiry: Option<u32>,
}

/// Days before an expiry, if nobody says otherwise.
const DEFAULT_DAYS: u32 = 45;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutInput {
    idempotency_token: Option<String>,
    expiry_events: Option<ExpiryEvents>,
}

pub(super) fn get(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let days = call.region().acm.expiry_events.days_before_expiry.unwrap_or(DEFAULT_DAYS);
    Output::of(&json!({ "ExpiryEvents": { "DaysBeforeExpiry": days } }))
}

pub(super) fn put(call: &mut Call<'_>, input: PutInput) -> Result<Output, ApiError> {
    if input.idempotency_token.is_none() {
        return Err(validation(
            "1 validation error detected: Value at 'idempotencyToken' failed to satisfy constraint: Member must not be null",
        ));
    }
    if let Some(events) = input.expiry_events {
        if events.days_before_expiry == Some(0) {
            return Err(validation("DaysBeforeExpiry must be at least 1."));
        }
        call.region().acm.expiry_events = events;
    }
    Ok(Output::empty())
}
