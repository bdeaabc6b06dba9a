//! Checks values against the JSON Schema subset that schemas of Rust types use.
//!
//! An unknown value passes: it is checked again once it is known. An object schema that lists its
//! properties and does not say otherwise takes no other keys.

use std::fmt;

use indexmap::IndexMap;
use pipeline_sdk::{Value, is_unknown};

use super::suggestion;
use crate::expression::{Expression, Template};

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Where in the checked value a violation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The value at the path.
    Value,
    /// The key at the end of the path.
    Key,
    /// Something that is missing from the object at the path.
    Inside,
}

/// One way in which a value breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) path: Vec<Step>,
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Violation {
    /// Which value it is about, dotted.
    pub(crate) fn field(&self) -> String {
        dotted(&self.path)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// `a.b[2]`.
fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// The key of an object that has to have this one and can have no other: a variant of an enum.
fn only_key(schema: &Value) -> Option<&str> {
    let [required] = schema.get("required")?.as_array()?.as_slice() else { return None };
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    (closed && schema.get("properties")?.as_object()?.len() == 1).then_some(required.as_str()?)
}

/// What the file says of a value that the value itself does not show.
#[derive(Clone, Copy, Default)]
pub(crate) struct Written<'a> {
    /// Keys that can stand beside those of the schema, at the root.
    pub(crate) reserved: &'a [&'a str],
    /// The entries at the root with their expressions.
    pub(crate) templates: Option<&'a IndexMap<String, Template>>,
}

impl<'a> Written<'a> {
    /// The expression that is written where the value at `path` is.
    fn expression(&self, path: &[Step]) -> Option<&'a Expression> {
        let Some((Step::Key(first), rest)) = path.split_first() else { return None };
        let inside = |template: &'a Template, step: &Step| match (template, step) {
            (Template::List(items), Step::Index(index)) => items.get(*index),
            (Template::Map(fields), Step::Key(key)) => fields.get(key),
            _ => None,
        };
        match rest.iter().try_fold(self.templates?.get(first)?, inside)? {
            Template::Expression(expression) => Some(expression),
            _ => None,
        }
    }
}

/// All violations of `schema` in `value`.
pub(crate) fn check(schema: &Value, value: &Value, written: Written<'_>) -> Vec<Violation> {
    let mut walker = Walker { root: schema, written, path: Vec::new(), found: Vec::new() };
    walker.value(schema, value);
    walker.found
}

struct Walker<'a> {
    root: &'a Value,
    written: Written<'a>,
    path: Vec<Step>,
    found: Vec<Violation>,
}

