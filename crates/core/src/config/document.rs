//! A TOML document as JSON values that remember where they were written.

use std::ops::Range;

use indexmap::IndexMap;
use pipeline_sdk::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::schema::Step;

/// Where something is in the file, in bytes.
pub(crate) type Span = Range<usize>;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) content: Content,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A string, number, boolean or date (as its text).
    Scalar(Value),
    List(Vec<Node>),
    Table(Table),
}

/// A table in the order of the file.
pub(crate) type Table = IndexMap<String, Entry>;

/// A key of a table and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Span,
    pub(crate) node: Node,
}

impl Node {
    /// The node as plain JSON.
    pub(crate) fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Node::to_value).collect(),
            Content::Table(table) => Value::Object(table_value(table)),
        }
    }

    /// The table, if it is one.
    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.content {
            Content::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Where the value at `path` is; the nearest one above it where the path leads out of the file.
    pub(crate) fn locate(&self, path: &[Step], key: bool) -> Span {
        let Some((step, rest)) = path.split_first() else { return self.span.clone() };
        match (&self.content, step) {
            (Content::Table(table), Step::Key(name)) => match table.get(name) {
                Some(entry) if rest.is_empty() && key => entry.key.clone(),
                Some(entry) => entry.node.locate(rest, key),
                None => self.span.clone(),
            },
            (Content::List(items), Step::Index(index)) => {
                items.get(*index).map_or_else(|| self.span.clone(), |item| item.locate(rest, key))
            }
            _ => self.span.clone(),
        }
    }
}

/// A table as plain JSON.
pub(crate) fn table_value(table: &Table) -> Map<String, Value> {
    table.iter().map(|(key, entry)| (key.clone(), entry.node.to_value())).collect()
}

/// Reads a document; every syntax error of it is reported, duplicate keys included.
pub(crate) fn parse(text: &str) -> Result<Table, Vec<ConfigError>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax_error(error, text)).collect());
    }
    let mut problems = Vec::new();
    let table = read_table(document.get_ref(), &mut problems);
    if problems.is_empty() { Ok(table) } else { Err(problems) }
}

fn syntax_error(error: &toml::de::Error, text: &str) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().trim();
    let (message, help) = if message.contains("duplicate key") {
        let key = text.get(span.clone()).unwrap_or_default();
        (format!("`{key}` is defined twice"), "keep one of them".to_owned())
    } else {
        (format!("not valid TOML: {message}"), "see https://toml.io for the syntax".to_owned())
    };
    ConfigError::new(message, span, "here").with_help(help)
}

fn read_table(table: &DeTable<'_>, problems: &mut Vec<ConfigError>) -> Table {
    let mut entries: Vec<_> = table.iter().collect();
    // The parser sorts by name; people expect the order of the file.
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
        .into_iter()
        .map(|(key, value)| {
            let node = read_node(value.get_ref(), value.span(), problems);
            (key.get_ref().to_string(), Entry { key: key.span(), node })
        })
        .collect()
}

fn read_node(value: &DeValue<'_>, span: Span, problems: &mut Vec<ConfigError>) -> Node {
    let content = match value {
        DeValue::String(text) => Content::Scalar(Value::String(text.to_string())),
        DeValue::Boolean(value) => Content::Scalar(Value::Bool(*value)),
        DeValue::Datetime(value) => Content::Scalar(Value::String(value.to_string())),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix()).map(Value::from);
            number_or_problem(parsed.ok(), &span, problems)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            number_or_problem(parsed.map(Value::Number), &span, problems)
        }
        DeValue::Array(items) => {
            Content::List(items.iter().map(|item| read_node(item.get_ref(), item.span(), problems)).collect())
        }
        DeValue::Table(table) => Content::Table(read_table(table, problems)),
    };
    Node { span, content }
}

fn number_or_problem(number: Option<Value>, span: &Span, problems: &mut Vec<ConfigError>) -> Content {
    Content::Scalar(number.unwrap_or_else(|| {
        let error = ConfigError::new("the number cannot be represented", span.clone(), "this number")
            .with_help("integers have 64 bits; `inf` and `nan` are not numbers here");
        problems.push(error);
        Value::Null
    }))
}
