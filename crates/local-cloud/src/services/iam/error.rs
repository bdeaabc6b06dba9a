//! IAM's errors.

use http::StatusCode;

use crate::wire::ApiError;

pub(super) fn no_such_entity(message: impl Into<String>) -> ApiError {
    ApiError::sender("NoSuchEntity", message).with_status(StatusCode::NOT_FOUND)
}

pub(super) fn already_exists(message: impl Into<String>) -> ApiError {
    ApiError::sender("EntityAlreadyExists", message).with_status(StatusCode::CONFLICT)
}

pub(super) fn delete_conflict(message: impl Into<String>) -> ApiError {
    ApiError::sender("DeleteConflict", message).with_status(StatusCode::CONFLICT)
}

pub(super) fn no_role(name: &str) -> ApiError {
    no_such_entity(format!("The role with name {name} cannot be found."))
}

/// Refuses what is not a JSON object.
pub(super) fn check_document(document: &str) -> Result<(), ApiError> {
    match serde_json::from_str::<serde_json::Value>(document) {
        Ok(serde_json::Value::Object(_)) => Ok(()),
        _ => Err(ApiError::sender("MalformedPolicyDocument", "Syntax errors in policy.")),
    }
}

/// Names of roles, policies and profiles: `[\w+=,.@-]+` up to `longest` characters.
pub(super) fn check_name(parameter: &str, name: &str, longest: usize) -> Result<(), ApiError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let constraint = if name.is_empty() || name.len() > longest {
        format!("Member must have length less than or equal to {longest}")
    } else if !name.chars().all(legal) {
        r"Member must satisfy regular expression pattern: [\w+=,.@-]+".to_owned()
    } else {
        return Ok(());
    };
    let message = format!(
        "1 validation error detected: Value '{name}' at '{parameter}' failed to satisfy constraint: {constraint}"
    );
    Err(ApiError::sender("ValidationError", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_limits() {
        assert!(check_name("roleName", "a.b-c@d", 64).is_ok());
        assert!(check_name("roleName", &"a".repeat(65), 64).is_err());
        assert!(check_name("roleName", "a b", 64).is_err());
    }
}
