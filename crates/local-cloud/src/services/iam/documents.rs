//! Policy documents: what IAM reads in one before it keeps it.
//!
//! Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html

use serde_json::{Map, Value};

use crate::wire::ApiError;

/// Refuses what is no policy of an identity: one that says who may do something, or not on what.
pub(super) fn check_identity(document: &str) -> Result<(), ApiError> {
    for statement in &statements(document)? {
        check_effect(statement)?;
        if has_any(statement, ["Principal", "NotPrincipal"]) {
            return Err(malformed("Policy document should not specify a principal."));
        }
        if !has_any(statement, ["Action", "NotAction"]) {
            return Err(malformed("Policy statement must contain actions."));
        }
        if !has_any(statement, ["Resource", "NotResource"]) {
            return Err(malformed("Policy statement must contain resources."));
        }
    }
    Ok(())
}

/// Refuses what is no trust policy: the role itself is its resource, so it names none.
pub(super) fn check_trust(document: &str) -> Result<(), ApiError> {
    for statement in &statements(document)? {
        check_effect(statement)?;
        if !has_any(statement, ["Principal", "NotPrincipal"]) {
            return Err(malformed("Missing required field Principal"));
        }
        if !has_any(statement, ["Action", "NotAction"]) {
            return Err(malformed("Missing required field Action"));
        }
        if let Some(field) =
            ["Resource", "NotResource"].into_iter().find(|name| statement.contains_key(*name))
        {
            return Err(malformed(&format!("Has prohibited field {field}")));
        }
    }
    Ok(())
}

/// The statements of a document, which may be one or a list.
fn statements(document: &str) -> Result<Vec<Map<String, Value>>, ApiError> {
    let Ok(Value::Object(mut policy)) = serde_json::from_str(document) else {
        return Err(syntax_errors());
    };
    match policy.remove("Statement") {
        Some(Value::Array(statements)) => statements.into_iter().map(statement).collect(),
        Some(single) => Ok(vec![statement(single)?]),
        None => Err(malformed("Missing required field Statement")),
    }
}

fn statement(value: Value) -> Result<Map<String, Value>, ApiError> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(syntax_errors()),
    }
}

fn check_effect(statement: &Map<String, Value>) -> Result<(), ApiError> {
    match statement.get("Effect").map(Value::as_str) {
        Some(Some("Allow" | "Deny")) => Ok(()),
        Some(_) => Err(syntax_errors()),
        None => Err(malformed("Missing required field Effect")),
    }
}

fn has_any(statement: &Map<String, Value>, names: [&str; 2]) -> bool {
    names.iter().any(|name| statement.contains_key(*name))
}

fn syntax_errors() -> ApiError {
    malformed("Syntax errors in policy.")
}

fn malformed(message: &str) -> ApiError {
    ApiError::sender("MalformedPolicyDocument", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a document with this statement is told.
    fn told(check: fn(&str) -> Result<(), ApiError>, statement: &Value) -> String {
        let document = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        check(&document).map_or_else(|error| error.message, |()| "fine".to_owned())
    }

    #[test]
    fn an_identity_policy_says_what_and_on_what_but_not_who() {
        let told = |statement: Value| told(check_identity, &statement);
        assert_eq!(told(json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*" })), "fine");
        assert_eq!(told(json!([{ "Effect": "Deny", "NotAction": ["s3:*"], "NotResource": "*" }])), "fine");
        assert_eq!(told(json!([{ "Action": "s3:*", "Resource": "*" }])), "Missing required field Effect");
        assert_eq!(told(json!([{ "Effect": "allow" }])), "Syntax errors in policy.");
        assert_eq!(told(json!(["all"])), "Syntax errors in policy.");
        assert_eq!(
            told(json!([{ "Effect": "Allow", "Resource": "*" }])),
            "Policy statement must contain actions."
        );
        assert_eq!(
            told(json!([{ "Effect": "Allow", "Action": "s3:*" }])),
            "Policy statement must contain resources."
        );
        assert_eq!(
            told(json!([{ "Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": "*" }])),
            "Policy document should not specify a principal."
        );
        let without = check_identity("{}").expect_err("refused");
        assert_eq!(without.message, "Missing required field Statement");
    }

    #[test]
    fn a_trust_policy_says_who_and_names_no_resource() {
        let told = |statement: Value| told(check_trust, &statement);
        let mut trust =
            json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": "123456789012" } });
        assert_eq!(told(trust.clone()), "fine");
        trust["Resource"] = json!("*");
        assert_eq!(told(trust), "Has prohibited field Resource");
        assert_eq!(
            told(json!([{ "Effect": "Allow", "Action": "sts:AssumeRole" }])),
            "Missing required field Principal"
        );
        assert_eq!(
            told(json!([{ "Effect": "Allow", "Principal": { "Service": "ecs.amazonaws.com" } }])),
            "Missing required field Action"
        );
    }
}
