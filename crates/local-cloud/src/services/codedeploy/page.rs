//! Pages of a list and the tokens between them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::ApiError;

/// How many names a list answers at once. CodeDeploy's lists take no size.
const SIZE: usize = 100;

/// The page of `all` that follows `token`, and the token of the page after it.
///
/// A token holds the last name shown, so that what is added or removed between two pages neither
/// repeats nor hides anything else.
pub(super) fn page(all: Vec<String>, token: Option<&str>) -> Result<(Vec<String>, Option<String>), ApiError> {
    let start = match token {
        None => 0,
        Some(token) => {
            let last = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let position = last.and_then(|last| all.iter().position(|name| *name == last));
            1 + position.ok_or_else(|| {
                ApiError::sender(
                    "InvalidNextTokenException",
                    "The next token was specified in an invalid format.",
                )
            })?
        }
    };
    let more = all.len() > start + SIZE;
    let shown: Vec<String> = all.into_iter().skip(start).take(SIZE).collect();
    let next = shown.last().filter(|_| more).map(|last| STANDARD.encode(last));
    Ok((shown, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_the_list_once() {
        let all: Vec<String> = (0..250).map(|n| format!("n{n:03}")).collect();
        let mut seen = Vec::new();
        let mut token = None;
        loop {
            let (shown, next) = page(all.clone(), token.as_deref()).expect("a page");
            seen.extend(shown);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert_eq!(page(all, Some("?")).expect_err("refused").code, "InvalidNextTokenException");
    }
}
