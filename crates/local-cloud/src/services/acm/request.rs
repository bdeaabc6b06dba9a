//! Requesting certificates.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::authority::Authority;
use super::{AcmState, Certificate, certificate_arn, tags, validation};
use crate::services::Call;
use crate::services::tag::{Tag, Tags};
use crate::wire::{ApiError, Output};
use crate::world::Partition;

/// How long validation takes; AWS needs minutes.
const VALIDATION: Duration = Duration::from_secs(5);

/// The name of the certificate that every region has.
const SEEDED: [&str; 2] = ["pipeline.test", "*.pipeline.test"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RequestInput {
    domain_name: Option<String>,
    validation_method: Option<String>,
    #[serde(default)]
    subject_alternative_names: Vec<String>,
    idempotency_token: Option<String>,
    key_algorithm: Option<String>,
    options: Option<Options>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Options {
    certificate_transparency_logging_preference: Option<String>,
    export: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ArnOutput {
    pub(super) certificate_arn: String,
}

impl AcmState {
    fn issue(
        &mut self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(super::authority::Issued, String), rcgen::Error> {
        let authority = match &self.authority {
            Some(authority) => authority,
            None => self.authority.insert(Authority::new()?),
        };
        Ok((authority.issue(names, now)?, authority.certificate.clone()))
    }
}

/// Gives a region a certificate for `pipeline.test` and all names below it.
pub(crate) fn seed(account: &str, region: &str, acm: &mut AcmState) {
    let names = SEEDED.map(str::to_owned).to_vec();
    let now = Timestamp::now();
    let (issued, chain) = match acm.issue(&names, now) {
        Ok(issued) => issued,
        Err(error) => {
            tracing::error!(%error, "no certificate could be made for pipeline.test");
            return;
        }
    };
    // The id follows from the place: a configuration that names it survives a reset.
    let digest = Sha256::digest(format!("{account}/{region}/certificate"));
    let id = Uuid::from_slice(&digest[..16]).unwrap_or_default();
    let place = Partition { account: account.to_owned(), region: region.to_owned() };
    let arn = certificate_arn(&place, &id.to_string());
    let certificate = Certificate {
        arn: arn.clone(),
        domain_name: SEEDED[0].to_owned(),
        names,
        certificate: issued.certificate,
        chain: Some(chain),
        private_key: issued.private_key,
        imported: false,
        created: now,
        issued_at: now,
        key_algorithm: "EC_prime256v1".to_owned(),
        validation_method: "DNS".to_owned(),
        token: None,
        transparency: true,
        exportable: false,
        tags: Tags::new(),
    };
    acm.certificates.insert(arn, certificate);
}

pub(super) fn request(call: &mut Call<'_>, input: &RequestInput) -> Result<Output, ApiError> {
    let domain = input.domain_name.as_deref().ok_or_else(missing_domain)?.to_ascii_lowercase();
    let mut names = vec![domain.clone()];
    for name in &input.subject_alternative_names {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.iter().try_for_each(|name| check_domain(name))?;
    if names.len() > 100 {
        let message = "Too many domain names: a certificate can have at most 100";
        return Err(ApiError::sender("LimitExceededException", message));
    }
    let method = input.validation_method.as_deref().unwrap_or("EMAIL");
    if !matches!(method, "DNS" | "EMAIL" | "HTTP") {
        return Err(enum_error(method, "validationMethod", "EMAIL, DNS, HTTP"));
    }
    let key_algorithm = input.key_algorithm.as_deref().unwrap_or("RSA_2048");
    if !matches!(key_algorithm, "RSA_2048" | "EC_prime256v1" | "EC_secp384r1") {
        return Err(enum_error(key_algorithm, "keyAlgorithm", "RSA_2048, EC_prime256v1, EC_secp384r1"));
    }
    tags::check(&input.tags)?;
    let (place, now) = (call.place.clone(), call.now);
    let issued_at = if call.settings.inert { now } else { call.settings.clock.after(now, VALIDATION) };
    let acm = &mut call.region().acm;
    let same = acm.certificates.values().find(|other| {
        input.idempotency_token.is_some() && other.token == input.idempotency_token && other.names == names
    });
    if let Some(same) = same {
        return Output::of(&ArnOutput { certificate_arn: same.arn.clone() });
    }
    let (issued, chain) =
        acm.issue(&names, now).map_err(|error| ApiError::receiver("InternalFailure", error.to_string()))?;
    let arn = certificate_arn(&place, &Uuid::new_v4().to_string());
    let options = input.options.as_ref();
    let preference = options.and_then(|it| it.certificate_transparency_logging_preference.as_deref());
    let export = options.and_then(|it| it.export.as_deref());
    let certificate = Certificate {
        arn: arn.clone(),
        domain_name: domain,
        names,
        certificate: issued.certificate,
        chain: Some(chain),
        private_key: issued.private_key,
        imported: false,
        created: now,
        issued_at,
        key_algorithm: key_algorithm.to_owned(),
        validation_method: method.to_owned(),
        token: input.idempotency_token.clone(),
        transparency: preference != Some("DISABLED"),
        exportable: export == Some("ENABLED"),
        tags: input.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
    };
    acm.certificates.insert(arn.clone(), certificate);
    Output::of(&ArnOutput { certificate_arn: arn })
}

fn missing_domain() -> ApiError {
    validation(
        "1 validation error detected: Value at 'domainName' failed to satisfy constraint: Member must not be null",
    )
}

fn enum_error(value: &str, member: &str, allowed: &str) -> ApiError {
    validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy enum value set: [{allowed}]"
    ))
}

/// The pattern of API_RequestCertificate: labels of letters, digits and hyphens, a star as the first.
fn check_domain(name: &str) -> Result<(), ApiError> {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
    };
    if name.len() <= 253 && rest.contains('.') && rest.split('.').all(label) {
        return Ok(());
    }
    let pattern = r"^(\*\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])$";
    Err(validation(format!(
        "1 validation error detected: Value '{name}' at 'domainName' failed to satisfy constraint: Member must satisfy regular expression pattern: {pattern}"
    )))
}
