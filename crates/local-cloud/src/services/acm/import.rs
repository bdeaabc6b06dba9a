//! Importing certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use uuid::Uuid;

use super::request::ArnOutput;
use super::{Certificate, certificate_arn, facts, tags, validation};
use crate::services::Call;
use crate::services::tag::Tag;
use crate::wire::{ApiError, Output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImportInput {
    certificate_arn: Option<String>,
    /// The three are blobs: base64 of PEM.
    certificate: Option<String>,
    private_key: Option<String>,
    certificate_chain: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

fn pem(blob: &Option<String>, member: &str) -> Result<String, ApiError> {
    let blob = blob.as_deref().ok_or_else(|| {
        validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })?;
    let bytes = STANDARD.decode(blob).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.ok_or_else(|| validation(format!("The {member} is not PEM-encoded or is not valid.")))
}

pub(super) fn import(call: &mut Call<'_>, input: &ImportInput) -> Result<Output, ApiError> {
    let certificate = pem(&input.certificate, "certificate")?;
    let private_key = pem(&input.private_key, "privateKey")?;
    let chain = input
        .certificate_chain
        .as_ref()
        .map(|_| pem(&input.certificate_chain, "certificateChain"))
        .transpose()?;
    tags::check(&input.tags)?;
    if input.certificate_arn.is_some() && !input.tags.is_empty() {
        return Err(validation("You cannot apply tags when reimporting a certificate."));
    }
    check_pair(&certificate, &private_key)?;
    let facts = facts::read(&certificate)
        .ok_or_else(|| validation("The certificate is not PEM-encoded or is not valid."))?;
    let (place, now) = (call.place.clone(), call.now);
    if facts.not_after < now {
        return Err(validation("The certificate has expired, is not valid."));
    }
    if facts.not_before > now {
        return Err(validation("The certificate is not in effect yet, is not valid."));
    }
    if let Some(chain) = &chain {
        facts::read(chain)
            .ok_or_else(|| validation("The certificate chain is not PEM-encoded or is not valid."))?;
    }
    let acm = &mut call.region().acm;
    let (arn, tags) = match &input.certificate_arn {
        Some(arn) => {
            let old = acm.find(arn)?;
            if !old.imported {
                return Err(validation(format!(
                    "Certificate {arn} was not imported and cannot be replaced."
                )));
            }
            (arn.clone(), old.tags.clone())
        }
        None => {
            let tags = input.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
            (certificate_arn(&place, &Uuid::new_v4().to_string()), tags)
        }
    };
    let mut names = facts.names;
    if !facts.common_name.is_empty() && !names.contains(&facts.common_name) {
        names.insert(0, facts.common_name.clone());
    }
    let imported = Certificate {
        arn: arn.clone(),
        domain_name: facts.common_name,
        names,
        certificate,
        chain,
        private_key,
        imported: true,
        created: now,
        issued_at: now,
        key_algorithm: facts.key_algorithm,
        validation_method: String::new(),
        token: None,
        transparency: false,
        exportable: false,
        tags,
    };
    acm.certificates.insert(arn.clone(), imported);
    Output::of(&ArnOutput { certificate_arn: arn })
}

/// One certificate, and the key that belongs to it.
fn check_pair(certificate: &str, private_key: &str) -> Result<(), ApiError> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| validation("The certificate is not PEM-encoded or is not valid."))?;
    match certificates.len() {
        0 => return Err(validation("The certificate is not PEM-encoded or is not valid.")),
        1 => {}
        _ => {
            return Err(validation(
                "The certificate field contains more than one certificate. You can specify only one certificate in this field.",
            ));
        }
    }
    let key = PrivateKeyDer::from_pem_slice(private_key.as_bytes())
        .map_err(|_| validation("The private key is not PEM-encoded or is not valid."))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(certificates, key, &provider).map(|_| ()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            validation("The private key does not match the certificate's public key.")
        }
        other => validation(format!("The private key is not supported: {other}.")),
    })
}
