//! Lists come in pages: a token says where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::errors;
use crate::wire::ApiError;

/// The part of a list operation's input that asks for a page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Page {
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl Page {
    /// One page of `items`, of at most `most` (the operation's default and limit), and the token of the
    /// next.
    pub(super) fn of<T>(
        &self,
        items: Vec<T>,
        default: usize,
        most: usize,
    ) -> Result<(Vec<T>, Option<String>), ApiError> {
        let size = match self.max_results {
            None | Some(0) => default,
            Some(asked) => usize::try_from(asked).ok().filter(|asked| *asked <= most).ok_or_else(|| {
                errors::invalid_parameter(format!("maxResults must be between 1 and {most}."))
            })?,
        };
        let start = match self.next_token.as_deref() {
            None | Some("") => 0,
            Some(token) => position(token).ok_or_else(|| errors::invalid_parameter("Invalid token"))?,
        };
        let next = start.saturating_add(size);
        let token = (items.len() > next).then(|| URL_SAFE_NO_PAD.encode(format!("ecs:{next}")));
        Ok((items.into_iter().skip(start).take(size).collect(), token))
    }
}

fn position(token: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    std::str::from_utf8(&bytes).ok()?.strip_prefix("ecs:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole_list() {
        let mut seen = Vec::new();
        let mut page = Page { max_results: Some(3), next_token: None };
        loop {
            let (items, token) = page.of((0..10).collect(), 100, 100).expect("a page");
            seen.extend(items);
            if token.is_none() {
                break;
            }
            page.next_token = token;
        }
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn bad_tokens_and_sizes_are_refused() {
        let bad = Page { max_results: None, next_token: Some("nonsense".into()) };
        assert_eq!(bad.of(vec![1], 10, 10).expect_err("refused").code, "InvalidParameterException");
        let large = Page { max_results: Some(101), next_token: None };
        assert!(large.of(vec![1], 10, 100).is_err());
    }
}
