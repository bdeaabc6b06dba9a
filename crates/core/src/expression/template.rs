//! Values with `${{ … }}` in them.

use indexmap::IndexMap;
use pipeline_sdk::{Map, Redactor, Unknown, Value, contains_unknown, json};

use super::engine::{self, CLOSE, OPEN};
use super::{OutputsOf, Reference, Scope};
use crate::config::property;

/// A value before its expressions are evaluated.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    /// A value without expressions.
    Literal(Value),
    /// A secret that is written out in the file.
    Secret(Value),
    Expression(Expression),
    List(Vec<Template>),
    Map(IndexMap<String, Template>),
}

/// A string with at least one expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    source: String,
    form: Form,
    references: Vec<Reference>,
    /// The result is a secret: the redactor learns it.
    secret: bool,
}

/// How the string is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Exactly one reference: no engine is needed.
    Reference,
    /// Exactly one expression: the type is kept.
    Single,
    /// Text around expressions.
    Text,
}

/// An evaluated template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolved {
    /// The value.
    pub(crate) value: Value,
    /// The value as it may be written down: secrets and environment variables as references.
    pub(crate) sealed: Value,
}

/// Stands for a secret in what is written down. `source` is the string in the file, if that is not
/// the secret itself.
fn seal_marker(source: Option<&str>) -> Value {
    json!({ "$secret": source })
}

/// The source of a sealed value: `Some(None)` for a secret that was written out in the file.
fn sealed_source(value: &Value) -> Option<Option<&str>> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get("$secret").map(Value::as_str)
}

impl Template {
    /// Reads the expressions of `value`; `schema` says which properties are secrets.
    ///
    /// # Errors
    /// An expression is not valid.
    pub(crate) fn parse(value: &Value, schema: &Value) -> Result<Self, String> {
        Self::read(value, schema, false)
    }

    /// What is inside a secret is secret.
    fn read(value: &Value, schema: &Value, inside_secret: bool) -> Result<Self, String> {
        let secret = inside_secret || is_secret(schema);
        match value {
            Value::String(text) if text.contains(OPEN) => {
                Expression::parse(text, secret).map(Self::Expression)
            }
            Value::Array(items) => {
                let schema = schema.get("items").unwrap_or(&Value::Null);
                items
                    .iter()
                    .map(|item| Self::read(item, schema, secret))
                    .collect::<Result<_, _>>()
                    .map(Self::List)
            }
            Value::Object(fields) => fields
                .iter()
                .map(|(key, field)| Ok((key.clone(), Self::read(field, property(schema, key), secret)?)))
                .collect::<Result<_, String>>()
                .map(Self::Map),
            plain if secret => Ok(Self::Secret(plain.clone())),
            plain => Ok(Self::Literal(plain.clone())),
        }
    }

    /// Reads a value that was sealed in an earlier run. A secret that was written out in the file is
    /// taken from `current`, the same input in the file of today.
    pub(crate) fn unseal(value: &Value, current: Option<&Template>) -> Result<Self, String> {
        match sealed_source(value) {
            Some(Some(source)) => return Expression::parse(source, true).map(Self::Expression),
            Some(None) => {
                return current.cloned().ok_or_else(|| "the secret is no longer in the file".to_owned());
            }
            None => {}
        }
        match value {
            Value::Array(items) => {
                items.iter().map(|item| Self::unseal(item, None)).collect::<Result<_, _>>().map(Self::List)
            }
            Value::Object(fields) => {
                let below = |key: &str| match current {
                    Some(Self::Map(fields)) => fields.get(key),
                    _ => None,
                };
                let read =
                    |(key, field): (&String, &Value)| Ok((key.clone(), Self::unseal(field, below(key))?));
                fields.iter().map(read).collect::<Result<_, String>>().map(Self::Map)
            }
            plain => Ok(Self::Literal(plain.clone())),
        }
    }

