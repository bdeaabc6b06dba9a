//! The authority that signs what a region issues.

use jiff::Timestamp;
use rand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use serde::{Deserialize, Serialize};

/// For how long ACM issues (docs.aws.amazon.com/acm/latest/userguide/acm-certificate-characteristics.html).
const DAYS: i64 = 395;

/// An authority: certificate and key, PEM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Authority {
    pub(super) certificate: String,
    private_key: String,
}

/// A certificate and its key, PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) private_key: String,
}

fn params_of_authority() -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "pipeline embedded cloud");
    name.push(DnType::CommonName, "pipeline embedded cloud CA");
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn day(at: Timestamp) -> (i32, u8, u8) {
    let date = at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
    (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
}

impl Authority {
    /// A new authority with a key of its own.
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = params_of_authority().self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), private_key: key.serialize_pem() })
    }

    /// Issues a certificate for `names`, the first of which is its common name. The pair is always
    /// P-256, whatever was asked for: it is made in no time.
    pub(super) fn issue(&self, names: &[String], now: Timestamp) -> Result<Issued, rcgen::Error> {
        let issuer = Issuer::new(params_of_authority(), KeyPair::from_pem(&self.private_key)?);
        let mut params = CertificateParams::new(names.to_vec())?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, names.first().map_or("", String::as_str));
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let mut serial: [u8; 16] = rand::rng().random();
        // A serial number is positive.
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let (year, month, date) = day(now);
        params.not_before = date_time_ymd(year, month, date);
        let end = now.checked_add(jiff::SignedDuration::from_hours(24 * DAYS)).unwrap_or(now);
        let (year, month, date) = day(end);
        params.not_after = date_time_ymd(year, month, date);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Issued { certificate: certificate.pem(), private_key: key.serialize_pem() })
    }
}
