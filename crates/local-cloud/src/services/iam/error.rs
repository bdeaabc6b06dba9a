//! IAM's errors.

use std::fmt::Display;

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
    Err(violates(parameter, name, &constraint))
}

/// A parameter whose value is not what the API's model allows.
pub(super) fn violates(parameter: &str, value: impl Display, constraint: &str) -> ApiError {
    let message = format!(
        "1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy constraint: {constraint}"
    );
    ApiError::sender("ValidationError", message)
}

/// Paths: `/`, or printable characters between two slashes.
pub(super) fn check_path(path: &str) -> Result<(), ApiError> {
    if path.len() > 512 {
        return Err(violates("path", path, "Member must have length less than or equal to 512"));
    }
    let inner = path.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    let is_path = inner.is_some_and(|inner| !inner.is_empty() && inner.chars().all(|c| c.is_ascii_graphic()));
    if path == "/" || is_path {
        return Ok(());
    }
    let message = "The specified value for path is invalid. It must begin and end with / and contain only \
                   alphanumeric characters and/or / characters.";
    Err(ApiError::sender("ValidationError", message))
}

/// Refuses a word that is none of `words`.
pub(super) fn check_word(parameter: &str, word: Option<&str>, words: &[&str]) -> Result<(), ApiError> {
    match word.filter(|word| !words.contains(word)) {
        None => Ok(()),
        Some(word) => {
            let constraint = format!("Member must satisfy enum value set: [{}]", words.join(", "));
            Err(violates(parameter, word, &constraint))
        }
    }
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

    #[test]
    fn paths_begin_and_end_with_a_slash() {
        for path in ["/", "/team/", "/team/web.1/"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        for path in ["", "team/", "/team", "//", "/a b/", &format!("/{}/", "a".repeat(511))] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}
