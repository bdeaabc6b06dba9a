//! Certificates of HTTPS listeners, beside the default one.

use serde::{Deserialize, Serialize};

use super::error::{configuration, no_listener, validation};
use super::names;
use crate::services::Call;
use crate::services::acm::AcmState;
use crate::wire::{ApiError, Output};

/// Certificates that a load balancer may have beside the defaults
/// (docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html).
const MOST_CERTIFICATES: usize = 25;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CertificateInput {
    #[serde(default)]
    pub(super) certificate_arn: String,
    is_default: Option<bool>,
}

/// A listener can use only a certificate that was issued.
pub(super) fn check(acm: &AcmState, arn: &str) -> Result<(), ApiError> {
    let certificate = acm
        .certificate(arn)
        .ok_or_else(|| ApiError::sender("CertificateNotFound", format!("Certificate '{arn}' not found")))?;
    if certificate.is_issued() {
        return Ok(());
    }
    let message = format!(
        "The certificate '{arn}' must have a fully-qualified domain name, a supported signature, and a supported key size."
    );
    Err(ApiError::sender("UnsupportedCertificate", message))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CertificatesInput {
    #[serde(default)]
    listener_arn: String,
    #[serde(default)]
    certificates: Vec<CertificateInput>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertificatesOutput {
    certificates: Vec<CertificateItem>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertificateItem {
    certificate_arn: String,
    is_default: bool,
}

pub(super) fn add(call: &mut Call<'_>, input: &CertificatesInput) -> Result<Output, ApiError> {
    names::check_arn(&input.listener_arn, names::Kind::Listener)?;
    if input.certificates.iter().any(|certificate| certificate.is_default == Some(true)) {
        return Err(validation("You cannot set the IsDefault property when adding certificates"));
    }
    let region = call.region();
    let listener = region.elbv2.listeners.get_mut(&input.listener_arn).ok_or_else(no_listener)?;
    if listener.certificate.is_none() {
        return Err(configuration("Certificates can only be added to HTTPS and TLS listeners"));
    }
    for certificate in &input.certificates {
        check(&region.acm, &certificate.certificate_arn)?;
    }
    for certificate in &input.certificates {
        if !listener.more_certificates.contains(&certificate.certificate_arn) {
            listener.more_certificates.push(certificate.certificate_arn.clone());
        }
    }
    if listener.more_certificates.len() > MOST_CERTIFICATES {
        listener.more_certificates.truncate(MOST_CERTIFICATES);
        let message = "You've reached the limit on the number of certificates per load balancer";
        return Err(ApiError::sender("TooManyCertificates", message));
    }
    let item = |certificate: &CertificateInput| CertificateItem {
        certificate_arn: certificate.certificate_arn.clone(),
        is_default: false,
    };
    Output::of(&CertificatesOutput { certificates: input.certificates.iter().map(item).collect() })
}

pub(super) fn remove(call: &mut Call<'_>, input: &CertificatesInput) -> Result<Output, ApiError> {
    let listener = call.region().elbv2.listener_mut(&input.listener_arn)?;
    let gone = |arn: &String| input.certificates.iter().any(|given| given.certificate_arn == *arn);
    if listener.certificate.as_ref().is_some_and(gone) {
        let message = "The default certificate cannot be removed; replace it with ModifyListener";
        return Err(ApiError::sender("OperationNotPermitted", message));
    }
    listener.more_certificates.retain(|arn| !gone(arn));
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    listener_arn: String,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let listener = call.region().elbv2.listener_mut(&input.listener_arn)?;
    let item = |arn: &String, is_default| CertificateItem { certificate_arn: arn.clone(), is_default };
    let default = listener.certificate.iter().map(|arn| item(arn, true));
    let more = listener.more_certificates.iter().map(|arn| item(arn, false));
    Output::of(&CertificatesOutput { certificates: default.chain(more).collect() })
}
