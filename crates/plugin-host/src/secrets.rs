//! Secrets travel as references: what a plugin does not ask for it does not get.

use std::collections::HashMap;

use pipeline_sdk::wire::SECRET_MARKER;
use pipeline_sdk::{Inputs, Map, Value, is_unknown, json};

/// The secrets of one call, by their references.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(HashMap<String, String>);

impl Secrets {
    /// Takes out of `inputs` what the schema marks with `x-secret`, and leaves references.
    pub(crate) fn take(inputs: &Inputs, schema: &Value) -> (Inputs, Self) {
        let mut secrets = Self::default();
        let concealed = inputs.0.iter().map(|(key, value)| {
            let property = property(schema, key);
            (key.clone(), secrets.conceal(value, property, &format!("inputs.{key}"), false))
        });
        let concealed = concealed.collect();
        (Inputs(concealed), secrets)
    }

    /// What is marked is a secret with all that is in it; `inside` says that something around it is.
    fn conceal(&mut self, value: &Value, schema: &Value, place: &str, inside: bool) -> Value {
        let secret = inside || schema.get("x-secret") == Some(&Value::Bool(true));
        match value {
            _ if is_unknown(value) => value.clone(),
            Value::String(text) if secret => {
                self.0.insert(place.to_owned(), text.clone());
                json!({ SECRET_MARKER: place })
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, field)| {
                    (
                        key.clone(),
                        self.conceal(field, property(schema, key), &format!("{place}.{key}"), secret),
                    )
                });
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::Array(items) => {
                let schema = schema.get("items").unwrap_or(&Value::Null);
                let items = items.iter().enumerate();
                items
                    .map(|(index, item)| self.conceal(item, schema, &format!("{place}.{index}"), secret))
                    .collect()
            }
            other => other.clone(),
        }
    }

    /// The secret behind a reference.
    pub(crate) fn get(&self, reference: &str) -> Option<&str> {
        self.0.get(reference).map(String::as_str)
    }
}

fn property<'a>(schema: &'a Value, key: &str) -> &'a Value {
    let named = schema.get("properties").and_then(|properties| properties.get(key));
    named.or_else(|| schema.get("additionalProperties")).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_wherever_the_schema_marks_them() {
        let schema = json!({ "properties": {
            "url": { "type": "string", "x-secret": true },
            "headers": { "additionalProperties": { "type": "string", "x-secret": true } },
            "tokens": { "items": { "x-secret": true } },
            "keys": { "x-secret": true },
            "path": { "type": "string" },
        }});
        let inputs = json!({ "url": "https://hush", "headers": { "a": "b" }, "tokens": ["c"], "keys": { "b": ["d"] }, "path": "/" });
        let inputs: Inputs = serde_json::from_value(inputs).expect("inputs");
        let (concealed, secrets) = Secrets::take(&inputs, &schema);
        assert_eq!(
            serde_json::to_value(&concealed).expect("JSON"),
            json!({
                "url": { "$secret": "inputs.url" },
                "headers": { "a": { "$secret": "inputs.headers.a" } },
                "tokens": [{ "$secret": "inputs.tokens.0" }],
                "keys": { "b": [{ "$secret": "inputs.keys.b.0" }] },
                "path": "/",
            })
        );
        assert_eq!(secrets.get("inputs.headers.a"), Some("b"));
        assert_eq!(secrets.get("inputs.path"), None);
    }

    #[test]
    fn a_secret_that_is_not_known_yet_stays_unknown() {
        let schema = json!({ "properties": { "url": { "x-secret": true } } });
        let unknown = json!({ "$unknown": "stages.a.url" });
        let inputs = Inputs([("url".to_owned(), unknown.clone())].into_iter().collect());
        assert_eq!(Secrets::take(&inputs, &schema).0.0["url"], unknown);
    }
}
