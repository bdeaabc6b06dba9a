//! Doing what a plan says, and nothing else.

use pipeline_core::{Plan, Wait};
use pipeline_sdk::{Event, Mode, RunCommand, RunOutcome, StageOutcome, json};

use crate::world::{Fault, Lab};

const DIAMOND: &str = r#"
[stages.top]
uses = "thing"
value = "one"
[stages.left]
uses = "thing"
value = "${{ stages.top.id }}"
[stages.right]
uses = "thing"
needs = ["top"]
[stages.bottom]
uses = "thing"
needs = ["left", "right"]
"#;

#[tokio::test]
async fn stages_are_applied_after_what_they_wait_for() {
    let lab = Lab::default();
    let report = lab.run(DIAMOND).await;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Succeeded, 4));
    let applied = lab.take_calls("apply");
    assert_eq!((applied[0].as_str(), applied[3].as_str()), ("top", "bottom"));
}

#[tokio::test]
async fn nothing_is_applied_planned_again_or_saved_if_nothing_changed() {
    let lab = Lab::default();
    lab.run(DIAMOND).await;
    let saves = lab.store.saves();
    lab.take_log();
    let report = lab.run(DIAMOND).await;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Unchanged, 0));
    assert_eq!(lab.take_log().len(), 4, "one plan for each stage");
    assert_eq!(lab.store.saves(), saves);
    assert!(report.stages.iter().all(|stage| stage.outcome == StageOutcome::Unchanged));
}

#[tokio::test]
async fn what_exists_already_is_adopted() {
    let lab = Lab::default();
    lab.run(DIAMOND).await;
    let before = lab.state().await;
    let fresh = Lab { world: lab.world.clone(), ..Lab::default() };
    assert_eq!(fresh.run(DIAMOND).await.outcome, RunOutcome::Unchanged);
    assert_eq!(fresh.state().await.stages, before.stages);
}

#[tokio::test]
async fn a_plan_that_would_do_more_than_was_approved_is_refused() {
    let lab = Lab::default();
    lab.run(DIAMOND).await;
    let changed = DIAMOND.replace("\"one\"", "\"two\"");
    let before = lab.state().await.stages;
    // Somebody deletes it after the plan said that it will be updated.
    let report = lab
        .run_after(&changed, Mode::Converge, || {
            lab.world.lock().unwrap().things.remove("top");
        })
        .await;
    assert_eq!(report.outcome, RunOutcome::Failed);
    let error = report.error.unwrap();
    assert!(error.contains("the world changed since the plan was made"), "{error}");
    assert!(report.help.unwrap().contains("plan again"));
    assert!(!lab.things().contains_key("top"), "nothing was done");
    assert_eq!(lab.state().await.stages, before);
}

#[tokio::test]
async fn a_change_that_somebody_else_made_needs_not_be_made() {
    let lab = Lab::default();
    lab.run(DIAMOND).await;
    let changed = DIAMOND.replace("\"one\"", "\"two\"");
    let report = lab
        .run_after(&changed, Mode::Converge, || {
            lab.world.lock().unwrap().things.insert("top".to_owned(), json!("two"));
        })
        .await;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Unchanged, 0));
}

#[tokio::test]
async fn a_saved_plan_is_applied_by_a_later_run_unless_something_changed() {
    let lab = Lab::default();
    let plan = lab.plan(DIAMOND, Mode::Converge).await.unwrap();
    let saved = plan.encode(lab.pipeline(DIAMOND).redactor()).unwrap();
    let saved = Plan::decode(&saved).unwrap();
    let refused = async |text: &str| lab.apply(text, &saved).await.unwrap_err().to_string();
    let changed = format!("{DIAMOND}\n");
    assert_eq!(refused(&changed).await, "the file was changed since the plan was made; make a new plan");
    let elsewhere =
        lab.engine(DIAMOND).begin_saved(&saved, "elsewhere", lab.cancel.clone(), Wait::never()).await;
    let why = "the plan is for test, and this is elsewhere; make a new plan";
    assert_eq!(elsewhere.err().map(|error| error.to_string()).as_deref(), Some(why));
    let somebody = |value| lab.world.lock().unwrap().things.insert("top".to_owned(), value);
    somebody(json!("something else"));
    let why = "in stage `top`, what would change of test:thing top is something else now; make a new plan";
    assert_eq!(refused(DIAMOND).await, why);
    assert!(lab.take_calls("apply").is_empty(), "a plan that is refused changes nothing");
    lab.world.lock().unwrap().things.clear();
    assert_eq!(lab.apply(DIAMOND, &saved).await.unwrap().outcome, RunOutcome::Succeeded);
    let why = "the environment was changed since the plan was made; make a new plan";
    assert_eq!(refused(DIAMOND).await, why);
}

