//! AWS Certificate Manager: certificates with real keys, so that load balancers can serve TLS.
//!
//! Certificates that are requested are signed by an authority of the region's own; `GetCertificate`
//! answers its certificate as the chain, which is what clients have to trust.
//!
//! Source: docs.aws.amazon.com/acm/latest/APIReference

mod account;
mod authority;
mod certificates;
mod facts;
mod import;
mod request;
mod tags;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::tag::Tags;
use super::{Call, missing};
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::{Arn, Partition};

pub(crate) use request::seed;

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AcmState {
    authority: Option<authority::Authority>,
    certificates: IndexMap<String, Certificate>,
    expiry_events: account::ExpiryEvents,
}

/// A certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) arn: String,
    domain_name: String,
    names: Vec<String>,
    /// The certificate itself, PEM.
    certificate: String,
    /// Its issuers, PEM.
    chain: Option<String>,
    /// The private key, PEM.
    pub(crate) private_key: String,
    imported: bool,
    created: Timestamp,
    issued_at: Timestamp,
    /// What was asked for, as `RSA_2048`.
    key_algorithm: String,
    validation_method: String,
    token: Option<String>,
    transparency: bool,
    /// Whether it was asked for as one that may leave ACM.
    #[serde(default)]
    exportable: bool,
    tags: Tags,
}

impl AcmState {
    /// The certificate that signed what the region issued, PEM.
    pub(crate) fn authority_certificate(&self) -> Option<&str> {
        self.authority.as_ref().map(|authority| authority.certificate.as_str())
    }
}

impl Certificate {
    /// Whether it can be used. Validation takes a moment.
    pub(crate) fn is_issued(&self) -> bool {
        self.issued_at <= Timestamp::now()
    }

    /// The certificate and its issuers, PEM, as TLS sends them.
    pub(crate) fn chain_pem(&self) -> String {
        let mut pem = self.certificate.trim_end().to_owned();
        if let Some(issuer) = &self.chain {
            pem.push('\n');
            pem.push_str(issuer.trim_end());
        }
        pem.push('\n');
        pem
    }
}

impl AcmState {
    /// The certificate with this ARN.
    pub(crate) fn certificate(&self, arn: &str) -> Option<&Certificate> {
        self.certificates.get(arn)
    }

    fn find(&self, arn: &str) -> Result<&Certificate, ApiError> {
        self.certificates.get(arn).ok_or_else(|| no_certificate(arn))
    }

    fn find_mut(&mut self, arn: &str) -> Result<&mut Certificate, ApiError> {
        self.certificates.get_mut(arn).ok_or_else(|| no_certificate(arn))
    }
}

fn certificate_arn(place: &Partition, id: &str) -> String {
    let resource = format!("certificate/{id}");
    Arn { service: "acm", region: &place.region, account: &place.account, resource: &resource }.to_string()
}

fn no_certificate(arn: &str) -> ApiError {
    match Arn::parse(arn) {
        Some(parsed) if parsed.service == "acm" => {
            ApiError::sender("ResourceNotFoundException", format!("Could not find certificate {arn}."))
        }
        _ => ApiError::sender("InvalidArnException", format!("Invalid ARN: '{arn}'")),
    }
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::sender("ValidationException", message)
}

/// Carries out `operation`.
pub(super) fn call(call: &mut Call<'_>, operation: &str, input: &Input) -> Result<Output, ApiError> {
    match operation {
        "RequestCertificate" => request::request(call, &input.parse()?),
        "ImportCertificate" => import::import(call, &input.parse()?),
        "DescribeCertificate" => certificates::describe(call, &input.parse()?),
        "ListCertificates" => certificates::list(call, &input.parse()?),
        "GetCertificate" => certificates::get(call, &input.parse()?),
        "DeleteCertificate" => certificates::delete(call, &input.parse()?),
        "UpdateCertificateOptions" => certificates::update_options(call, &input.parse()?),
        "GetAccountConfiguration" => account::get(call),
        "PutAccountConfiguration" => account::put(call, input.parse()?),
        "AddTagsToCertificate" => tags::add(call, &input.parse()?),
        "RemoveTagsFromCertificate" => tags::remove(call, &input.parse()?),
        "ListTagsForCertificate" => tags::list(call, &input.parse()?),
        _ => Err(missing(Service::Acm, operation)),
    }
}
