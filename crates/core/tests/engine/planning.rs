//! What a plan says, and how many calls it takes.

use std::time::{Duration, Instant};

use pipeline_core::EngineError;
use pipeline_sdk::{Action, Mode, json};

use crate::world::{Fault, Lab};

const CHAIN: &str = r#"
[stages.a]
uses = "thing"
value = "one"
[stages.b]
uses = "thing"
value = "${{ stages.a.id }}"
[stages.c]
uses = "thing"
value = "b is ${{ stages.b.id }}, a is ${{ stages.a.value }}"
"#;

#[tokio::test]
async fn what_is_not_made_yet_is_unknown_downstream() {
    let lab = Lab::default();
    let plan = lab.plan(CHAIN, Mode::Converge).await.unwrap();
    let inputs: Vec<_> = plan.stages.iter().map(|stage| stage.inputs.0["value"].clone()).collect();
    assert_eq!(
        inputs,
        [json!("one"), json!({ "$unknown": "stages.a.id" }), json!({ "$unknown": "stages.b.id" })]
    );
    assert_eq!(plan.count(Action::Create), 3);
    assert!(lab.things().is_empty(), "a plan changes nothing");
    assert_eq!(lab.store.saves(), 0);
}

#[tokio::test]
async fn a_run_makes_what_was_unknown_known() {
    let lab = Lab::default();
    let report = lab.run(CHAIN).await;
    assert_eq!(report.error, None);
    assert_eq!(lab.things()["c"], json!("b is id-b, a is one"));
    assert_eq!(report.outputs.len(), 3);
    lab.take_log();
    assert!(lab.plan(CHAIN, Mode::Converge).await.unwrap().is_empty());
    assert_eq!(lab.take_calls("plan").len(), 3, "each stage is planned once if nothing changed");
}

/// A chain of `count` stages.
fn chain(count: usize, first: &str) -> String {
    let mut text = format!(
        "[pipeline]\nname = \"hello\"\nparallelism = 64\n[stages.s0]\nuses = \"thing\"\nvalue = \"{first}\"\n"
    );
    for i in 1..count {
        text.push_str(&format!(
            "[stages.s{i}]\nuses = \"thing\"\nvalue = \"${{{{ stages.s{}.value }}}}\"\n",
            i - 1
        ));
    }
    text
}