impl<'a> Walker<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value) {
        if is_unknown(value) {
            return;
        }
        if schema == &Value::Bool(false) {
            return self.report(Place::Value, "nothing is allowed here", None);
        }
        let schema = self.resolve(schema);
        for part in list(schema, "allOf") {
            self.value(part, value);
        }
        if let Some(choices) = choices(self.root, schema) {
            return self.choice(&choices, value);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(keyword).and_then(Value::as_array) {
                return self.any_of(branches, value);
            }
        }
        if self.has_type(schema, value) {
            self.number(schema, value);
            self.length(schema, value);
            self.items(schema, value);
            self.object(schema, value);
        }
    }

    /// Follows `$ref` into the definitions of the root; recursive types need it.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        resolve(self.root, schema)
    }

    fn report(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        self.found.push(Violation { path: self.path.clone(), place, message: message.into(), help });
    }

    fn subject(&self) -> String {
        if self.path.is_empty() { "the value".to_owned() } else { format!("`{}`", dotted(&self.path)) }
    }

    fn has_type(&mut self, schema: &Value, value: &Value) -> bool {
        let names: Vec<&str> = match schema.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        if names.iter().any(|name| is_of_type(name, value)) {
            return true;
        }
        let wanted: Vec<_> = names.iter().filter(|name| **name != "null").map(|name| article(name)).collect();
        let wanted = wanted.join(" or ");
        let message = format!("{} must be {wanted}, not {}", self.subject(), article(type_name(value)));
        let help = match self.written.expression(&self.path) {
            Some(expression) => converted(&names, value, expression),
            None => quoted_number(&names, value),
        };
        self.report(Place::Value, message, help);
        false
    }

    fn choice(&mut self, choices: &[&Value], value: &Value) {
        if choices.contains(&value) {
            return;
        }
        let names: Vec<String> = choices.iter().filter(|c| !c.is_null()).map(|c| plain(c)).collect();
        let wrong = plain(value);
        let help = suggestion::help("possible values", &wrong, names.iter().map(String::as_str));
        let message = format!("{} cannot be `{wrong}`", self.subject());
        self.report(Place::Value, message, Some(help));
    }

    fn any_of(&mut self, branches: &'a [Value], value: &Value) {
        let names: Vec<&str> = branches.iter().filter_map(|branch| only_key(self.resolve(branch))).collect();
        if let Some(fields) = value.as_object()
            && names.len() > 1
            && fields.keys().filter(|key| names.contains(&key.as_str())).count() != 1
        {
            let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return self.report(Place::Value, format!("{} has exactly one of {names}", self.subject()), None);
        }
        if let Some(help) = self.no_word(branches, &names, value) {
            let message = format!("{} cannot be `{}`", self.subject(), plain(value));
            return self.report(Place::Value, message, Some(help));
        }
        let mut best: Option<Vec<Violation>> = None;
        for branch in branches {
            let mut attempt = Walker { path: self.path.clone(), found: Vec::new(), ..*self };
            attempt.value(branch, value);
            if attempt.found.is_empty() {
                return;
            }
            let is_null = branch.get("type").and_then(Value::as_str) == Some("null");
            // Of a choice there is one branch at least that is neither: it would be an enumeration otherwise.
            let is_word = is_null || choices(self.root, self.resolve(branch)).is_some();
            // The branch that the value got furthest into tells most.
            let depth = |found: &[Violation]| found.iter().map(|v| v.path.len()).max().unwrap_or(0);
            if !is_word && best.as_ref().is_none_or(|known| depth(&attempt.found) > depth(known)) {
                best = Some(attempt.found);
            }
        }
        self.found.extend(best.unwrap_or_default());
    }

    /// What is possible in the place of a scalar that is none of the words in `branches`. `None` where it
    /// is one, and where a branch without words takes its type: that branch tells more. `keys` are those of
    /// the tables.
    fn no_word(&self, branches: &'a [Value], keys: &[&str], value: &Value) -> Option<String> {
        let (mut words, mut forms) = (Vec::new(), Vec::new());
        for branch in branches.iter().map(|branch| self.resolve(branch)) {
            match (choices(self.root, branch), branch.get("type").and_then(Value::as_str)) {
                (Some(choices), _) => words.extend(choices),
                (None, Some(name)) if !is_of_type(name, value) => forms.push(name),
                (None, _) => return None,
            }
        }
        let known = words.is_empty() || words.contains(&value);
        (!known && !value.is_array() && !value.is_object())
            .then(|| possible(&plain(value), &words, &forms, keys))
    }

    fn number(&mut self, schema: &Value, value: &Value) {
        let Some(number) = value.as_f64() else { return };
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let least = bound("minimum").or(bound("exclusiveMinimum"));
        let most = bound("maximum").or(bound("exclusiveMaximum"));
        let wrong = bound("minimum").is_some_and(|least| number < least)
            || bound("exclusiveMinimum").is_some_and(|least| number <= least)
            || bound("maximum").is_some_and(|most| number > most)
            || bound("exclusiveMaximum").is_some_and(|most| number >= most);
        if wrong {
            let help = match (least, most) {
                (Some(least), Some(most)) => format!("allowed are {least} to {most}"),
                (Some(least), None) => format!("the least is {least}"),
                (_, most) => format!("the most is {}", most.unwrap_or_default()),
            };
            self.report(Place::Value, format!("{} cannot be {value}", self.subject()), Some(help));
        }
    }

    fn length(&mut self, schema: &Value, value: &Value) {
        let (length, least, most, unit) = match value {
            Value::String(text) => (text.chars().count(), "minLength", "maxLength", "characters"),
            Value::Array(items) => (items.len(), "minItems", "maxItems", "items"),
            _ => return,
        };
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64).map(|n| n as usize);
        if let Some(least) = bound(least).filter(|least| length < *least) {
            let message = format!("{} is too short: {length} {unit}", self.subject());
            self.report(Place::Value, message, Some(format!("at least {least} {unit}")));
        }
        if let Some(most) = bound(most).filter(|most| length > *most) {
            let message = format!("{} is too long: {length} {unit}", self.subject());
            self.report(Place::Value, message, Some(format!("at most {most} {unit}")));
        }
    }

    fn items(&mut self, schema: &'a Value, value: &Value) {
        let (Some(items), Some(item_schema)) = (value.as_array(), schema.get("items")) else { return };
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            self.value(item_schema, item);
            self.path.pop();
        }
    }

    fn object(&mut self, schema: &'a Value, value: &Value) {
        let Some(fields) = value.as_object() else { return };
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let reserved = if self.path.is_empty() { self.written.reserved } else { &[] };
        let closed = match others {
            None => properties.is_some() || self.path.is_empty(),
            Some(others) => others == &Value::Bool(false),
        };
        for (key, field) in fields {
            self.path.push(Step::Key(key.clone()));
            match (properties.and_then(|properties| properties.get(key)), others) {
                (Some(property), _) => self.value(property, field),
                (None, Some(others)) if !closed => self.value(others, field),
                (None, _) if closed => {
                    let own = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                    let known = own.chain(reserved.iter().copied());
                    let help = suggestion::help("keys", key, known);
                    self.report(Place::Key, format!("unknown key `{key}`"), Some(help));
                }
                (None, _) => {}
            }
            self.path.pop();
        }
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                let about = properties.and_then(|p| p.get(name)?.get("description")?.as_str());
                let help = about.map(|about| about.lines().next().unwrap_or_default().to_owned());
                self.report(Place::Inside, format!("`{name}` is missing"), help);
            }
        }
    }
}

