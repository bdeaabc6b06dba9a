//! Pages of the Describe operations.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::constraint;
use crate::wire::ApiError;

/// Items on a page unless fewer are asked for.
const MOST: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Page {
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl Page {
    /// One page, and the token of the next.
    pub(super) fn of<T>(&self, items: Vec<T>) -> Result<(Vec<T>, Option<String>), ApiError> {
        let wrong = || ApiError::sender("InvalidNextTokenException", "The next token is not valid.");
        let start = match self.next_token.as_deref() {
            None | Some("") => 0,
            Some(token) => position(token).ok_or_else(wrong)?,
        };
        let size = self.size()?;
        let next = start.saturating_add(size);
        let token = (items.len() > next).then(|| URL_SAFE_NO_PAD.encode(next.to_string()));
        Ok((items.into_iter().skip(start).take(size).collect(), token))
    }

    fn size(&self) -> Result<usize, ApiError> {
        let Some(asked) = self.max_results else { return Ok(MOST) };
        usize::try_from(asked).ok().filter(|asked| (1..=MOST).contains(asked)).ok_or_else(|| {
            let text = format!("Member must have value between 1 and {MOST}");
            constraint(&asked.to_string(), "maxResults", &text)
        })
    }
}

fn position(token: &str) -> Option<usize> {
    std::str::from_utf8(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?.parse().ok()
}
