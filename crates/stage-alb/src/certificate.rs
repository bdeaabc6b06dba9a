//! Finding a certificate by the domain it covers.

use pipeline_aws::Aws;
use pipeline_sdk::{StageError, json};
use serde::Deserialize;

/// The ARN of the issued certificate that covers `domain`; the one that is valid longest, if several do.
pub(crate) async fn look_up(aws: &Aws, domain: &str) -> Result<String, StageError> {
    let mut found: Vec<Certificate> = Vec::new();
    let mut wanted = json!({ "CertificateStatuses": ["ISSUED"] });
    loop {
        let page: Certificates = aws.acm().call("acm:ListCertificates", wanted.clone()).await?;
        found.extend(page.list.into_iter().filter(|certificate| covers(certificate, domain)));
        let Some(next) = page.next_token else { break };
        wanted["NextToken"] = json!(next);
    }
    let latest = found.into_iter().max_by(|one, other| one.not_after.total_cmp(&other.not_after));
    latest.map(|certificate| certificate.arn).ok_or_else(|| {
        let text =
            format!("no issued certificate covers `{domain}`: request one in ACM, or set `certificate_arn`");
        StageError::input("certificate_domain", text)
    })
}

/// The answer of ListCertificates.
#[derive(Debug, Deserialize)]
struct Certificates {
    #[serde(default, rename = "CertificateSummaryList")]
    list: Vec<Certificate>,
    #[serde(rename = "NextToken")]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    #[serde(rename = "CertificateArn")]
    arn: String,
    #[serde(default, rename = "DomainName")]
    domain: String,
    #[serde(default, rename = "SubjectAlternativeNameSummaries")]
    names: Vec<String>,
    /// Seconds since 1970.
    #[serde(default, rename = "NotAfter")]
    not_after: f64,
}

fn covers(certificate: &Certificate, domain: &str) -> bool {
    let names = certificate.names.iter().chain([&certificate.domain]);
    names.into_iter().any(|name| matches(name, domain))
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
