//! Domain names as Route 53 writes them: lower case, with a final dot, unusual characters in octal.
//!
//! Source: docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html

use crate::wire::ApiError;

/// `name` in Route 53's form: `*.Example.com` becomes `\052.example.com.`.
///
/// # Errors
/// `InvalidDomainName` for names, or labels, that are empty or too long.
pub(super) fn normalized(name: &str) -> Result<String, ApiError> {
    let invalid = || ApiError::sender("InvalidDomainName", format!("The domain name {name} is not valid"));
    let without_dot = name.strip_suffix('.').unwrap_or(name);
    if without_dot.is_empty() || without_dot.len() > 253 {
        return Err(invalid());
    }
    let mut normalized = String::with_capacity(name.len() + 1);
    for label in without_dot.split('.') {
        let label = unescaped(label).ok_or_else(invalid)?;
        if label.is_empty() || label.len() > 63 {
            return Err(invalid());
        }
        normalized.extend(label.iter().map(|byte| written(*byte)));
        normalized.push('.');
    }
    Ok(normalized)
}

fn written(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        b'A'..=b'Z' => char::from(byte.to_ascii_lowercase()).to_string(),
        other => format!("\\{other:03o}"),
    }
}

/// The bytes of a label that may hold `\ooo`.
fn unescaped(label: &str) -> Option<Vec<u8>> {
    let mut bytes = label.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        let digits: String = bytes.by_ref().take(3).map(char::from).collect();
        plain.push(u8::from_str_radix(&digits, 8).ok().filter(|_| digits.len() == 3)?);
    }
    Some(plain)
}

/// A normalized name as DNS asks for it: `\052.example.com.` becomes `*.example.com`.
pub(super) fn plain(name: &str) -> String {
    name.trim_end_matches('.').replace("\\052", "*")
}

/// What names are ordered by: their labels from the last to the first.
pub(super) fn order(name: &str) -> Vec<&str> {
    name.trim_end_matches('.').rsplit('.').collect()
}

/// Whether `name` is `zone` or below it. Both normalized.
pub(super) fn is_within(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        assert_eq!(normalized("*.Example.com").expect("valid"), "\\052.example.com.");
        assert_eq!(normalized("\\052.example.com.").expect("valid"), "\\052.example.com.");
        assert_eq!(plain("\\052.example.com."), "*.example.com");
        for bad in ["", ".", "a..b", &"a".repeat(64), "a\\9.b"] {
            assert!(normalized(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn zones_contain_whole_labels_only() {
        assert!(is_within("a.example.com.", "example.com.") && is_within("example.com.", "example.com."));
        assert!(!is_within("badexample.com.", "example.com."));
    }
}