/// Follows `$ref` into the definitions of `root`.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| match path.strip_prefix('#') {
        Some("") => Some(root),
        Some(pointer) => root.pointer(pointer),
        None => None,
    });
    target.unwrap_or(schema)
}

/// The schema of one property; `null`, which says nothing, where there is none.
pub(crate) fn property<'a>(schema: &'a Value, key: &str) -> &'a Value {
    let named = |schema: &'a Value| schema.get("properties").and_then(|properties| properties.get(key));
    let branches =
        || ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|k| schema.get(k)?.as_array()).flatten();
    named(schema)
        .or_else(|| branches().find_map(named))
        .or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
        .unwrap_or(&Value::Null)
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The values of an enumeration, if the schema is one: `enum`, `const`, or alternatives of them.
fn choices<'a>(root: &'a Value, schema: &'a Value) -> Option<Vec<&'a Value>> {
    static NULL: Value = Value::Null;
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Some(values.iter().collect());
    }
    if let Some(value) = schema.get("const") {
        return Some(vec![value]);
    }
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array()?;
    let mut all = Vec::new();
    for branch in branches {
        match choices(root, resolve(root, branch)) {
            Some(values) => all.extend(values),
            None if branch.get("type").and_then(Value::as_str) == Some("null") => all.push(&NULL),
            None => return None,
        }
    }
    Some(all)
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        other => type_name(value) == other || (other == "number" && value.is_number()),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The type in words, as TOML calls it.
fn article(name: &str) -> String {
    match name {
        "integer" => "an integer",
        "array" => "a list",
        "object" => "a table",
        "null" => "nothing",
        "boolean" => "a boolean",
        "number" => "a number",
        "string" => "a string",
        other => other,
    }
    .to_owned()
}

/// The usual slip: `"80"` for `80`, or `1` for `"1"`.
fn quoted_number(wanted: &[&str], value: &Value) -> Option<String> {
    match value {
        Value::String(text) if wanted.iter().any(|w| matches!(*w, "integer" | "number" | "boolean")) => {
            let bare = text.parse::<f64>().is_ok() || matches!(text.as_str(), "true" | "false");
            bare.then(|| format!("write it without quotes: `{text}`"))
        }
        Value::Number(number) if wanted.contains(&"string") => {
            Some(format!("write it in quotes: `\"{number}\"`"))
        }
        _ => None,
    }
}

/// Help for a word that is none of `words`: the nearest of them, else all that is possible. A table has
/// one of `keys`.
fn possible(wrong: &str, words: &[&Value], forms: &[&str], keys: &[&str]) -> String {
    let words: Vec<String> = words.iter().filter(|word| !word.is_null()).map(|word| plain(word)).collect();
    if let Some(near) = suggestion::nearest(wrong, words.iter().map(String::as_str)) {
        return format!("did you mean `{near}`?");
    }
    let quoted = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let mut forms: Vec<String> = forms
        .iter()
        .filter(|form| **form != "null")
        .map(|form| match (*form, keys.split_last()) {
            ("object", Some((last, []))) => format!("a table with `{last}`"),
            ("object", Some((last, first))) => format!("a table with `{}` or `{last}`", first.join("`, `")),
            (form, _) => article(form),
        })
        .collect();
    forms.dedup();
    forms.into_iter().fold(format!("possible: {quoted}"), |text, form| format!("{text}, or {form}"))
}

