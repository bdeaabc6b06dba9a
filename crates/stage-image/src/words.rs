//! Words and variables of a Dockerfile (docs.docker.com/reference/dockerfile/#environment-replacement).

use std::iter::Peekable;
use std::str::Chars;

/// Splits at blanks outside of quotes; quotes and escapes stay in the words.
pub(crate) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Splits `NAME=value` words into pairs. The old form `NAME value with blanks` is one pair.
pub(crate) fn pairs(text: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = split(text, escape);
    if words.first().is_some_and(|first| !first.contains('=')) {
        return match text.trim().split_once(char::is_whitespace) {
            Some((name, value)) => Ok(vec![(name.to_owned(), value.trim().to_owned())]),
            None => Err(format!("`{text}` has no value: write `{text}=VALUE`")),
        };
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("`{word}` is not of the form NAME=VALUE; put quotes around values with blanks")),
    };
    words.into_iter().map(pair).collect()
}

/// Replaces variables and removes quotes and escapes. A variable that `lookup` does not know is empty.
pub(crate) fn expand(
    text: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut expander = Expander { chars: text.chars().peekable(), escape, lookup };
    expander.until(None)
}

struct Expander<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Expander<'_> {
    /// Expands up to `end`, which is taken, or to the end of the text.
    fn until(&mut self, end: Option<char>) -> Result<String, String> {
        let mut out = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                _ if Some(c) == end => return Ok(out),
                '\'' => self.single_quoted(&mut out)?,
                '"' => self.double_quoted(&mut out)?,
                '$' => out.push_str(&self.variable()?),
                _ if c == self.escape => out.push(self.chars.next().unwrap_or(c)),
                _ => out.push(c),
            }
        }
        match end {
            None => Ok(out),
            Some(end) => Err(format!("`{end}` is missing")),
        }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<(), String> {
        for c in self.chars.by_ref() {
            if c == '\'' {
                return Ok(());
            }
            out.push(c);
        }
        Err("the closing `'` is missing".to_owned())
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<(), String> {
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return Ok(()),
                '$' => out.push_str(&self.variable()?),
                _ if c == self.escape => {
                    // Inside quotes an escape stands for itself before anything ordinary.
                    match self.chars.next_if(|&next| next == '"' || next == '$' || next == self.escape) {
                        Some(next) => out.push(next),
                        None => out.push(c),
                    }
                }
                _ => out.push(c),
            }
        }
        Err("the closing `\"` is missing".to_owned())
    }

    /// After the `$`.
    fn variable(&mut self) -> Result<String, String> {
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                (self.lookup)(&name).unwrap_or_default()
            });
        }
        let name = self.name();
        let value = (self.lookup)(&name);
        let colon = self.chars.next_if_eq(&':').is_some();
        let value = value.filter(|value| !colon || !value.is_empty());
        match self.chars.next() {
            _ if name.is_empty() => Err("a variable's name is missing after `${`".to_owned()),
            Some('}') if !colon => Ok(value.unwrap_or_default()),
            Some('-') => {
                let default = self.until(Some('}'))?;
                Ok(value.unwrap_or(default))
            }
            Some('+') => {
                let other = self.until(Some('}'))?;
                Ok(value.map(|_| other).unwrap_or_default())
            }
            Some('?') => {
                let message = self.until(Some('}'))?;
                value.ok_or_else(|| format!("{name}: {message}"))
            }
            _ => Err(format!(
                "`${{{name}…` is neither `${{{name}}}` nor one of the forms with `:-`, `:+`, `:?`"
            )),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        let lookup = |name: &str| match name {
            "A" => Some("a b".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand(text, '\\', &lookup).unwrap_or_else(|error| format!("error: {error}"))
    }

    #[test]
    fn variables_are_replaced() {
        assert_eq!(expanded("x$A.${A}y"), "xa b.a by");
        assert_eq!(expanded("$NONE|${NONE:-d}|${EMPTY:-d}|${EMPTY-d}"), "|d|d|");
        assert_eq!(expanded("${A:+set}|${NONE:+set}|${NONE:-${A}}"), "set||a b");
        assert_eq!(expanded("${NONE:?must be given}"), "error: NONE: must be given");
        assert_eq!(expanded("5$"), "5$");
        assert!(expanded("${A").starts_with("error"));
    }

    #[test]
    fn quotes_and_escapes_disappear() {
        assert_eq!(expanded(r#"'$A' "$A" \$A "\$A" a\ b"#), "$A a b $A $A a b");
        assert_eq!(expanded(r#""a\nb\\""#), r"a\nb\");
        assert!(expanded("'open").starts_with("error"));
    }

    #[test]
    fn pairs_come_in_two_forms() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs(r#"A="x y"  B=c\ d E="#, '\\'),
            Ok(vec![pair("A", r#""x y""#), pair("B", r"c\ d"), pair("E", "")])
        );
        assert_eq!(pairs("A some  value", '\\'), Ok(vec![pair("A", "some  value")]));
        assert!(pairs("A=1 B", '\\').is_err());
        assert!(pairs("A", '\\').is_err());
    }
}
