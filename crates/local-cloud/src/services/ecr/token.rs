//! Authorization tokens: what `docker login` gets.
//!
//! A password says by itself whose it is and until when, as ECR's does: it is base64 of a JSON
//! object. It is not signed: this cloud has no secrets to keep from its own machine.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};
use pipeline_data_plane::registry::{Refusal, Scope};

/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html>
const VALID: Duration = Duration::from_secs(12 * 60 * 60);

#[derive(Serialize, Deserialize)]
struct Password {
    account: String,
    region: String,
    expiration: Timestamp,
}

pub(super) fn get(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let expires_at = call.now.checked_add(VALID).unwrap_or(Timestamp::MAX);
    let password = issue(&call.place.account, &call.place.region, expires_at)
        .map_err(|error| ApiError::receiver("ServerException", error.to_string()))?;
    Output::of(&json!({
        "authorizationData": [{
            "authorizationToken": STANDARD.encode(format!("AWS:{password}")),
            "expiresAt": EpochSeconds(expires_at),
            "proxyEndpoint": format!("http://{}", call.settings.endpoint),
        }],
    }))
}

/// A password that is good for an hour.
pub(super) fn short_lived(scope: &Scope, now: Timestamp) -> Result<String, ApiError> {
    let end = now.checked_add(Duration::from_secs(60 * 60)).unwrap_or(Timestamp::MAX);
    issue(&scope.account, &scope.region, end)
        .map_err(|error| ApiError::receiver("ServerException", error.to_string()))
}

fn issue(account: &str, region: &str, expiration: Timestamp) -> Result<String, serde_json::Error> {
    let password = Password { account: account.to_owned(), region: region.to_owned(), expiration };
    Ok(STANDARD.encode(serde_json::to_vec(&password)?))
}

/// Whose password this is.
pub(super) fn check(password: &str, now: Timestamp) -> Result<Scope, Refusal> {
    let bytes = STANDARD.decode(password).map_err(|_| Refusal::Unauthorized)?;
    let password: Password = serde_json::from_slice(&bytes).map_err(|_| Refusal::Unauthorized)?;
    if password.expiration < now {
        return Err(Refusal::TokenExpired);
    }
    Ok(Scope::new(password.account, password.region))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_password_names_its_scope_until_it_expires() {
        let then = Timestamp::UNIX_EPOCH;
        let password = issue("123456789012", "eu-west-1", then).unwrap();
        assert_eq!(check(&password, then), Ok(Scope::new("123456789012", "eu-west-1")));
        let later = then.checked_add(Duration::from_secs(1)).unwrap();
        assert_eq!(check(&password, later), Err(Refusal::TokenExpired));
        assert_eq!(check("eHg=", then), Err(Refusal::Unauthorized));
    }
}
