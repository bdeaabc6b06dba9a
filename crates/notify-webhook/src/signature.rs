//! Proves to a receiver who sent a request, and when.

use hmac::{Hmac, Mac};
use pipeline_sdk::StageError;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Signs with a secret that the receiver knows too.
pub(crate) struct Signer {
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// # Errors
    /// The secret is empty, as it is when it comes from a variable without a value: everybody could sign
    /// with it.
    pub(crate) fn new(secret: &SecretString) -> Result<Self, StageError> {
        let empty = || StageError::input("secret", "it is empty: set it, or leave the input out");
        let bytes = Some(secret.expose_secret().as_bytes()).filter(|bytes| !bytes.is_empty());
        let keyed = Hmac::new_from_slice(bytes.ok_or_else(empty)?).map_err(|_| empty())?;
        Ok(Self { keyed })
    }

    /// `sha256=` and the code of `TIMESTAMP.BODY`: with the time inside, an old request cannot be passed off as a
    /// new one.
    pub(crate) fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let code = self.keyed.clone().chain_update(timestamp).chain_update(".").chain_update(body).finalize();
        format!("sha256={}", hex::encode(code.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected code is that of `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac sesame`.
    #[test]
    fn a_signature_is_what_other_programs_compute() {
        let signer = Signer::new(&"sesame".into()).expect("a secret");
        assert_eq!(
            signer.sign("1700000000", br#"{"a":1}"#),
            "sha256=961ee441db69fca5ccc174d9488a77f3c0397cd3ce633bd80dbc6e3320242468"
        );
    }

    #[test]
    fn an_empty_secret_is_refused() {
        assert!(Signer::new(&"".into()).is_err());
    }
}
