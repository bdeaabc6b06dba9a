//! AWS Security Token Service: who am I, and being someone else.
//!
//! Source: docs.aws.amazon.com/STS/latest/APIReference

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Call, missing};
use crate::wire::{ApiError, Input, Iso8601, Output, Service, Session};
use crate::world::Arn;

/// Seconds that a session lasts.
const AN_HOUR: u64 = 3600;
const HALF_A_DAY: u64 = 43_200;

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "GetCallerIdentity" => Output::of(&identity(call, input)),
        "AssumeRole" => assume_role(call, &input.parse()?),
        "AssumeRoleWithWebIdentity" => assume_role_with_web_identity(call, &input.parse()?),
        "GetSessionToken" => {
            let seconds = input.parse::<Lasting>()?.duration_seconds.unwrap_or(HALF_A_DAY);
            Output::of(&json!({ "Credentials": credentials(call, &session(call, input), seconds) }))
        }
        "GetFederationToken" => federation_token(call, &input.parse()?),
        "GetAccessKeyInfo" => Output::of(&json!({ "Account": call.place.account })),
        _ => Err(missing(Service::Sts, operation)),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentity {
    user_id: String,
    account: String,
    arn: String,
}

/// The session that the caller came by; without one, the account's root.
fn session(call: &Call<'_>, input: &Input) -> Session {
    input.caller().cloned().unwrap_or_else(|| Session {
        account: call.place.account.clone(),
        arn: call.global_arn("iam", "root"),
        user_id: call.place.account.clone(),
    })
}

fn identity(call: &Call<'_>, input: &Input) -> CallerIdentity {
    let Session { account, arn, user_id } = session(call, input);
    CallerIdentity { user_id, account, arn }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Lasting {
    duration_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleInput {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: Iso8601,
}

fn constraint(value: &str, field: &str, constraint: &str) -> ApiError {
    let message = format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
    );
    ApiError::sender("ValidationError", message)
}

/// 2 to 64 characters.
fn check_session_name(name: &str) -> Result<(), ApiError> {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    if name.len() > 64 {
        let text = "Member must have length less than or equal to 64";
        return Err(constraint(name, "roleSessionName", text));
    }
    if name.len() < 2 {
        let text = "Member must have length greater than or equal to 2";
        return Err(constraint(name, "roleSessionName", text));
    }
    if !name.chars().all(legal) {
        let text = r"Member must satisfy regular expression pattern: [\w+=,.@-]*";
        return Err(constraint(name, "roleSessionName", text));
    }
    Ok(())
}

/// The session of a role. The role need not exist: nothing is ever denied.
fn assumed(call: &Call<'_>, input: &AssumeRoleInput) -> Result<Session, ApiError> {
    check_session_name(&input.role_session_name)?;
    let role = Arn::parse(&input.role_arn).filter(|arn| arn.service == "iam");
    let path = role.as_ref().and_then(|arn| arn.resource.strip_prefix("role/"));
    let (Some(role), Some(path)) = (&role, path) else {
        return Err(ApiError::sender("ValidationError", format!("{} is invalid", input.role_arn)));
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let resource = format!("assumed-role/{name}/{}", input.role_session_name);
    let known = call.state.accounts.get(role.account).and_then(|account| account.iam.role_id(name));
    let role_id = known.map_or_else(|| format!("AROA{}", role.account), str::to_owned);
    Ok(Session {
        account: role.account.to_owned(),
        arn: Arn { service: "sts", region: "", account: role.account, resource: &resource }.to_string(),
        user_id: format!("{role_id}:{}", input.role_session_name),
    })
}

fn assume_role(call: &Call<'_>, input: &AssumeRoleInput) -> Result<Output, ApiError> {
    let session = assumed(call, input)?;
    Output::of(&json!({
        "Credentials": credentials(call, &session, input.duration_seconds.unwrap_or(AN_HOUR)),
        "AssumedRoleUser": { "AssumedRoleId": session.user_id, "Arn": session.arn },
    }))
}

/// The token of the identity provider is not looked at.
fn assume_role_with_web_identity(call: &Call<'_>, input: &AssumeRoleInput) -> Result<Output, ApiError> {
    let session = assumed(call, input)?;
    Output::of(&json!({
        "Credentials": credentials(call, &session, input.duration_seconds.unwrap_or(AN_HOUR)),
        "AssumedRoleUser": { "AssumedRoleId": session.user_id, "Arn": session.arn },
        "SubjectFromWebIdentityToken": input.role_session_name,
        "Audience": "sts.amazonaws.com",
        "Provider": "embedded",
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FederationInput {
    name: String,
    policy: Option<String>,
    duration_seconds: Option<u64>,
}

fn federation_token(call: &Call<'_>, input: &FederationInput) -> Result<Output, ApiError> {
    if let Some(policy) = input.policy.as_ref().filter(|policy| policy.len() > 2048) {
        return Err(constraint(policy, "policy", "Member must have length less than or equal to 2048"));
    }
    let account = call.place.account.clone();
    let resource = format!("federated-user/{}", input.name);
    let session = Session {
        arn: Arn { service: "sts", region: "", account: &account, resource: &resource }.to_string(),
        user_id: format!("{account}:{}", input.name),
        account,
    };
    Output::of(&json!({
        "Credentials": credentials(call, &session, input.duration_seconds.unwrap_or(HALF_A_DAY)),
        "FederatedUser": { "FederatedUserId": session.user_id, "Arn": session.arn },
        "PackedPolicySize": 0,
    }))
}

/// Credentials of a session. Later calls say by its token where they belong and who makes them.
fn credentials(call: &Call<'_>, session: &Session, seconds: u64) -> Credentials {
    let expiration = call.now.checked_add(Duration::from_secs(seconds)).unwrap_or(call.now);
    let random = Uuid::new_v4().simple().to_string().to_ascii_uppercase();
    Credentials {
        access_key_id: format!("ASIA{}", &random[..16]),
        secret_access_key: Uuid::new_v4().simple().to_string(),
        session_token: session.token(),
        expiration: Iso8601(expiration),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::services::elbv2::testing::Cloud;

    fn assume(cloud: &Cloud, name: &str) -> Result<Value, ApiError> {
        let role = "arn:aws:iam::444455556666:role/ci/deploy";
        cloud.ask(Service::Sts, "AssumeRole", json!({ "RoleArn": role, "RoleSessionName": name }))
    }

    #[test]
    fn who_assumed_a_role_is_seen_as_it() {
        let cloud = Cloud::new();
        let made = assume(&cloud, "build-7").expect("assumed");
        let arn = "arn:aws:sts::444455556666:assumed-role/deploy/build-7";
        assert_eq!(made["AssumedRoleUser"]["Arn"], arn);
        let key = made["Credentials"]["AccessKeyId"].as_str().expect("a key");
        assert!(key.starts_with("ASIA") && key.len() == 20, "{key}");
    }

    #[test]
    fn names_of_sessions_have_limits() {
        let cloud = Cloud::new();
        for name in ["x", &"x".repeat(65), "a b"] {
            assert_eq!(assume(&cloud, name).expect_err("refused").code, "ValidationError");
        }
    }
}
