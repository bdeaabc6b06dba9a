//! The user's own files with `${name}` in them: task definitions and AppSpecs.
//!
//! The syntax is that of Terraform's `templatefile`, so that files written for it can be used as they
//! are; names may contain `-`, which is why no expression language stands behind it.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline_sdk::{Context, StageError};

/// Reads the file of the input `input`; a relative path starts at the folder of `pipeline.toml`.
///
/// # Errors
/// [`StageError::Input`] if it cannot be read.
pub fn read(cx: &Context, input: &str, path: &str) -> Result<String, StageError> {
    let path = cx.directory().join(Path::new(path));
    std::fs::read_to_string(&path)
        .map_err(|error| StageError::input(input, format!("cannot read {}: {error}", path.display())))
}

/// Puts `values` in the place of every `${name}` in `text`; `$${` stands for `${` itself.
///
/// # Errors
/// [`StageError::Input`] on `input` for a name that is not among `values`, or a `${` without an end.
pub fn fill(input: &str, text: &str, values: &BTreeMap<&str, String>) -> Result<String, StageError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = &from[2..];
            continue;
        }
        filled.push_str(before);
        let Some(end) = from.find('}') else {
            return Err(StageError::input(input, "the file has a `${` without a `}`"));
        };
        let name = from[2..end].trim();
        match values.get(name) {
            Some(value) => filled.push_str(value),
            None => return Err(unknown(input, name, values)),
        }
        rest = &from[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

fn unknown(input: &str, name: &str, values: &BTreeMap<&str, String>) -> StageError {
    let names: Vec<_> = values.keys().copied().collect();
    StageError::input(input, format!("the file uses `${{{name}}}`; there are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_the_rest_is_kept() {
        let values = BTreeMap::from([("image", "a/b:1".to_owned()), ("log-group", "/ecs/b".to_owned())]);
        let filled = fill("app_spec", "${image} ${ log-group } $${image} $5", &values);
        assert_eq!(filled.expect("fills"), "a/b:1 /ecs/b ${image} $5");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let values = BTreeMap::from([("image", String::new()), ("port", String::new())]);
        let error = fill("app_spec", "${prot}", &values).expect_err("refused");
        assert_eq!(error.to_string(), "`app_spec`: the file uses `${prot}`; there are image, port");
        assert!(fill("app_spec", "${image", &values).is_err());
    }
}
