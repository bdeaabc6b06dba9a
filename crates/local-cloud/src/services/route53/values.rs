//! Whether the values of a record fit its type. Messages are AWS's, as users report them.
//!
//! Source: docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html

use std::net::{Ipv4Addr, Ipv6Addr};

use super::domain;

const KINDS: [&str; 17] = [
    "A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "SSHFP",
    "SVCB", "TLSA", "TXT",
];

/// Whether there is such a record type.
pub(super) fn is_kind(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// What is wrong with `value` as a record of type `kind`, if something is.
pub(super) fn problem(kind: &str, value: &str) -> Option<String> {
    let fatal = |code: &str, why: &str| {
        Some(format!("Invalid Resource Record: 'FATAL problem: {code} ({why}) encountered with '{value}''"))
    };
    let fields: Vec<&str> = value.split_whitespace().collect();
    match kind {
        "A" if value.parse::<Ipv4Addr>().is_err() => {
            fatal("ARRDATAIllegalIPv4Address", "Value is not a valid IPv4 address")
        }
        "AAAA" if value.parse::<Ipv6Addr>().is_err() => {
            fatal("AAAARRDATAIllegalIPv6Address", "Value is not a valid IPv6 address")
        }
        "CNAME" | "NS" | "PTR" if domain::normalized(value).is_err() => {
            fatal("DomainLabelEmpty", "Domain label is empty or too long")
        }
        "TXT" | "SPF" => match text_problem(value) {
            Some((code, why)) => fatal(code, why),
            None => None,
        },
        "MX" if fields.len() != 2 || fields[0].parse::<u16>().is_err() => {
            fatal("MXRRDATANotTwoFields", "MX record doesn't have 2 fields")
        }
        "SRV" if fields.len() != 4 || fields[..3].iter().any(|field| field.parse::<u16>().is_err()) => {
            fatal("SRVRRDATANotFourFields", "SRV record doesn't have 4 fields")
        }
        "CAA" if fields.len() < 3 || fields[0].parse::<u8>().is_err() => {
            fatal("CAARRDATANotThreeFields", "CAA record doesn't have 3 fields")
        }
        "SOA" if fields.len() != 7 => fatal("SOARRDATANotSevenFields", "SOA record doesn't have 7 fields"),
        _ => None,
    }
}

/// Texts are quoted strings of up to 255 characters.
fn text_problem(value: &str) -> Option<(&'static str, &'static str)> {
    let mut rest = value.trim();
    if rest.is_empty() {
        return Some(("InvalidCharacterString", "Value should be enclosed in quotation marks"));
    }
    while !rest.is_empty() {
        let Some(inside) = rest.strip_prefix('"') else {
            return Some(("InvalidCharacterString", "Value should be enclosed in quotation marks"));
        };
        let mut length = 0;
        let mut escaped = false;
        let end = inside.char_indices().find(|(_, character)| {
            let ends = *character == '"' && !escaped;
            escaped = *character == '\\' && !escaped;
            length += usize::from(!ends && !escaped);
            ends
        });
        let Some((end, _)) = end else {
            return Some(("InvalidCharacterString", "Value should be enclosed in quotation marks"));
        };
        if length > 255 {
            return Some(("CharacterStringTooLong", "Value is too long"));
        }
        rest = inside[end + 1..].trim_start();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_types() {
        let good = [
            ("A", "127.0.0.1"),
            ("AAAA", "::1"),
            ("CNAME", "a.example.com"),
            ("TXT", r#""v=spf1 -all" "a \" b""#),
            ("MX", "10 mail.example.com."),
            ("SRV", "1 2 80 a.example.com."),
            ("CAA", "0 issue \"ca.example.net\""),
        ];
        for (kind, value) in good {
            assert_eq!(problem(kind, value), None, "{kind} {value}");
        }
        let long = format!("\"{}\"", "x".repeat(256));
        let bad = [
            ("A", "localhost"),
            ("AAAA", "127.0.0.1"),
            ("TXT", "bare"),
            ("TXT", "\"open"),
            ("TXT", &long),
            ("MX", "mail"),
        ];
        for (kind, value) in bad {
            assert!(problem(kind, value).is_some_and(|text| text.contains("FATAL")), "{kind} {value}");
        }
    }
}