#[tokio::test]
async fn a_deep_pipeline_without_changes_is_planned_at_once() {
    let lab = Lab::default();
    lab.run(&chain(30, "one")).await;
    lab.world.lock().unwrap().running = (0, 0);
    lab.world.lock().unwrap().delay = Duration::from_millis(50);
    let begin = Instant::now();
    assert!(lab.plan(&chain(30, "one"), Mode::Converge).await.unwrap().is_empty());
    assert_eq!(lab.world.lock().unwrap().running.1, 30, "all at once: {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_wrong_guess_is_planned_again() {
    let lab = Lab::default();
    lab.run(&chain(4, "one")).await;
    lab.take_log();
    let plan = lab.plan(&chain(4, "two"), Mode::Converge).await.unwrap();
    assert_eq!(plan.count(Action::Update), 4);
    assert!(plan.stages.iter().all(|stage| stage.inputs.0["value"] == json!("two")));
    assert_eq!(lab.run(&chain(4, "two")).await.changes, 4);
    assert_eq!(lab.things()["s3"], json!("two"));
}

#[tokio::test]
async fn calls_are_bounded_by_the_parallelism() {
    let lab = Lab::default();
    let mut text = "[pipeline]\nname = \"hello\"\nparallelism = 3\n".to_owned();
    for i in 0..12 {
        text.push_str(&format!("[stages.s{i}]\nuses = \"thing\"\n"));
    }
    lab.world.lock().unwrap().delay = Duration::from_millis(5);
    assert_eq!(lab.run(&text).await.changes, 12);
    assert_eq!(lab.world.lock().unwrap().running.1, 3);
}

#[tokio::test]
async fn every_stage_that_cannot_be_planned_is_named() {
    let lab = Lab::default();
    lab.fault("a", Fault::Plan);
    lab.fault("b", Fault::PlanPanic);
    let text = "[stages.a]\nuses = \"thing\"\n[stages.b]\nuses = \"thing\"\n[stages.c]\nuses = \"thing\"\nneeds = [\"a\"]\n";
    match lab.plan(text, Mode::Converge).await {
        Err(EngineError::Plan(failures)) => {
            let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
            assert_eq!(
                lines,
                ["stage `a`: cannot be planned", "stage `b`: the stage panicked: while planning"]
            );
            assert_eq!(failures[0].help.as_deref(), Some("try harder"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_value_is_checked_once_it_is_known() {
    let lab = Lab::default();
    let text = |value: &str| {
        format!(
            "[stages.a]\nuses = \"thing\"\nvalue = {value}\n[stages.b]\nuses = \"thing\"\nsize = \"${{{{ stages.a.value }}}}\"\n"
        )
    };
    assert!(lab.plan(&text("3"), Mode::Converge).await.is_ok());
    let error = lab.plan(&text("0"), Mode::Converge).await.unwrap_err().to_string();
    assert_eq!(error, "stage `b`: `size`: `size` cannot be 0 (the least is 1)");
}

#[tokio::test]
async fn a_secret_is_in_no_plan_no_state_and_no_event() {
    let mut lab = Lab::default();
    lab.env.insert("TOKEN".to_owned(), "hunter2hunter2".to_owned());
    let text = r#"
[stages.a]
uses = "thing"
token = "${{ env.TOKEN }}"
value = "not ${{ env.TOKEN }}"
[stages.b]
uses = "thing"
value = "${{ stages.a.value }}"
"#;
    let plan = lab.plan(text, Mode::Converge).await.unwrap();
    let redactor = lab.pipeline(text).redactor().clone();
    let encoded = String::from_utf8(plan.encode(&redactor).unwrap()).unwrap();
    let report = lab.run(text).await;
    assert_eq!(lab.things()["a"], json!("not hunter2hunter2"), "the stage itself gets it");
    let state =
        String::from_utf8(pipeline_core::StateStore::peek(&lab.store, "local").await.unwrap().unwrap());
    let state = state.unwrap();
    let events = serde_json::to_string(&*lab.events.lock().unwrap()).unwrap();
    for (what, text) in
        [("plan", encoded), ("plan", format!("{plan:?}")), ("state", state), ("events", events)]
    {
        assert!(!text.contains("hunter2"), "{what}: {text}");
    }
    assert_eq!(report.error, None);
}

#[tokio::test]
async fn drift_is_reported_and_never_applied() {
    let lab = Lab::default();
    lab.run(CHAIN).await;
    lab.world.lock().unwrap().things.insert("a".to_owned(), json!("tampered"));
    let plan = lab.plan(CHAIN, Mode::Refresh).await.unwrap();
    assert_eq!(plan.changes().map(|(stage, _)| stage.as_str()).collect::<Vec<_>>(), ["a"]);
    let mut run = lab
        .engine(CHAIN)
        .begin(pipeline_sdk::RunCommand::Run, "test", lab.cancel.clone(), pipeline_core::Wait::never())
        .await
        .unwrap();
    let plan = run.plan(Mode::Refresh).await.unwrap();
    let report = run.apply(plan).await;
    assert!(report.error.unwrap().contains("only reports drift"));
    assert_eq!(lab.things()["a"], json!("tampered"));
}

#[tokio::test]
async fn a_large_pipeline_without_changes_is_asked_once_for_each_stage() {
    let text = |count: usize| {
        let mut text = "[pipeline]\nname = \"hello\"\n".to_owned();
        for i in 0..count {
            text.push_str(&format!("[stages.s{i}]\nuses = \"thing\"\n"));
            if let Some(above) = i.checked_sub(20) {
                text.push_str(&format!(
                    "value = \"${{{{ stages.s{above}.value }}}}\"\nneeds = [\"s{}\"]\n",
                    above / 2
                ));
            }
        }
        text
    };
    let lab = Lab::default();
    lab.run(&text(500)).await;
    lab.take_log();
    let saves = lab.store.saves();
    assert_eq!(lab.run(&text(500)).await.changes, 0);
    assert_eq!(lab.take_log().len(), 500, "one call for each stage");
    assert_eq!(lab.store.saves(), saves);
}
