//! Credentials for roles, federated users and the caller. Every role may be assumed by everybody, also
//! one that nobody made: the account may be one that the cloud does not simulate in full.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::session::begin;
use crate::services::Call;
use crate::wire::{ApiError, Output};
use crate::world::Arn;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleInput {
    role_arn: String,
    role_session_name: String,
    #[serde(default = "one_hour")]
    duration_seconds: u64,
    web_identity_token: Option<String>,
    provider_id: Option<String>,
}

fn one_hour() -> u64 {
    3600
}

fn invalid(value: &str, field: &str, constraint: &str) -> ApiError {
    let message = format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
    );
    ApiError::sender("ValidationError", message)
}

/// `[\w+=,.@-]*` of a length in `lengths`.
fn check_name(name: &str, field: &str, lengths: std::ops::RangeInclusive<usize>) -> Result<(), ApiError> {
    if name.len() > *lengths.end() {
        let most = format!("Member must have length less than or equal to {}", lengths.end());
        return Err(invalid(name, field, &most));
    }
    if name.len() < *lengths.start() {
        let least = format!("Member must have length greater than or equal to {}", lengths.start());
        return Err(invalid(name, field, &least));
    }
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)) {
        return Ok(());
    }
    Err(invalid(name, field, r"Member must satisfy regular expression pattern: [\w+=,.@-]*"))
}

/// Limits of <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
fn check_duration(seconds: u64, most: u64) -> Result<(), ApiError> {
    if seconds < 900 {
        let least = "Member must have value greater than or equal to 900";
        return Err(invalid(&seconds.to_string(), "durationSeconds", least));
    }
    if seconds > most {
        let most = format!("Member must have value less than or equal to {most}");
        return Err(invalid(&seconds.to_string(), "durationSeconds", &most));
    }
    Ok(())
}

/// The credentials and the user of a role's session, as answers show both.
fn assume(call: &mut Call<'_>, input: &RoleInput) -> Result<Value, ApiError> {
    check_name(&input.role_session_name, "roleSessionName", 2..=64)?;
    check_duration(input.duration_seconds, 43_200)?;
    let role = Arn::parse(&input.role_arn).filter(|arn| arn.service == "iam");
    let Some((role, path)) = role.and_then(|arn| Some((arn.clone(), arn.resource.strip_prefix("role/")?)))
    else {
        return Err(ApiError::sender("ValidationError", format!("{} is invalid", input.role_arn)));
    };
    // The path of a role is not part of its sessions' ARNs.
    let name = path.rsplit('/').next().unwrap_or(path);
    let known = call.state.account_mut(role.account).iam.session_of(&input.role_arn);
    let (id, longest) = known.map_or_else(
        || (format!("AROA{}", role.account), u64::MAX),
        |(id, seconds)| (id.to_owned(), u64::from(seconds)),
    );
    if input.duration_seconds > longest {
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(ApiError::sender("ValidationError", message));
    }
    let session = format!("assumed-role/{name}/{}", input.role_session_name);
    let arn = Arn { service: "sts", region: "", account: role.account, resource: &session }.to_string();
    let id = format!("{id}:{}", input.role_session_name);
    let who = Some((id.clone(), arn.clone()));
    let credentials = begin(call, role.account, input.duration_seconds, who);
    Ok(json!({ "Credentials": credentials, "AssumedRoleUser": { "AssumedRoleId": id, "Arn": arn } }))
}

pub(super) fn role(call: &mut Call<'_>, input: &RoleInput) -> Result<Output, ApiError> {
    Output::of(&assume(call, input)?)
}

/// What the token says is believed: the cloud knows no keys of identity providers.
pub(super) fn role_with_web_identity(call: &mut Call<'_>, input: &RoleInput) -> Result<Output, ApiError> {
    let token = input.web_identity_token.as_deref().unwrap_or_default();
    if token.is_empty() {
        return Err(invalid("", "webIdentityToken", "Member must not be null"));
    }
    let claims = claims(token);
    let claim = |name: &str| claims.get(name).and_then(Value::as_str);
    let mut answer = assume(call, input)?;
    answer["SubjectFromWebIdentityToken"] = json!(claim("sub"));
    answer["Audience"] = json!(claim("aud"));
    answer["Provider"] = json!(input.provider_id.as_deref().or(claim("iss")));
    Output::of(&answer)
}

/// The claims of a JSON web token; nothing of what is none.
fn claims(token: &str) -> Value {
    let payload =
        token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    payload.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TokenInput {
    #[serde(default)]
    name: String,
    #[serde(default = "half_a_day")]
    duration_seconds: u64,
}

fn half_a_day() -> u64 {
    43_200
}

/// Credentials of the caller's own.
pub(super) fn session_token(call: &mut Call<'_>, input: &TokenInput) -> Result<Output, ApiError> {
    check_duration(input.duration_seconds, 129_600)?;
    let account = call.place.account.clone();
    let key = call.access_key.clone().unwrap_or_default();
    let own = call.account().sts.session(&key).map(|own| (own.user_id.clone(), own.arn.clone()));
    Output::of(&json!({ "Credentials": begin(call, &account, input.duration_seconds, own) }))
}

pub(super) fn federation_token(call: &mut Call<'_>, input: &TokenInput) -> Result<Output, ApiError> {
    check_name(&input.name, "name", 2..=32)?;
    check_duration(input.duration_seconds, 129_600)?;
    let account = call.place.account.clone();
    let arn = call.global_arn("sts", &format!("federated-user/{}", input.name));
    let id = format!("{account}:{}", input.name);
    let credentials = begin(call, &account, input.duration_seconds, Some((id.clone(), arn.clone())));
    Output::of(&json!({
        "Credentials": credentials,
        "FederatedUser": { "FederatedUserId": id, "Arn": arn },
        "PackedPolicySize": 0,
    }))
}
