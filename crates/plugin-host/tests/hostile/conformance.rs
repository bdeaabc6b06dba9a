//! Plugins that break one rule: the conformance suite fails, at that rule.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use pipeline_plugin_host::check::{Check, Outcome, check};
use pipeline_sdk::wire::AwsAccess;
use pipeline_sdk::{HostServices, Isolation, StageError};

use crate::lab::{relay, script};

struct Nothing;

#[async_trait]
impl HostServices for Nothing {
    async fn aws(&self) -> Result<AwsAccess, StageError> {
        Err(StageError::failed("there is no AWS here"))
    }
}

/// What comes of the stage that a new project in Python has, with one part of it replaced.
async fn checked(part: &str, replaced: &str) -> Vec<Check> {
    let template = include_str!("../../templates/python/plugin.py");
    assert!(template.contains(part), "{part}");
    let text = template.replacen(part, replaced, 1).replace("{{kind}}", "keep").replace("{{name}}", "keep");
    checked_text(&text).await
}

async fn checked_text(text: &str) -> Vec<Check> {
    let folder = tempfile::tempdir().expect("a folder");
    script(folder.path(), "plugin.py", text);
    let module = include_str!("../../templates/python/pipeline_plugin.py");
    std::fs::write(folder.path().join("pipeline_plugin.py"), module).expect("written");
    let plugin = folder.path().join("plugin.py");
    let checks = check(&plugin, Path::new(&relay()), Isolation::None, None, Arc::new(Nothing)).await;
    checks.unwrap_or_else(|error| panic!("{error}"))
}

/// That nothing fails but `what`, and why.
fn fails_at(checks: &[Check], what: &str, why: &str) {
    let failed: Vec<_> = checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed(_))).collect();
    let [Check { what: found, outcome: Outcome::Failed(reason), .. }] = failed[..] else {
        panic!("{what}: {checks:#?}");
    };
    assert_eq!(*found, what, "{reason}");
    assert!(reason.contains(why), "{what}: {reason}");
}

fn passed(checks: &[Check], what: &str) -> String {
    match checks.iter().find(|check| check.what == what).map(|check| &check.outcome) {
        Some(Outcome::Passed(text)) => text.clone(),
        other => panic!("{what}: {other:?} of {checks:#?}"),
    }
}

const APPLIES: &str = "        for change in plan.changes:\n            if cx.cancelled";

#[tokio::test]
async fn the_plugin_of_a_new_project_keeps_every_rule() {
    let checks = checked("", "").await;
    assert!(
        checks.len() > 5 && checks.iter().all(|check| matches!(check.outcome, Outcome::Passed(_))),
        "{checks:#?}"
    );
}

#[tokio::test]
async fn a_plan_that_writes_fails() {
    let plan = "        path, content = inputs[\"path\"], inputs[\"content\"]\n";
    let writes = format!("        (cx.directory / 'planned').touch()\n{plan}");
    fails_at(&checked(plan, &writes).await, "plan only reads", "has changed files");
}

#[tokio::test]
async fn an_apply_that_does_everything_once_more_when_it_is_called_again_fails() {
    let appends = format!(
        "        with open(cx.directory / 'log', 'a') as log:\n            log.write('x')\n{APPLIES}"
    );
    let checks = checked(APPLIES, &appends).await;
    let failed = checks.iter().find(|check| check.what == "apply, again, and rollback");
    let Some(Check { outcome: Outcome::Failed(why), .. }) = failed else { panic!("{checks:#?}") };
    assert!(why.contains("changes log once more"), "{why}");
}

#[tokio::test]
async fn a_cancellation_that_is_ignored_fails_once_the_grace_is_over() {
    let sleeps = |seconds: u32| format!("        import time\n        time.sleep({seconds})\n{APPLIES}");
    let slow = sleeps(2).replace("if cx.cancelled", "if False and cx.cancelled");
    let checks = checked(APPLIES, &slow).await;
    assert!(passed(&checks, "cancellation").contains("after it was cancelled"), "{checks:#?}");

    let template = include_str!("../../templates/python/plugin.py")
        .replace("outputs=OUTPUTS)", "outputs=OUTPUTS, grace_seconds=1)");
    let text = template.replacen(APPLIES, &slow, 1).replace("{{kind}}", "keep").replace("{{name}}", "keep");
    fails_at(&checked_text(&text).await, "cancellation", "did not end within its grace of 1s");
}

#[tokio::test]
async fn a_plugin_that_ends_when_an_input_is_missing_fails() {
    let plan = "        path, content = inputs[\"path\"], inputs[\"content\"]\n";
    let ends = format!("        if \"path\" not in inputs:\n            os._exit(3)\n{plan}");
    fails_at(&checked(plan, &ends).await, "wrong inputs", "exit status: 3");
}

#[tokio::test]
async fn an_unknown_input_that_comes_out_as_text_fails() {
    let known = "if isinstance(content, Unknown) else digest(content)";
    fails_at(&checked(known, "if False else str(content)").await, "unknown inputs", "Unknown(origin=");
}

#[tokio::test]
async fn an_unknown_value_within_an_input_is_tried_too() {
    let text = r#"#!/usr/bin/env python3
from pipeline_plugin import Plugin, StagePlan, Outputs

plugin = Plugin("joins", "1")
ITEMS = {"type": "array", "items": {"type": "string"}, "description": "Texts."}
INPUTS = {"type": "object", "additionalProperties": False, "properties": {"items": ITEMS},
          "examples": [{"items": ["a", "b"]}]}

@plugin.stage("joins", "Joins texts", inputs=INPUTS, outputs={})
class Joins:
    def plan(self, cx, inputs):
        items = inputs["items"]
        return StagePlan(outputs=Outputs({"text": "".join(items) if isinstance(items, list) else items}))

    def apply(self, cx, plan):
        return plan.outputs

    def rollback(self, cx, done):
        pass

plugin.run()
"#;
    fails_at(&checked_text(text).await, "unknown inputs", "plan failed with `items.0` unknown");
}

#[tokio::test]
async fn a_notifier_that_takes_no_event_fails() {
    let text = r#"#!/usr/bin/env python3
from pipeline_plugin import NotifyError, Plugin

plugin = Plugin("deaf", "1")

@plugin.notifier("deaf", "Hears nothing", inputs={"type": "object", "additionalProperties": False, "examples": [{}]})
class Deaf:
    def __init__(self, inputs):
        pass

    def notify(self, event):
        raise NotifyError("nobody is there")

plugin.run()
"#;
    fails_at(&checked_text(text).await, "every event", "it takes no event: ");
}
