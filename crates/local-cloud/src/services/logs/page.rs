//! Lists come in pages: a token says where the next one begins.

use super::errors;
use crate::wire::ApiError;

/// One page of `items`, of `limit` (`most` if not given), and the token of the next.
pub(super) fn of<T>(
    items: Vec<T>,
    limit: Option<i64>,
    most: usize,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = match limit {
        None => most,
        Some(limit) => {
            usize::try_from(limit).ok().filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
                let text = format!("Member must have value less than or equal to {most}");
                errors::constraint(&limit.to_string(), "limit", &text)
            })?
        }
    };
    let start = match token {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|position| position.parse::<usize>().ok())
            .ok_or_else(|| errors::invalid("The specified nextToken is invalid."))?,
    };
    let next = start.saturating_add(size);
    let token = (items.len() > next).then(|| format!("page-{next}"));
    Ok((items.into_iter().skip(start).take(size).collect(), token))
}
