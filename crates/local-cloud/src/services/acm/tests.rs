use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::authority::Authority;
use crate::services::elbv2::testing::Cloud;
use crate::wire::{ApiError, Service};

fn ask(cloud: &Cloud, operation: &str, parameters: Value) -> Result<Value, ApiError> {
    cloud.ask(Service::Acm, operation, parameters)
}

fn refused(cloud: &Cloud, operation: &str, parameters: Value) -> String {
    let error = ask(cloud, operation, parameters).expect_err("refused");
    format!("{}: {}", error.code, error.message)
}

/// A blob on the wire: base64 of PEM.
fn blob(pem: &str) -> String {
    STANDARD.encode(pem)
}

#[test]
fn a_region_begins_with_a_certificate_whose_issuer_can_be_trusted() {
    let cloud = Cloud::new();
    let all = ask(&cloud, "ListCertificates", json!({ "CertificateStatuses": ["ISSUED"] })).expect("list");
    let summary = &all["CertificateSummaryList"][0];
    assert_eq!(summary["DomainName"], "pipeline.test");
    let arn = json!({ "CertificateArn": summary["CertificateArn"] });
    let detail = ask(&cloud, "DescribeCertificate", arn.clone()).expect("shown")["Certificate"].clone();
    assert_eq!(detail["SubjectAlternativeNames"], json!(["pipeline.test", "*.pipeline.test"]));
    assert_eq!(detail["Issuer"], "pipeline embedded cloud CA");
    let pem = ask(&cloud, "GetCertificate", arn).expect("shown");
    assert!(pem["CertificateChain"].as_str().expect("a chain").contains("BEGIN CERTIFICATE"));
    assert_eq!(pem.get("PrivateKey"), None, "the key stays here");
}

#[test]
fn a_requested_certificate_is_pending_at_first() {
    let cloud = Cloud::new();
    let request =
        json!({ "DomainName": "App.Example.com", "ValidationMethod": "DNS", "IdempotencyToken": "t" });
    let arn = ask(&cloud, "RequestCertificate", request.clone()).expect("made");
    assert_eq!(ask(&cloud, "RequestCertificate", request).expect("made"), arn, "the token tells");
    let detail = ask(&cloud, "DescribeCertificate", arn.clone()).expect("shown")["Certificate"].clone();
    assert_eq!(
        (&detail["Status"], &detail["DomainName"]),
        (&json!("PENDING_VALIDATION"), &json!("app.example.com"))
    );
    assert_eq!(detail["DomainValidationOptions"][0]["ResourceRecord"]["Type"], "CNAME");
    assert!(refused(&cloud, "GetCertificate", arn.clone()).starts_with("RequestInProgressException: "));
    ask(&cloud, "DeleteCertificate", arn.clone()).expect("deleted");
    assert!(refused(&cloud, "DescribeCertificate", arn).starts_with("ResourceNotFoundException: "));
}

#[test]
fn only_a_pair_that_belongs_together_is_imported() {
    let cloud = Cloud::new();
    let authority = Authority::new().expect("an authority");
    let names = ["one.test".to_owned()];
    let now = jiff::Timestamp::now();
    let (one, other) =
        (authority.issue(&names, now).expect("issued"), authority.issue(&names, now).expect("issued"));
    let pair =
        |certificate: &str, key: &str| json!({ "Certificate": blob(certificate), "PrivateKey": blob(key) });
    insta::assert_snapshot!(
        refused(&cloud, "ImportCertificate", pair(&one.certificate, &other.private_key)),
        @"ValidationException: The private key does not match the certificate's public key."
    );
    insta::assert_snapshot!(
        refused(&cloud, "ImportCertificate", pair("no PEM", &one.private_key)),
        @"ValidationException: The certificate is not PEM-encoded or is not valid."
    );
    let both = format!("{}{}", one.certificate, authority.certificate);
    assert!(
        refused(&cloud, "ImportCertificate", pair(&both, &one.private_key))
            .contains("more than one certificate")
    );
    let arn = ask(&cloud, "ImportCertificate", pair(&one.certificate, &one.private_key)).expect("imported");
    let detail = ask(&cloud, "DescribeCertificate", arn).expect("shown")["Certificate"].clone();
    assert_eq!((&detail["Type"], &detail["Status"]), (&json!("IMPORTED"), &json!("ISSUED")));
    assert_eq!(detail["KeyAlgorithm"], "EC_prime256v1");
}

#[test]
fn a_certificate_in_use_stays() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let group = cloud.target_group("blue");
    let listener = cloud.https_listener(&balancer, 443, &group);
    let all = ask(&cloud, "ListCertificates", json!({})).expect("list");
    let arn = json!({ "CertificateArn": all["CertificateSummaryList"][0]["CertificateArn"] });
    assert!(refused(&cloud, "DeleteCertificate", arn.clone()).starts_with("ResourceInUseException: "));
    let detail = ask(&cloud, "DescribeCertificate", arn.clone()).expect("shown");
    assert_eq!(detail["Certificate"]["InUseBy"], json!([balancer]));
    cloud.ok("DeleteListener", json!({ "ListenerArn": listener }));
    ask(&cloud, "DeleteCertificate", arn).expect("deleted");
}

#[test]
fn names_that_are_no_domains_are_refused() {
    let cloud = Cloud::new();
    for name in ["localhost", "a..b", "-a.test", "a.*.test", ""] {
        let error = refused(&cloud, "RequestCertificate", json!({ "DomainName": name }));
        assert!(error.starts_with("ValidationException: 1 validation error detected"), "{error}");
    }
}

#[test]
fn events_of_an_expiry_are_set_for_the_account() {
    let cloud = Cloud::new();
    let days = |cloud: &Cloud| {
        let answer = ask(cloud, "GetAccountConfiguration", json!({})).expect("shown");
        answer["ExpiryEvents"]["DaysBeforeExpiry"].clone()
    };
    assert_eq!(days(&cloud), 45);
    let set = json!({ "IdempotencyToken": "a", "ExpiryEvents": { "DaysBeforeExpiry": 10 } });
    ask(&cloud, "PutAccountConfiguration", set).expect("set");
    assert_eq!(days(&cloud), 10);
}

#[test]
fn a_certificate_says_whether_it_may_leave() {
    let cloud = Cloud::new();
    let request = json!({ "DomainName": "app.test", "Options": { "Export": "ENABLED" } });
    let arn = ask(&cloud, "RequestCertificate", request).expect("made");
    let detail = ask(&cloud, "DescribeCertificate", arn.clone()).expect("shown")["Certificate"].clone();
    assert_eq!(detail["Options"]["Export"], "ENABLED");
    let mut change = arn.clone();
    change["Options"] = json!({ "Export": "DISABLED" });
    ask(&cloud, "UpdateCertificateOptions", change).expect("changed");
    let detail = ask(&cloud, "DescribeCertificate", arn).expect("shown")["Certificate"].clone();
    assert_eq!(detail["Options"]["Export"], "DISABLED");
    assert_eq!(detail["Options"]["CertificateTransparencyLoggingPreference"], "ENABLED");
}
