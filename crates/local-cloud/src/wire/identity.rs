//! Who calls, and where: read from the signature, which is not verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde::{Deserialize, Serialize};

/// What the SigV4 credential scope tells. Signatures are not checked: whoever reaches the loopback
/// address may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The access key id.
    pub(crate) access_key: Option<String>,
    /// The region of the scope.
    pub(crate) region: Option<String>,
    /// The signing name of the service, such as `elasticloadbalancing`.
    pub(crate) service: Option<String>,
    /// Whom the caller became by a call of STS.
    pub(crate) session: Option<Session>,
}

/// A session of STS: everything about it is in its token, so the cloud keeps none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The account of the role.
    pub(crate) account: String,
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/NAME`
    pub(crate) arn: String,
    /// `AROA…:NAME`
    pub(crate) user_id: String,
}

impl Session {
    /// The session token that clients send with each call.
    pub(crate) fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn read(token: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
    }
}

impl Identity {
    /// Reads the `Authorization` header, or the query of a presigned request.
    pub(crate) fn of(parts: &Parts) -> Self {
        let header = parts.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = parts.headers.get("x-amz-security-token").and_then(|value| value.to_str().ok());
        let token = token.map(str::to_owned).or_else(|| presigned(parts, "X-Amz-Security-Token"));
        let identity = header
            .and_then(|header| header.split_once("Credential=").map(|(_, rest)| rest))
            .map(|rest| rest.split([',', ' ']).next().unwrap_or(rest).to_owned())
            .or_else(|| presigned(parts, "X-Amz-Credential"))
            .map(|credential| Self::from_credential(&credential))
            .unwrap_or_default();
        Self { session: token.and_then(|token| Session::read(&token)), ..identity }
    }

    /// `AKID/20260101/eu-central-1/ecs/aws4_request`
    fn from_credential(credential: &str) -> Self {
        let mut fields = credential.split('/').map(str::to_owned);
        let access_key = fields.next();
        let region = fields.nth(1);
        let service = fields.next();
        Self { access_key, region, service, session: None }
    }

    /// The account: that of the session, or an access key of twelve digits, so that several can be tried.
    pub(crate) fn account(&self) -> Option<&str> {
        if let Some(session) = &self.session {
            return Some(&session.account);
        }
        let key = self.access_key.as_deref()?;
        (key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit())).then_some(key)
    }
}

fn presigned(parts: &Parts, wanted: &str) -> Option<String> {
    url::form_urlencoded::parse(parts.uri.query()?.as_bytes())
        .find(|(name, _)| name == wanted)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_names_account_region_and_service() {
        let request = http::Request::builder()
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=111122223333/20260101/eu-central-1/ecs/aws4_request, SignedHeaders=host, Signature=ab",
            )
            .body(())
            .expect("builds");
        let identity = Identity::of(&request.into_parts().0);
        assert_eq!(identity.account(), Some("111122223333"));
        assert_eq!(identity.region.as_deref(), Some("eu-central-1"));
        assert_eq!(identity.service.as_deref(), Some("ecs"));
    }

    #[test]
    fn a_session_says_who_calls() {
        let session = Session {
            account: "444455556666".into(),
            arn: "arn:aws:sts::444455556666:assumed-role/deploy/ci".into(),
            user_id: "AROA:ci".into(),
        };
        let request = http::Request::builder()
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIAX/20260101/eu-central-1/ecs/aws4_request",
            )
            .header("x-amz-security-token", session.token())
            .body(())
            .expect("builds");
        let identity = Identity::of(&request.into_parts().0);
        assert_eq!(identity.account(), Some("444455556666"));
        assert_eq!(identity.session, Some(session));
    }

    #[test]
    fn an_unsigned_request_has_no_identity() {
        let request = http::Request::builder().body(()).expect("builds");
        assert_eq!(Identity::of(&request.into_parts().0), Identity::default());
    }
}
