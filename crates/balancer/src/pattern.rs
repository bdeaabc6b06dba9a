//! Patterns with `*` and `?`, as the conditions of listener rules use them.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    bytes: Box<[u8]>,
    fold_case: bool,
}

impl Pattern {
    /// Case matters.
    pub(super) fn exact_case(pattern: &str) -> Self {
        Self { bytes: pattern.as_bytes().into(), fold_case: false }
    }

    /// The case of ASCII letters does not matter.
    pub(super) fn any_case(pattern: &str) -> Self {
        Self { bytes: pattern.to_ascii_lowercase().into_bytes().into(), fold_case: true }
    }

    /// Whether the whole text matches. Linear in practice: only the last `*` is ever reconsidered.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let pattern = &self.bytes;
        let (mut p, mut t) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    last_star = Some((p, t));
                    p += 1;
                }
                Some(&wanted) if wanted == b'?' || wanted == self.fold(text[t]) => {
                    p += 1;
                    t += 1;
                }
                _ => match last_star {
                    Some((star, from)) => {
                        last_star = Some((star, from + 1));
                        p = star + 1;
                        t = from + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|&byte| byte == b'*')
    }

    fn fold(&self, byte: u8) -> u8 {
        if self.fold_case { byte.to_ascii_lowercase() } else { byte }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of the pattern language, written as a recursion.
    fn oracle(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((b'*', rest)), None) => oracle(rest, text),
            (Some((b'*', rest)), Some((_, shorter))) => oracle(rest, text) || oracle(pattern, shorter),
            (Some((b'?', rest)), Some((_, shorter))) => oracle(rest, shorter),
            (Some((a, rest)), Some((b, shorter))) => a == b && oracle(rest, shorter),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_oracle(pattern in "[ab/*?]{0,12}", text in "[ab/]{0,16}") {
            prop_assert_eq!(
                Pattern::exact_case(&pattern).matches(text.as_bytes()),
                oracle(pattern.as_bytes(), text.as_bytes())
            );
        }

        #[test]
        fn case_is_folded(text in "[a-zA-Z]{0,12}") {
            prop_assert!(Pattern::any_case(&text.to_uppercase()).matches(text.to_lowercase().as_bytes()));
        }
    }

    #[test]
    fn examples_of_the_user_guide() {
        assert!(Pattern::exact_case("/img/*/pics").matches(b"/img/a/b/pics"));
        assert!(!Pattern::exact_case("/img/*").matches(b"/IMG/a"));
        assert!(Pattern::any_case("*.Example.com").matches(b"TEST.example.COM"));
        assert!(!Pattern::any_case("*.example.com").matches(b"example.com"));
    }
}
