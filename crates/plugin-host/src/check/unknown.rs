//! Inputs of which a part is not known yet, and plans that mistake it for a text.

use pipeline_sdk::{Inputs, StagePlan, Unknown, Value, is_unknown};

/// Where unknown values of checks come from.
const ORIGIN: &str = "stages.other.";

/// `inputs` with each value in them unknown in turn, and where that value is, dotted.
pub(super) fn with_each_unknown(inputs: &Inputs) -> Vec<(String, Inputs)> {
    let mut all = Vec::new();
    for (key, value) in &inputs.0 {
        for (place, changed) in variants(value, key) {
            let mut inputs = inputs.clone();
            inputs.0.insert(key.clone(), changed);
            all.push((place, inputs));
        }
    }
    all
}

fn variants(value: &Value, place: &str) -> Vec<(String, Value)> {
    let mut all = vec![(place.to_owned(), Unknown::new(format!("{ORIGIN}{place}")).to_value())];
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                for (place, changed) in variants(inner, &format!("{place}.{key}")) {
                    let mut fields = fields.clone();
                    fields.insert(key.clone(), changed);
                    all.push((place, Value::Object(fields)));
                }
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                for (place, changed) in variants(inner, &format!("{place}.{index}")) {
                    let mut items = items.clone();
                    items[index] = changed;
                    all.push((place, Value::Array(items)));
                }
            }
        }
        _ => {}
    }
    all
}

/// A text of `plan` into which an unknown value was written as its language shows it.
pub(super) fn shown_as_text(plan: &StagePlan) -> Option<String> {
    let outputs = serde_json::to_value(&plan.outputs).ok()?;
    let changes = plan.changes.iter().filter_map(|change| {
        let attributes = serde_json::to_value(&change.attributes).ok()?;
        text_in(&attributes).or_else(|| shows(&change.resource.name))
    });
    text_in(&outputs).into_iter().chain(changes).next()
}

fn text_in(value: &Value) -> Option<String> {
    match value {
        _ if is_unknown(value) => None,
        Value::String(text) => shows(text),
        Value::Array(items) => items.iter().find_map(text_in),
        Value::Object(fields) => fields.values().find_map(text_in),
        _ => None,
    }
}

/// A reference to where the value comes from is worth reading; what the program makes of it is not.
fn shows(text: &str) -> Option<String> {
    let shown = text.contains(ORIGIN) && ["$unknown", "Unknown"].iter().any(|sign| text.contains(sign));
    shown.then(|| text.to_owned())
}