/// The same slip in what an expression gives. To write the value out would lose the reference.
fn converted(wanted: &[&str], value: &Value, expression: &Expression) -> Option<String> {
    let (what, filter) = match value {
        Value::String(text) if wanted.contains(&"integer") && text.parse::<i64>().is_ok() => {
            ("an integer", "int")
        }
        Value::String(text) if wanted.contains(&"number") && text.parse::<f64>().is_ok() => {
            ("a number", "float")
        }
        Value::Number(_) | Value::Bool(_) if wanted.contains(&"string") => ("a string", "string"),
        _ => return None,
    };
    Some(format!("make it {what}: `{}`", expression.filtered(filter)?))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::json;

    use super::*;

    fn messages(schema: &Value, value: Value) -> Vec<String> {
        check(schema, &value, Written::default()).iter().map(ToString::to_string).collect()
    }

    fn variant(name: &str) -> Value {
        let properties = json!({ name: { "type": "integer" } });
        json!({
            "type": "object", "properties": properties, "required": [name], "additionalProperties": false,
        })
    }

    #[test]
    fn an_enum_has_exactly_one_of_its_variants() {
        let schema = json!({ "oneOf": [variant("canary"), variant("linear"), { "const": "all_at_once" }] });
        let said = |value: Value| messages(&schema, value);
        assert!(said(json!({ "canary": 1 })).is_empty() && said(json!("all_at_once")).is_empty());
        for wrong in [json!({ "canary": 1, "linear": 2 }), json!({ "canari": 1 }), json!({})] {
            assert_eq!(said(wrong), ["the value has exactly one of `canary`, `linear`"]);
        }
    }

    #[test]
    fn a_word_that_is_none_is_answered_with_the_words_and_the_other_forms() {
        let traffic = json!({ "oneOf": [variant("canary"), { "const": "all_at_once" }, variant("linear")] });
        assert!(messages(&traffic, json!("all_at_once")).is_empty());
        assert_eq!(
            messages(&traffic, json!("linear")),
            ["the value cannot be `linear` (possible: `all_at_once`, or a table with `canary` or `linear`)"]
        );
        assert_eq!(
            messages(&traffic, json!("all_at_onc")),
            ["the value cannot be `all_at_onc` (did you mean `all_at_once`?)"]
        );
        assert_eq!(messages(&traffic, json!([1])), ["the value must be a table, not a list"]);
        let number = json!({ "type": "integer", "maximum": 9 });
        let count = json!({ "anyOf": [{ "enum": ["auto", "none"] }, number, { "type": "null" }] });
        for right in [json!("auto"), json!(9), json!(null)] {
            assert!(messages(&count, right).is_empty());
        }
        assert_eq!(
            messages(&count, json!("many")),
            ["the value cannot be `many` (possible: `auto`, `none`, or an integer)"]
        );
        assert_eq!(messages(&count, json!(10)), ["the value cannot be 10 (the most is 9)"]);
    }

    #[test]
    fn an_optional_value_may_be_missing_null_or_unknown() {
        let schema = json!({ "type": "object", "properties": {
            "a": { "type": ["string", "null"] },
            "b": { "anyOf": [{ "type": "object", "properties": { "c": { "type": "integer" } } }, { "type": "null" }] }
        }});
        assert!(messages(&schema, json!({})).is_empty());
        assert!(messages(&schema, json!({ "a": null, "b": { "c": { "$unknown": "x" } } })).is_empty());
        assert_eq!(
            messages(&schema, json!({ "a": 1, "b": { "c": "1" } })),
            [
                "`a` must be a string, not an integer (write it in quotes: `\"1\"`)",
                "`b.c` must be an integer, not a string (write it without quotes: `1`)"
            ]
        );
    }

    #[test]
    fn an_enumeration_is_recognised_in_each_of_its_forms() {
        let plain = json!({ "type": "string", "enum": ["http", "https"] });
        let described = json!({ "oneOf": [{ "const": "http", "description": "…" }, { "const": "https" }] });
        let optional = json!({ "anyOf": [described.clone(), { "type": "null" }] });
        for schema in [plain, described, optional] {
            assert!(messages(&schema, json!("http")).is_empty());
            assert_eq!(
                messages(&schema, json!("htps")),
                ["the value cannot be `htps` (did you mean `https`?)"]
            );
        }
    }

    #[test]
    fn a_key_of_the_program_is_suggested_where_it_can_stand() {
        let inside = json!({ "type": "object", "properties": { "d": { "type": "integer" } } });
        let schema =
            json!({ "type": "object", "properties": { "stop_timeout": { "type": "integer" }, "b": inside } });
        let written = Written { reserved: &["uses", "timeout"], ..Written::default() };
        let violations = check(&schema, &json!({ "timout": "1m", "b": { "timout": 1 } }), written);
        assert_eq!(
            violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["unknown key `timout` (did you mean `timeout`?)", "unknown key `timout` (keys: `d`)"]
        );
    }

    #[test]
    fn a_map_checks_its_values_and_an_open_object_takes_everything() {
        let map = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        assert_eq!(messages(&map, json!({ "k": true })), ["`k` must be a string, not a boolean"]);
        let open = json!({ "type": "object", "additionalProperties": true });
        assert!(messages(&open, json!({ "k": true })).is_empty());
    }
}
