//! Which environment is meant, and what it changes in `[vars]` and `[cloud]`.

use std::collections::BTreeMap;

use pipeline_sdk::{Map, StageName, Value};

use super::document::{Entry, Node, Table};
use super::error::ConfigError;
use super::{GivenVar, LoadOptions, suggestion};

/// The environment of a file that names none.
const DEFAULT: &str = "local";

/// The environment that is meant.
///
/// A file that declares environments is asked for no others: a slip of the pen would otherwise
/// create a second copy of everything.
pub(super) fn select(
    root: &Table,
    pipeline: Option<&Entry>,
    options: &LoadOptions,
    errors: &mut Vec<ConfigError>,
) -> String {
    let written = pipeline.and_then(|entry| entry.node.table()?.get("environment"));
    let default = written.and_then(|entry| entry.node.text()).unwrap_or(DEFAULT);
    let name = options.environment.as_deref().unwrap_or(default);
    if StageName::new(name).is_err() {
        let message = format!("`{name}` cannot be the name of an environment");
        let error = match written.filter(|_| options.environment.is_none()) {
            Some(entry) => ConfigError::new(message, entry.node.span.clone(), "this name"),
            None => ConfigError::without_place(message),
        };
        errors.push(error.with_help("use 1 to 64 letters, digits, `-` and `_`, starting with a letter"));
    }
    let declared = root.get("environments").and_then(|entry| entry.node.table());
    if let Some(declared) = declared.filter(|declared| name != default && !declared.contains_key(name)) {
        let names = declared.keys().map(String::as_str).chain([default]);
        let help = suggestion::help("environments", name, names);
        let message = format!("there is no environment `{name}` in the file");
        errors.push(ConfigError::without_place(message).with_help(help));
    }
    name.to_owned()
}

/// The entries of `[section]`, with those of `[environments.NAME.section]` in their places.
pub(super) fn overlaid(root: &Table, environment: &str, section: &str) -> Table {
    let table = |node: &Node| node.table().cloned();
    let mut entries = root.get(section).and_then(|entry| table(&entry.node)).unwrap_or_default();
    let own = root.get("environments").and_then(|entry| {
        let of_environment = &entry.node.table()?.get(environment)?.node;
        table(&of_environment.table()?.get(section)?.node)
    });
    entries.extend(own.unwrap_or_default());
    entries
}

/// The variables of the file, then those of the caller.
pub(super) fn variables(
    entries: &Table,
    given: &BTreeMap<String, GivenVar>,
    errors: &mut Vec<ConfigError>,
) -> Map<String, Value> {
    let mut vars = Map::new();
    for (name, entry) in entries {
        if !is_identifier(name) {
            let error = ConfigError::new(
                format!("`{name}` is not a name for a variable"),
                entry.key.clone(),
                "this name",
            )
            .with_help("use letters, digits and `_`, starting with a letter");
            errors.push(error);
        }
        let value = entry.node.to_value();
        if contains_expression(&value) {
            let error = ConfigError::new(
                "a variable cannot contain expressions",
                entry.node.span.clone(),
                "in this value",
            )
            .with_help("use the expression where the variable is used");
            errors.push(error);
        }
        vars.insert(name.clone(), value);
    }
    for (name, GivenVar { text, origin }) in given {
        match read_as(vars.get(name), text) {
            Some(value) => {
                vars.insert(name.clone(), value);
            }
            None => {
                let like = vars.get(name).map(Value::to_string).unwrap_or_default();
                let message = format!("`{origin}={text}` does not fit: the file has `{name} = {like}`");
                errors.push(ConfigError::without_place(message).with_help("give a value of the same type"));
            }
        }
    }
    vars
}

/// `text` as a value of the type that `like` has; a string if there is none.
fn read_as(like: Option<&Value>, text: &str) -> Option<Value> {
    match like {
        None | Some(Value::String(_)) => Some(Value::from(text)),
        Some(like) => serde_json::from_str::<Value>(text)
            .ok()
            .filter(|value| std::mem::discriminant(value) == std::mem::discriminant(like)),
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn contains_expression(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${{"),
        Value::Array(items) => items.iter().any(contains_expression),
        Value::Object(fields) => fields.values().any(contains_expression),
        _ => false,
    }
}