    /// Calls `visit` with every reference.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&Reference)) {
        match self {
            Self::Literal(_) | Self::Secret(_) => {}
            Self::Expression(expression) => expression.references.iter().for_each(visit),
            Self::List(items) => items.iter().for_each(|item| item.visit(visit)),
            Self::Map(fields) => fields.values().for_each(|field| field.visit(visit)),
        }
    }

    /// Evaluates every expression.
    pub(crate) fn resolve(&self, scope: &Scope, outputs: OutputsOf<'_>) -> Result<Resolved, String> {
        match self {
            Self::Literal(value) => Ok(Resolved { value: value.clone(), sealed: value.clone() }),
            Self::Secret(value) => {
                collect_secrets(value, &scope.redactor);
                Ok(Resolved { value: value.clone(), sealed: seal_marker(None) })
            }
            Self::Expression(expression) => expression.resolve(scope, outputs),
            Self::List(items) => {
                let items = items.iter().map(|item| item.resolve(scope, outputs));
                let items = items.collect::<Result<Vec<_>, _>>()?;
                let (value, sealed): (Vec<_>, Vec<_>) =
                    items.into_iter().map(|r| (r.value, r.sealed)).unzip();
                Ok(Resolved { value: Value::Array(value), sealed: Value::Array(sealed) })
            }
            Self::Map(fields) => {
                let (mut value, mut sealed) = (Map::new(), Map::new());
                for (key, field) in fields {
                    let resolved = field.resolve(scope, outputs)?;
                    value.insert(key.clone(), resolved.value);
                    sealed.insert(key.clone(), resolved.sealed);
                }
                Ok(Resolved { value: Value::Object(value), sealed: Value::Object(sealed) })
            }
        }
    }
}

impl Expression {
    fn parse(source: &str, secret: bool) -> Result<Self, String> {
        let single = single(source).and_then(|code| engine::expression_names(code).ok().map(|n| (code, n)));
        let (form, names) = match single {
            Some((code, names)) if names.len() == 1 && names.contains(code.trim()) => {
                (Form::Reference, names)
            }
            Some((_, names)) => (Form::Single, names),
            None => (Form::Text, engine::text_names(source).map_err(engine::describe)?),
        };
        let references = names.iter().map(|name| Reference::parse(name)).collect::<Result<Vec<_>, _>>()?;
        // A longer chain (`var.x.y`) needs the engine to follow it.
        let exact = form == Form::Reference && references.iter().all(|r| names.contains(&r.to_string()));
        let form = if form == Form::Reference && !exact { Form::Single } else { form };
        let mut references = references;
        references.sort();
        references.dedup();
        Ok(Self { source: source.to_owned(), form, references, secret })
    }

    fn resolve(&self, scope: &Scope, outputs: OutputsOf<'_>) -> Result<Resolved, String> {
        let mut values = Vec::with_capacity(self.references.len());
        for reference in &self.references {
            let value = scope.value(reference, outputs)?;
            if contains_unknown(&value) {
                let unknown = Unknown::new(reference.to_string()).to_value();
                return Ok(Resolved { sealed: unknown.clone(), value: unknown });
            }
            values.push(value);
        }
        let value = match self.form {
            Form::Reference => values.pop().ok_or("the expression has no value")?,
            Form::Single => engine::evaluate(single(&self.source).unwrap_or_default(), self.names(values))?,
            Form::Text => engine::render(&self.source, self.names(values)).map(Value::String)?,
        };
        if self.secret {
            collect_secrets(&value, &scope.redactor);
        }
        let sealed = if self.is_sealed() { seal_marker(Some(&self.source)) } else { value.clone() };
        Ok(Resolved { value, sealed })
    }

    /// The same with `filter` behind it, if it is one expression and no text around any.
    pub(crate) fn filtered(&self, filter: &str) -> Option<String> {
        let code = single(&self.source)?.trim();
        // A filter takes only what is nearest to it.
        let code = if self.form == Form::Reference { code.to_owned() } else { format!("({code})") };
        Some(format!("{OPEN} {code} | {filter} {CLOSE}"))
    }

    /// Environment variables are how secrets come in, so none of them is written down.
    fn is_sealed(&self) -> bool {
        self.secret || self.references.iter().any(|reference| matches!(reference, Reference::Env(_)))
    }

    fn names(&self, values: Vec<Value>) -> Value {
        let mut names = Map::new();
        for (reference, value) in self.references.iter().zip(values) {
            insert(&mut names, &reference.path(), value);
        }
        Value::Object(names)
    }
}

fn insert(names: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            names.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let below = names.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(below) = below {
                insert(below, rest, value);
            }
        }
    }
}

/// The code between the delimiters, if the string is exactly one expression.
fn single(source: &str) -> Option<&str> {
    let code = source.strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
    (!code.contains(OPEN)).then_some(code)
}

fn is_secret(schema: &Value) -> bool {
    schema.get("x-secret") == Some(&Value::Bool(true))
}

/// Teaches the redactor every string inside a secret value.
fn collect_secrets(value: &Value, redactor: &Redactor) {
    match value {
        Value::String(text) => redactor.learn(text),
        Value::Array(items) => items.iter().for_each(|item| collect_secrets(item, redactor)),
        Value::Object(fields) => fields.values().for_each(|field| collect_secrets(field, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
