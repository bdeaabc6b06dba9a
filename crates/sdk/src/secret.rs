//! Keeping secrets out of everything that is written.

use std::sync::{Arc, RwLock};

use serde_json::Value;

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";

/// Secrets shorter than this would hit ordinary text, and are too short to be one.
const SHORTEST: usize = 6;

/// Knows the secrets of a run and removes them from text and values.
///
/// Shared by everything that writes: events, state, plans, errors. A secret that an error message
/// of a third party repeats is caught here too.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Arc<RwLock<Vec<String>>>,
}

impl Redactor {
    /// Learns a secret. Values below six bytes are not taken: they would redact ordinary text.
    pub fn learn(&self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        let mut secrets = self.secrets.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !secrets.iter().any(|known| known == secret) {
            secrets.push(secret.to_owned());
            // The longest first, so that a secret inside another leaves no rest behind.
            secrets.sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// Whether no secret is known: nothing would be removed.
    pub fn is_empty(&self) -> bool {
        self.secrets.read().unwrap_or_else(|poisoned| poisoned.into_inner()).is_empty()
    }

    /// `text` without secrets.
    pub fn text(&self, text: &str) -> String {
        let secrets = self.secrets.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), REDACTED) } else { text }
        })
    }

    /// Removes secrets from every string inside `value`, keys included.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => Value::Object(
                fields.into_iter().map(|(key, field)| (self.text(&key), self.value(field))).collect(),
            ),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_disappear_from_text_and_values() {
        let redactor = Redactor::default();
        redactor.learn("https://hooks.example/T0/B0/abcdef");
        redactor.learn("abcdef");
        redactor.learn("eu");
        assert_eq!(redactor.text("eu: abcdef"), "eu: [redacted]");
        assert_eq!(
            redactor.value(json!({ "url": ["https://hooks.example/T0/B0/abcdef"] })),
            json!({ "url": ["[redacted]"] })
        );
    }
}
