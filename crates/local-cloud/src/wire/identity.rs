//! Who calls, and where: read from the signature, which is not verified.

use http::request::Parts;

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
}

impl Identity {
    /// Reads the `Authorization` header, or the query of a presigned request.
    pub(crate) fn of(parts: &Parts) -> Self {
        let header = parts.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        header
            .and_then(|header| header.split_once("Credential=").map(|(_, rest)| rest))
            .map(|rest| rest.split([',', ' ']).next().unwrap_or(rest).to_owned())
            .or_else(|| presigned_credential(parts.uri.query()?))
            .map(|credential| Self::from_credential(&credential))
            .unwrap_or_default()
    }

    /// `AKID/20260101/eu-central-1/ecs/aws4_request`
    fn from_credential(credential: &str) -> Self {
        let mut fields = credential.split('/').map(str::to_owned);
        let access_key = fields.next();
        let region = fields.nth(1);
        let service = fields.next();
        Self { access_key, region, service }
    }

    /// The account: an access key of twelve digits names one, so that several can be tried. The keys
    /// of sessions have it after `ASIA`.
    pub(crate) fn account(&self) -> Option<&str> {
        let key = self.access_key.as_deref()?;
        let account = match key.strip_prefix("ASIA") {
            Some(rest) if key.len() == 20 => rest.get(..12)?,
            _ => key,
        };
        (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
    }
}

fn presigned_credential(query: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "X-Amz-Credential")
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
    fn an_unsigned_request_has_no_identity() {
        let request = http::Request::builder().body(()).expect("builds");
        assert_eq!(Identity::of(&request.into_parts().0), Identity::default());
    }
}
