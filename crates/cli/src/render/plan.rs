//! A plan as people read it.

use std::io::{self, Write};

use owo_colors::{OwoColorize, Style as Paint};
use pipeline_sdk::{Action, AttributeChange, Change, StageName, Value, is_unknown};

use super::Style;

/// On a terminal, values longer than this are cut: a plan is for reading.
const LONGEST_VALUE: usize = 72;

/// The changes of one stage.
pub(crate) struct Shown<'a> {
    /// The stage.
    pub(crate) name: &'a StageName,
    /// What it will change.
    pub(crate) changes: &'a [Change],
}

/// Writes the changes of all stages, and how many there are.
pub(crate) fn write_plan(out: &mut dyn Write, stages: &[Shown<'_>], style: Style) -> io::Result<()> {
    for stage in stages.iter().filter(|stage| !stage.changes.is_empty()) {
        writeln!(out, "{}", paint(stage.name, Paint::new().bold(), style))?;
        for change in stage.changes {
            write_change(out, change, style)?;
        }
    }
    writeln!(out, "{}", summary(stages))
}

/// `Plan: 3 to create, 1 to update.`
fn summary(stages: &[Shown<'_>]) -> String {
    let count = |action| stages.iter().flat_map(|stage| stage.changes).filter(|c| c.action == action).count();
    let actions = [Action::Create, Action::Update, Action::Replace, Action::Delete, Action::Run];
    let parts: Vec<_> = actions
        .into_iter()
        .map(|action| (count(action), action))
        .filter(|(number, _)| *number > 0)
        .map(|(number, action)| format!("{number} to {}", verb(action)))
        .collect();
    if parts.is_empty() { "Plan: nothing to change.".into() } else { format!("Plan: {}.", parts.join(", ")) }
}

fn write_change(out: &mut dyn Write, change: &Change, style: Style) -> io::Result<()> {
    let (sign, color) = sign(change.action);
    writeln!(out, "  {} {} {}", paint(sign, color, style), verb(change.action), change.resource)?;
    let width = change.attributes.iter().map(|attribute| attribute.path.len()).max().unwrap_or(0);
    for attribute in &change.attributes {
        let movement = movement(attribute, change.action, style.live);
        writeln!(out, "      {:width$}  {movement}", attribute.path)?;
    }
    if let Some(reason) = &change.reason {
        writeln!(out, "      because {reason}")?;
    }
    if let Some(reason) = &change.irreversible {
        writeln!(out, "      {} {reason}", paint("cannot be undone:", Paint::new().yellow(), style))?;
    }
    Ok(())
}

fn movement(attribute: &AttributeChange, action: Action, cut: bool) -> String {
    let (mut before, mut after) = (text(&attribute.before), text(&attribute.after));
    // What differs only where it would be cut is shown whole.
    if cut && short(&before) != short(&after) {
        (before, after) = (short(&before), short(&after));
    }
    if action == Action::Create && attribute.before.is_null() {
        after
    } else {
        format!("{before} \u{2192} {after}")
    }
}

/// What stands for a value that is not known yet.
const LATER: &str = "(known after apply)";

/// The value with words for what is not known yet, also deep inside.
fn in_words(value: &Value) -> Value {
    match value {
        unknown if is_unknown(unknown) => LATER.into(),
        Value::Array(items) => items.iter().map(in_words).collect(),
        Value::Object(fields) => fields.iter().map(|(key, field)| (key.clone(), in_words(field))).collect(),
        other => other.clone(),
    }
}

fn text(value: &Value) -> String {
    match in_words(value) {
        Value::Null => "(none)".to_owned(),
        Value::String(text) if text.contains('\n') => Value::String(text).to_string(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The beginning and the end of what is too long: ARNs differ at their ends.
fn short(text: &str) -> String {
    let length = text.chars().count();
    if length <= LONGEST_VALUE {
        return text.to_owned();
    }
    let kept = LONGEST_VALUE / 2 - 1;
    let (start, end) = (text.chars().take(kept), text.chars().skip(length - kept));
    start.chain(['\u{2026}']).chain(end).collect()
}

/// The verb of an action in a plan.
pub(crate) fn verb(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Delete => "delete",
        Action::Run => "run",
    }
}

/// The sign before a change and its colour.
pub(super) fn sign(action: Action) -> (&'static str, Paint) {
    match action {
        Action::Create => ("+", Paint::new().green()),
        Action::Update => ("~", Paint::new().yellow()),
        Action::Replace => ("\u{b1}", Paint::new().red()),
        Action::Delete => ("-", Paint::new().red()),
        Action::Run => (">", Paint::new().cyan()),
    }
}

/// `text`, painted if colours may be used.
pub(super) fn paint(text: impl std::fmt::Display, paint: Paint, style: Style) -> String {
    if style.color { text.style(paint).to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{ResourceId, Unknown, json};

    use super::*;

    fn attribute(path: &str, before: Value, after: Value) -> AttributeChange {
        AttributeChange { path: path.into(), before, after }
    }

    #[test]
    fn what_is_too_long_for_a_terminal_is_cut_unless_it_would_look_the_same() {
        let arn = |end: &str| {
            json!(format!("arn:aws:elasticloadbalancing:eu-central-1:1:{}/{end}", "x".repeat(60)))
        };
        let moves = |before: Value, after: Value| {
            movement(&attribute("forward_to", before, after), Action::Update, true)
        };
        let shown = moves(arn("blue"), arn("green"));
        assert!(shown.contains('\u{2026}') && shown.contains("/blue \u{2192}") && shown.ends_with("/green"));
        let (one, two) = ("a".repeat(50) + "1" + &"a".repeat(50), "a".repeat(50) + "2" + &"a".repeat(50));
        assert_eq!(moves(json!(one), json!(two)), format!("{one} \u{2192} {two}"));
    }

    #[test]
    fn a_plan_says_what_changes_and_why() {
        let name = StageName::new("service").expect("name");
        let quiet = StageName::new("network").expect("name");
        let changes = [
            Change {
                resource: ResourceId::new("ecs:cluster", "hello-local"),
                action: Action::Create,
                attributes: vec![attribute("settings", Value::Null, json!(["containerInsights"]))],
                reason: None,
                irreversible: None,
            },
            Change {
                resource: ResourceId::new("ecs:taskdefinition", "hello-local"),
                action: Action::Update,
                attributes: vec![
                    attribute("cpu", json!("256"), json!("512")),
                    attribute("image", json!("a"), Unknown::new("stages.image.image").to_value()),
                    attribute("ingress", json!([]), json!([Unknown::new("stages.network.id").to_value()])),
                    attribute("policy", json!("x".repeat(100)), Value::Null),
                ],
                reason: Some("the image changed".into()),
                irreversible: Some("revisions are never deleted".into()),
            },
        ];
        let stages = [Shown { name: &quiet, changes: &[] }, Shown { name: &name, changes: &changes }];
        let mut out = Vec::new();
        write_plan(&mut out, &stages, Style { color: false, live: false }).expect("writes");
        insta::assert_snapshot!(String::from_utf8(out).expect("utf-8"));
    }
}
