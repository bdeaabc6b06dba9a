//! Sessions: credentials that end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::Rng;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::services::Call;
use crate::wire::Iso8601;

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StsState {
    /// By access key id.
    sessions: BTreeMap<String, Session>,
}

/// Who holds the credentials of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) user_id: String,
    pub(super) arn: String,
    expires: Timestamp,
}

impl StsState {
    /// The session with this access key.
    pub(super) fn session(&self, access_key: &str) -> Option<&Session> {
        self.sessions.get(access_key)
    }
}

/// Credentials in an answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: Iso8601,
}

/// Twenty characters as AWS's: `ASIA`, the account, and four that tell sessions apart.
fn access_key(account: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut random = rand::rng();
    let tail: String = (0..4).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect();
    format!("ASIA{account}{tail}")
}

/// Credentials in `account` for whom `user_id` and `arn` name; for `None` the root of the account.
pub(super) fn begin(
    call: &mut Call<'_>,
    account: &str,
    seconds: u64,
    who: Option<(String, String)>,
) -> Credentials {
    let now = call.now;
    let expires = now.checked_add(std::time::Duration::from_secs(seconds)).unwrap_or(now);
    let access_key_id = access_key(account);
    let sessions = &mut call.state.account_mut(account).sts.sessions;
    sessions.retain(|_, session| session.expires > now);
    if let Some((user_id, arn)) = who {
        sessions.insert(access_key_id.clone(), Session { user_id, arn, expires });
    }
    Credentials {
        access_key_id,
        secret_access_key: Uuid::new_v4().simple().to_string(),
        session_token: Uuid::new_v4().simple().to_string(),
        expiration: Iso8601(expires),
    }
}
