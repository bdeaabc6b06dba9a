//! AWS Security Token Service: who am I, and being someone else.
//!
//! Source: docs.aws.amazon.com/STS/latest/APIReference

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Call, missing};
use crate::wire::{ApiError, Input, Iso8601, Output, Service};
use crate::world::Arn;

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "GetCallerIdentity" => get_caller_identity(call),
        "AssumeRole" => assume_role(call, &input.parse()?),
        "GetSessionToken" => {
            Output::of(&Session { credentials: credentials(call, &call.place.account, 43_200) })
        }
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

fn get_caller_identity(call: &mut Call<'_>) -> Result<Output, ApiError> {
    Output::of(&CallerIdentity {
        user_id: call.place.account.clone(),
        account: call.place.account.clone(),
        arn: call.global_arn("iam", "root"),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleInput {
    role_arn: String,
    role_session_name: String,
    #[serde(default = "one_hour")]
    duration_seconds: u64,
}

fn one_hour() -> u64 {
    3600
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: Iso8601,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Session {
    credentials: Credentials,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRole {
    credentials: Credentials,
    assumed_role_user: AssumedRoleUser,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    assumed_role_id: String,
    arn: String,
}

fn assume_role(call: &mut Call<'_>, input: &AssumeRoleInput) -> Result<Output, ApiError> {
    let role = Arn::parse(&input.role_arn).filter(|arn| arn.service == "iam");
    let Some((role, name)) = role.and_then(|arn| Some((arn.clone(), arn.resource.strip_prefix("role/")?)))
    else {
        return Err(ApiError::sender("ValidationError", format!("{} is invalid", input.role_arn)));
    };
    let session = format!("assumed-role/{name}/{}", input.role_session_name);
    Output::of(&AssumedRole {
        credentials: credentials(call, role.account, input.duration_seconds),
        assumed_role_user: AssumedRoleUser {
            assumed_role_id: format!("AROA{}:{}", role.account, input.role_session_name),
            arn: Arn { service: "sts", region: "", account: role.account, resource: &session }.to_string(),
        },
    })
}

/// Credentials whose access key is the account's id: that is how later calls say where they belong.
fn credentials(call: &Call<'_>, account: &str, seconds: u64) -> Credentials {
    let expiration = call.now.checked_add(Duration::from_secs(seconds)).unwrap_or(call.now);
    Credentials {
        access_key_id: account.to_owned(),
        secret_access_key: Uuid::new_v4().simple().to_string(),
        session_token: Uuid::new_v4().simple().to_string(),
        expiration: Iso8601(expiration),
    }
}
