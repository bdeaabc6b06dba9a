//! What a certificate says of itself.

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::public_key::PublicKey;

/// What is read from a certificate.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) common_name: String,
    pub(super) names: Vec<String>,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// As in the API: `RSA_2048`, `EC_prime256v1`.
    pub(super) key_algorithm: String,
    pub(super) signature_algorithm: String,
}

/// Reads the first certificate of a PEM text.
pub(super) fn read(pem: &str) -> Option<Facts> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    let common_name = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
    let mut names = Vec::new();
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        names.extend(alternatives.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        }));
    }
    let common_name = common_name.or(names.first().map(String::as_str)).unwrap_or_default().to_owned();
    Some(Facts {
        names,
        subject: certificate.subject().to_string(),
        issuer: certificate
            .issuer()
            .iter_common_name()
            .find_map(|n| n.as_str().ok())
            .unwrap_or_default()
            .to_owned(),
        serial: certificate.raw_serial_as_string(),
        not_before: Timestamp::from_second(certificate.validity().not_before.timestamp()).ok()?,
        not_after: Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?,
        key_algorithm: match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => format!("RSA_{}", key.key_size()),
            Ok(PublicKey::EC(point)) if point.key_size() > 400 => "EC_secp521r1".to_owned(),
            Ok(PublicKey::EC(point)) if point.key_size() > 300 => "EC_secp384r1".to_owned(),
            _ => "EC_prime256v1".to_owned(),
        },
        signature_algorithm: match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.11" => "SHA256WITHRSA",
            "1.2.840.113549.1.1.12" => "SHA384WITHRSA",
            "1.2.840.113549.1.1.13" => "SHA512WITHRSA",
            "1.2.840.10045.4.3.3" => "SHA384WITHECDSA",
            "1.2.840.10045.4.3.4" => "SHA512WITHECDSA",
            _ => "SHA256WITHECDSA",
        }
        .to_owned(),
        common_name,
    })
}
