//! AWS Security Token Service: who am I, and being someone else.
//!
//! The access key of a session has the account's id in it: that is how later calls say where they
//! belong. Source: docs.aws.amazon.com/STS/latest/APIReference

mod assume;
mod session;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Call, missing};
use crate::wire::{ApiError, Identity, Input, Output, Service};

pub(crate) use session::StsState;

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "GetCallerIdentity" => get_caller_identity(call),
        "GetAccessKeyInfo" => get_access_key_info(call, &input.parse()?),
        "AssumeRole" => assume::role(call, &input.parse()?),
        "AssumeRoleWithWebIdentity" => assume::role_with_web_identity(call, &input.parse()?),
        "GetSessionToken" => assume::session_token(call, &input.parse()?),
        "GetFederationToken" => assume::federation_token(call, &input.parse()?),
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

/// Whoever holds the credentials of a session is that session; everybody else is the account's root.
fn get_caller_identity(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let key = call.access_key.clone().unwrap_or_default();
    let root = call.global_arn("iam", "root");
    let (user_id, arn) = match call.account().sts.session(&key) {
        Some(session) => (session.user_id.clone(), session.arn.clone()),
        None => (account.clone(), root),
    };
    Output::of(&CallerIdentity { user_id, account, arn })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccessKey {
    access_key_id: String,
}

fn get_access_key_info(call: &Call<'_>, input: &AccessKey) -> Result<Output, ApiError> {
    let identity = Identity { access_key: Some(input.access_key_id.clone()), ..Identity::default() };
    let account = identity.account().unwrap_or(&call.place.account);
    Output::of(&json!({ "Account": account }))
}
