//! Finding a certificate by the domain it covers.

use aws_sdk_acm::types::{CertificateStatus, CertificateSummary};
use pipeline_aws::{Aws, AwsResult};
use pipeline_sdk::StageError;

/// The ARN of the issued certificate that covers `domain`; the one that is valid longest, if several do.
pub(crate) async fn look_up(aws: &Aws, domain: &str) -> Result<String, StageError> {
    let mut pages = aws
        .acm()
        .list_certificates()
        .certificate_statuses(CertificateStatus::Issued)
        .into_paginator()
        .items()
        .send();
    let mut found: Vec<CertificateSummary> = Vec::new();
    while let Some(certificate) = pages.next().await {
        let certificate = certificate.or_fail("acm:ListCertificates")?;
        if covers(&certificate, domain) {
            found.push(certificate);
        }
    }
    found.sort_by_key(|certificate| std::cmp::Reverse(certificate.not_after().map(|at| at.secs())));
    let arn = found.into_iter().find_map(|certificate| certificate.certificate_arn);
    arn.ok_or_else(|| {
        let text =
            format!("no issued certificate covers `{domain}`: request one in ACM, or set `certificate_arn`");
        StageError::input("certificate_domain", text)
    })
}

fn covers(certificate: &CertificateSummary, domain: &str) -> bool {
    let names = certificate.subject_alternative_name_summaries().iter().map(String::as_str);
    names.chain(certificate.domain_name()).any(|name| matches(name, domain))
}

/// A wildcard stands for exactly one label: RFC 6125, section 6.4.3.
fn matches(name: &str, domain: &str) -> bool {
    if name.eq_ignore_ascii_case(domain) {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (name.strip_prefix("*."), domain.split_once('.')) else {
        return false;
    };
    !label.is_empty() && rest.eq_ignore_ascii_case(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label() {
        assert!(matches("example.com", "Example.com"));
        assert!(matches("*.example.com", "www.example.com"));
        assert!(matches("*.example.com", "*.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "a.b.example.com"));
    }
}