#[tokio::test]
async fn destroying_goes_backwards_and_forgets() {
    let lab = Lab::default();
    lab.run(DIAMOND).await;
    lab.take_log();
    let report = lab.destroy(DIAMOND).await;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Succeeded, 4));
    let applied = lab.take_calls("apply");
    assert_eq!((applied[0].as_str(), applied[3].as_str()), ("bottom", "top"));
    assert!(lab.things().is_empty());
    assert!(lab.state().await.stages.is_empty());
    assert_eq!(lab.destroy(DIAMOND).await.outcome, RunOutcome::Unchanged);
}

#[tokio::test]
async fn destroying_uses_what_was_applied_and_finds_what_the_state_does_not_know() {
    let lab = Lab::default();
    lab.run("[stages.a]\nuses = \"thing\"\n").await;
    // A run that was killed made `b`; `c` cannot even be planned and is not known to exist.
    lab.world.lock().unwrap().things.insert("b".to_owned(), json!("orphan"));
    lab.fault("c", Fault::Plan);
    let text = "[stages.a]\nuses = \"thing\"\nvalue = \"other\"\n[stages.b]\nuses = \"thing\"\n[stages.c]\nuses = \"thing\"\n";
    let report = lab.destroy(text).await;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Succeeded, 2));
    assert!(lab.things().is_empty());
    let warned = |event: &Event| matches!(event, Event::Warning { message } if message.contains("`c`"));
    assert!(lab.take_events().iter().any(warned));
}

#[tokio::test]
async fn a_stage_that_left_the_file_is_destroyed_after_its_users_let_go() {
    let lab = Lab::default();
    lab.run(DIAMOND).await;
    lab.take_log();
    let without = r#"
[stages.left]
uses = "thing"
value = "alone"
[stages.right]
uses = "thing"
[stages.bottom]
uses = "thing"
"#;
    let report = lab.run(without).await;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Succeeded, 2));
    assert_eq!(lab.take_calls("apply"), ["left", "top"]);
    assert!(!lab.state().await.stages.contains_key(&pipeline_sdk::StageName::new("top").unwrap()));
}

#[tokio::test]
async fn events_are_numbered_without_gaps_and_tell_the_story() {
    let lab = Lab::default();
    lab.run("[stages.a]\nuses = \"thing\"\n").await;
    let records = lab.events.lock().unwrap().clone();
    assert!(records.iter().enumerate().all(|(i, record)| record.seq == i as u64));
    let names: Vec<_> = records
        .iter()
        .map(|record| serde_json::to_value(record).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "run_started",
            "stage_planned",
            "planned",
            "stage_started",
            "resource_changed",
            "stage_finished",
            "run_finished"
        ]
    );
}

#[tokio::test]
async fn a_second_run_on_the_environment_is_refused_while_the_first_goes_on() {
    let lab = Lab::default();
    let engine = lab.engine(DIAMOND);
    let first = engine
        .begin(RunCommand::Run, "test", lab.cancel.clone(), pipeline_core::Wait::never())
        .await
        .unwrap();
    let second = engine
        .begin(RunCommand::Run, "test", lab.cancel.clone(), pipeline_core::Wait::never())
        .await
        .map(|_| ());
    assert!(second.unwrap_err().to_string().starts_with("another run works on `local`"));
    drop(first);
    assert!(
        engine.begin(RunCommand::Run, "test", lab.cancel.clone(), pipeline_core::Wait::never()).await.is_ok()
    );
}
