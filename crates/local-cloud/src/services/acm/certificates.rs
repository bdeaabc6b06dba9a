//! Looking at certificates, and deleting them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Certificate, facts, validation};
use crate::services::Call;
use crate::wire::{ApiError, EpochSeconds, Output};
use crate::world::Region;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ArnInput {
    #[serde(default)]
    certificate_arn: String,
}

/// ARNs of the load balancers that use a certificate.
fn users(region: &Region, arn: &str) -> Vec<String> {
    let mut users: Vec<String> = Vec::new();
    for listener in region.elbv2.listeners.values() {
        let mut used = listener.certificate.iter().chain(&listener.more_certificates);
        if used.any(|used| used == arn) && !users.contains(&listener.load_balancer_arn) {
            users.push(listener.load_balancer_arn.clone());
        }
    }
    users
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeOutput {
    certificate: Detail,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    certificate_arn: String,
    domain_name: String,
    subject_alternative_names: Vec<String>,
    domain_validation_options: Option<Vec<DomainValidation>>,
    serial: Option<String>,
    subject: Option<String>,
    issuer: Option<String>,
    created_at: Option<EpochSeconds>,
    issued_at: Option<EpochSeconds>,
    imported_at: Option<EpochSeconds>,
    status: &'static str,
    not_before: Option<EpochSeconds>,
    not_after: Option<EpochSeconds>,
    key_algorithm: String,
    signature_algorithm: String,
    in_use_by: Vec<String>,
    r#type: &'static str,
    key_usages: Vec<Named>,
    extended_key_usages: Vec<Usage>,
    renewal_eligibility: &'static str,
    options: Options,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    name: &'static str,
    #[serde(rename = "OID")]
    oid: &'static str,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Options {
    certificate_transparency_logging_preference: Option<String>,
    export: Option<String>,
}

fn switch(on: bool) -> Option<String> {
    Some(if on { "ENABLED" } else { "DISABLED" }.to_owned())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DomainValidation {
    domain_name: String,
    validation_domain: String,
    validation_status: &'static str,
    validation_method: String,
    resource_record: Option<ResourceRecord>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecord {
    name: String,
    r#type: &'static str,
    value: String,
}

fn status(certificate: &Certificate) -> &'static str {
    if certificate.is_issued() { "ISSUED" } else { "PENDING_VALIDATION" }
}

/// The record by which a domain is validated. A name and its wildcard share one.
fn record(domain: &str) -> ResourceRecord {
    let base = domain.strip_prefix("*.").unwrap_or(domain);
    let digits = |what: &str| hex::encode(&Sha256::digest(format!("{what}/{base}"))[..16]);
    ResourceRecord {
        name: format!("_{}.{base}.", digits("name")),
        r#type: "CNAME",
        value: format!("_{}.acm-validations.aws.", digits("value")),
    }
}

fn validations(certificate: &Certificate) -> Option<Vec<DomainValidation>> {
    if certificate.imported {
        return None;
    }
    let status = if certificate.is_issued() { "SUCCESS" } else { "PENDING_VALIDATION" };
    let validation = |domain: &String| DomainValidation {
        domain_name: domain.clone(),
        validation_domain: domain.clone(),
        validation_status: status,
        validation_method: certificate.validation_method.clone(),
        resource_record: (certificate.validation_method == "DNS").then(|| record(domain)),
    };
    Some(certificate.names.iter().map(validation).collect())
}

pub(super) fn describe(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    let region = call.region();
    let certificate = region.acm.find(&input.certificate_arn)?;
    let issued = certificate.is_issued();
    let facts = facts::read(&certificate.certificate).filter(|_| issued);
    let imported = certificate.imported;
    let in_use_by = users(region, &certificate.arn);
    let signature_algorithm = facts.as_ref().map(|facts| facts.signature_algorithm.clone());
    Output::of(&DescribeOutput {
        certificate: Detail {
            certificate_arn: certificate.arn.clone(),
            domain_name: certificate.domain_name.clone(),
            subject_alternative_names: certificate.names.clone(),
            domain_validation_options: validations(certificate),
            serial: facts.as_ref().map(|facts| facts.serial.clone()),
            subject: facts.as_ref().map(|facts| facts.subject.clone()),
            issuer: facts.as_ref().map(|facts| facts.issuer.clone()),
            created_at: Some(EpochSeconds(certificate.created)),
            issued_at: (issued && !imported).then_some(EpochSeconds(certificate.issued_at)),
            imported_at: imported.then_some(EpochSeconds(certificate.issued_at)),
            status: status(certificate),
            not_before: facts.as_ref().map(|facts| EpochSeconds(facts.not_before)),
            not_after: facts.as_ref().map(|facts| EpochSeconds(facts.not_after)),
            // Described with a hyphen, asked for with an underscore.
            key_algorithm: certificate.key_algorithm.replacen("RSA_", "RSA-", 1),
            signature_algorithm: signature_algorithm.unwrap_or_else(|| "SHA256WITHRSA".to_owned()),
            renewal_eligibility: if imported || in_use_by.is_empty() { "INELIGIBLE" } else { "ELIGIBLE" },
            in_use_by,
            r#type: if imported { "IMPORTED" } else { "AMAZON_ISSUED" },
            key_usages: vec![Named { name: "DIGITAL_SIGNATURE" }, Named { name: "KEY_ENCIPHERMENT" }],
            extended_key_usages: vec![
                Usage { name: "TLS_WEB_SERVER_AUTHENTICATION", oid: "1.3.6.1.5.5.7.3.1" },
                Usage { name: "TLS_WEB_CLIENT_AUTHENTICATION", oid: "1.3.6.1.5.5.7.3.2" },
            ],
            options: Options {
                certificate_transparency_logging_preference: switch(certificate.transparency),
                export: switch(certificate.exportable),
            },
        },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInput {
    certificate_statuses: Option<Vec<String>>,
    includes: Option<Includes>,
    next_token: Option<String>,
    max_items: Option<usize>,
}

#[derive(Deserialize)]
struct Includes {
    #[serde(rename = "keyTypes")]
    key_types: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    next_token: Option<String>,
    certificate_summary_list: Vec<Summary>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    certificate_arn: String,
    domain_name: String,
    subject_alternative_name_summaries: Vec<String>,
    has_additional_subject_alternative_names: bool,
    status: &'static str,
    r#type: &'static str,
    key_algorithm: String,
    in_use: bool,
    renewal_eligibility: &'static str,
    created_at: EpochSeconds,
}

/// Unlike AWS, which shows only RSA certificates when no key types are named, all are shown: the
/// seeded one has an elliptic key.
pub(super) fn list(call: &mut Call<'_>, input: &ListInput) -> Result<Output, ApiError> {
    let region = call.region();
    let start = match &input.next_token {
        None => 0,
        Some(token) => token.parse::<usize>().map_err(|_| validation("The NextToken is not valid."))?,
    };
    let most = input.max_items.unwrap_or(1000);
    if !(1..=1000).contains(&most) {
        return Err(validation(format!(
            "1 validation error detected: Value '{most}' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 1000"
        )));
    }
    let statuses = input.certificate_statuses.as_ref().filter(|wanted| !wanted.is_empty());
    let types = input.includes.as_ref().and_then(|includes| includes.key_types.as_ref());
    let found: Vec<Summary> = region
        .acm
        .certificates
        .values()
        .filter(|certificate| {
            statuses.is_none_or(|wanted| wanted.iter().any(|name| name == status(certificate)))
        })
        .filter(|certificate| types.is_none_or(|wanted| wanted.contains(&certificate.key_algorithm)))
        .map(|certificate| summary(region, certificate))
        .collect();
    let next_token = (found.len() > start.saturating_add(most)).then(|| (start + most).to_string());
    let certificate_summary_list = found.into_iter().skip(start).take(most).collect();
    Output::of(&ListOutput { next_token, certificate_summary_list })
}

fn summary(region: &Region, certificate: &Certificate) -> Summary {
    let in_use = !users(region, &certificate.arn).is_empty();
    Summary {
        certificate_arn: certificate.arn.clone(),
        domain_name: certificate.domain_name.clone(),
        subject_alternative_name_summaries: certificate.names.clone(),
        has_additional_subject_alternative_names: false,
        status: status(certificate),
        r#type: if certificate.imported { "IMPORTED" } else { "AMAZON_ISSUED" },
        key_algorithm: certificate.key_algorithm.replacen("RSA_", "RSA-", 1),
        in_use,
        renewal_eligibility: if in_use && !certificate.imported { "ELIGIBLE" } else { "INELIGIBLE" },
        created_at: EpochSeconds(certificate.created),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetOutput<'a> {
    certificate: &'a str,
    certificate_chain: Option<&'a str>,
}

pub(super) fn get(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    let certificate = call.region().acm.find(&input.certificate_arn)?;
    if !certificate.is_issued() {
        let message = format!("Certificate {} is not issued yet.", certificate.arn);
        return Err(ApiError::sender("RequestInProgressException", message));
    }
    Output::of(&GetOutput {
        certificate: &certificate.certificate,
        certificate_chain: certificate.chain.as_deref(),
    })
}

pub(super) fn delete(call: &mut Call<'_>, input: &ArnInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let region = call.region();
    let arn = &region.acm.find(&input.certificate_arn)?.arn;
    if !users(region, arn).is_empty() {
        let message = format!("Certificate {arn} in account {account} is in use.");
        return Err(ApiError::sender("ResourceInUseException", message));
    }
    region.acm.certificates.shift_remove(&input.certificate_arn);
    Ok(Output::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateOptionsInput {
    #[serde(default)]
    certificate_arn: String,
    options: Options,
}

pub(super) fn update_options(call: &mut Call<'_>, input: &UpdateOptionsInput) -> Result<Output, ApiError> {
    let certificate = call.region().acm.find_mut(&input.certificate_arn)?;
    if let Some(preference) = &input.options.certificate_transparency_logging_preference {
        certificate.transparency = preference != "DISABLED";
    }
    if let Some(export) = &input.options.export {
        certificate.exportable = export == "ENABLED";
    }
    Ok(Output::empty())
}
