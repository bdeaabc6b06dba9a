//! What happens to what was done when a run fails or is cancelled.

use std::sync::Arc;

use bytes::Bytes;
use pipeline_core::{
    Engine, JournalError, JournalFile, Newest, RunReport, StateLock, StateStore, StoreError,
};
use pipeline_sdk::{Event, Mode, RunCommand, RunOutcome, StageOutcome, async_trait};

use crate::disk::{Disk, OnDisk};
use crate::world::{Fault, Lab, PAIR};

const CHAIN: &str = r#"
[stages.a]
uses = "thing"
[stages.b]
uses = "thing"
needs = ["a"]
[stages.c]
uses = "thing"
needs = ["b"]
[stages.d]
uses = "thing"
needs = ["c"]
"#;

fn outcomes(report: &pipeline_core::RunReport) -> Vec<StageOutcome> {
    report.stages.iter().map(|stage| stage.outcome).collect()
}

#[tokio::test]
async fn a_failed_run_is_undone_backwards_and_leaves_no_trace() {
    let lab = Lab::default();
    lab.fault("c", Fault::Late);
    let report = lab.run(CHAIN).await;
    assert_eq!(report.outcome, RunOutcome::RolledBack);
    assert_eq!(report.error.as_deref(), Some("stage `c`: broke halfway"));
    use StageOutcome::{RolledBack, Skipped};
    assert_eq!(outcomes(&report), [RolledBack, RolledBack, RolledBack, Skipped]);
    assert_eq!(lab.take_calls("undo"), ["c", "b", "a"]);
    assert!(lab.things().is_empty() && lab.state().await.stages.is_empty());
    assert!(report.left_over.is_empty());
    assert!(lab.take_events().iter().any(|event| matches!(event, Event::RollbackStarted { .. })));
}

#[tokio::test]
async fn a_run_that_fails_before_it_changed_anything_says_so() {
    let lab = Lab::default();
    lab.fault("a", Fault::Early);
    let report = lab.run(CHAIN).await;
    assert_eq!((report.outcome, report.help.as_deref()), (RunOutcome::Failed, Some("ask again")));
    assert!(lab.take_calls("undo").is_empty());
}

#[tokio::test]
async fn an_update_is_undone_to_what_was_there() {
    let lab = Lab::default();
    lab.run(CHAIN).await;
    let before = (lab.things(), lab.state().await.stages);
    let changed = CHAIN.replace("uses = \"thing\"", "uses = \"thing\"\nvalue = \"new\"");
    lab.fault("d", Fault::Panic);
    let report = lab.run(&changed).await;
    assert_eq!(report.outcome, RunOutcome::RolledBack);
    assert!(report.error.unwrap().contains("the stage panicked: halfway"));
    assert_eq!((lab.things(), lab.state().await.stages), before);
}

#[tokio::test]
async fn a_deployment_that_the_cloud_undid_counts_as_rolled_back() {
    let lab = Lab::default();
    lab.fault("a", Fault::UndoneByCloud);
    assert_eq!(lab.run(CHAIN).await.outcome, RunOutcome::RolledBack);
}

#[tokio::test]
async fn what_cannot_be_undone_keeps_what_it_stands_on_and_nothing_else() {
    let lab = Lab::default();
    let text = format!(
        "{CHAIN}[stages.other]\nuses = \"thing\"\n[stages.last]\nuses = \"thing\"\nneeds = [\"c\", \"other\"]\n"
    );
    let text = text.replace("[stages.d]\nuses = \"thing\"\nneeds = [\"c\"]\n", "");
    lab.fault("b", Fault::NoUndo);
    lab.fault("last", Fault::Early);
    let report = lab.run(&text).await;
    assert_eq!(report.outcome, RunOutcome::Stuck);
    assert_eq!(lab.things().keys().collect::<Vec<_>>(), ["a", "b"], "`c` and `other` are undone");
    let state = lab.state().await;
    assert_eq!(state.stages.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    insta::assert_snapshot!(report.left_over.join("\n"), @r"
    stage `b`: test:thing b was created and is not undone: cannot be undone; delete it by hand if it is not wanted
    stage `a`: test:thing a was created and is not undone: `b` could not be undone and may use it; delete it by hand if it is not wanted
    ");
}

#[tokio::test]
async fn a_failed_run_keeps_everything_if_that_is_asked_for() {
    let lab = Lab::default();
    lab.fault("c", Fault::Late);
    let text = format!("[pipeline]\nname = \"hello\"\non_failure = \"keep\"\n{CHAIN}");
    let report = lab.run(&text).await;
    assert_eq!(report.outcome, RunOutcome::Stuck);
    assert_eq!(lab.things().len(), 3);
    assert_eq!(lab.state().await.stages.len(), 3, "also what the failed stage has made so far");
    assert_eq!(report.left_over.len(), 3);
    lab.fault("c", Fault::None);
    let report = lab.run(&text).await;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Succeeded, 1));
}

#[tokio::test]
async fn a_cancelled_run_is_undone() {
    let lab = Lab::default();
    lab.fault("b", Fault::UntilCancelled);
    let canceller = async {
        // `a`, then `b`.
        lab.applying.notified().await;
        lab.applying.notified().await;
        lab.cancel.request("SIGINT");
    };
    let (report, ()) = tokio::join!(lab.run(CHAIN), canceller);
    assert_eq!(report.outcome, RunOutcome::Cancelled);
    assert!(lab.things().is_empty());
    assert!(lab.take_events().contains(&Event::CancelRequested { cause: "SIGINT".to_owned() }));
}

#[tokio::test]
async fn a_run_that_is_cancelled_before_it_applies_does_nothing() {
    let lab = Lab::default();
    let report = lab.run_after(CHAIN, Mode::Converge, || lab.cancel.request("SIGTERM")).await;
    assert_eq!(report.outcome, RunOutcome::Cancelled);
    assert!(lab.take_calls("apply").is_empty());
    let error = lab.plan(CHAIN, Mode::Converge).await.unwrap_err();
    assert_eq!(error.to_string(), "cancelled; nothing was changed");
}

#[tokio::test]
async fn a_failed_destruction_is_not_undone_but_goes_on_the_next_time() {
    let lab = Lab::default();
    lab.run(CHAIN).await;
    lab.fault("b", Fault::Late);
    let report = lab.destroy(CHAIN).await;
    assert_eq!(report.outcome, RunOutcome::Stuck);
    assert!(report.left_over.contains(&"stage `a` is not removed: run `pipeline destroy` again".to_owned()));
    assert!(!lab.things().contains_key("c"), "what was removed stays removed");
    assert!(lab.things().contains_key("a"));
    assert_eq!(lab.destroy(CHAIN).await.outcome, RunOutcome::Succeeded);
    assert!(lab.things().is_empty());
    assert!(lab.state().await.stages.is_empty());
}

/// A disk with no room for a state.
#[derive(Clone)]
struct FullDisk;

#[async_trait]
impl Disk for FullDisk {
    async fn save(&self, _lock: &dyn StateLock, _state: Vec<u8>) -> Result<(), StoreError> {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        Err(StoreError::Io { action: "write", place: "state.json".to_owned(), source })
    }
}

/// A disk on which not even the first record of a journal fits.
#[derive(Clone)]
struct NoJournal;

#[async_trait]
impl Disk for NoJournal {
    async fn append(&self, _journal: &mut dyn JournalFile, _batch: Bytes) -> Result<(), JournalError> {
        let (action, place, reason) = ("write", "a.journal".to_owned(), "no space".to_owned());
        Err(JournalError::Io { action, place, reason })
    }
}

/// Runs `CHAIN` with its state and journal on `disk`.
async fn run_on(lab: &Lab, disk: impl Disk) -> RunReport {
    let store = Arc::new(OnDisk(lab.store.clone(), disk));
    let engine = Engine::new(lab.pipeline(CHAIN), lab.registry(), store, Arc::new(|_| ()));
    let wait = pipeline_core::Wait::never();
    let mut run = engine.begin(RunCommand::Run, "test", lab.cancel.clone(), wait).await.unwrap();
    let plan = run.plan(Mode::Converge).await.unwrap();
    run.apply(plan).await
}

#[tokio::test]
async fn a_run_that_could_record_nothing_has_changed_nothing_and_says_so() {
    let lab = Lab::default();
    let report = run_on(&lab, NoJournal).await;
    assert_eq!((report.outcome, report.left_over.as_slice()), (RunOutcome::Failed, &[][..]));
    assert!(report.error.unwrap().contains("no space") && report.emergency.is_some());
    assert!(lab.things().is_empty());
}

#[tokio::test]
async fn a_run_whose_state_cannot_be_saved_is_undone() {
    let lab = Lab::default();
    lab.world.lock().unwrap().delay = std::time::Duration::from_millis(20);
    let report = run_on(&lab, FullDisk).await;
    assert_eq!(report.outcome, RunOutcome::RolledBack);
    assert!(report.error.unwrap().starts_with("cannot write state.json"));
    assert!(lab.things().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_first_attempt_has_done_is_undone_although_the_second_finds_nothing_to_do() {
    let lab = Lab::default();
    let retried = CHAIN.replacen("uses = \"thing\"\n", "uses = \"thing\"\nretry = 1\n", 1);
    lab.fault("a", Fault::Late);
    lab.fault("b", Fault::Early);
    let report = lab.run(&retried).await;
    assert_eq!(lab.take_calls("apply"), ["a", "b"]);
    assert_eq!(outcomes(&report)[0], StageOutcome::RolledBack);
    assert_eq!(report.outcome, RunOutcome::RolledBack);
    assert!(lab.things().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_takes_too_long_is_stopped_and_tried_again_as_often_as_it_may() {
    let lab = Lab::default();
    lab.fault("b", Fault::UntilCancelled);
    let began = tokio::time::Instant::now();
    let limited = PAIR.replace("needs", "timeout = \"1m\"\nretry = 2\nneeds");
    let report = lab.run(&limited).await;
    assert_eq!(report.outcome, RunOutcome::RolledBack);
    let error = "stage `b`: it did not end within its timeout of 60s and was stopped";
    assert_eq!(report.error.as_deref(), Some(error));
    assert_eq!(report.help.as_deref(), Some("raise `timeout` of the stage, or look at what it waits for"));
    assert_eq!(lab.take_calls("apply"), ["a", "b", "b", "b"]);
    let took = began.elapsed().as_secs_f64();
    assert!(
        (181.5..183.5).contains(&took),
        "three minutes, and pauses of one and two seconds at most: {took}"
    );
    assert!(lab.things().is_empty());
}

#[tokio::test]
async fn what_was_before_a_run_without_its_journal_is_not_told_as_the_last() {
    let lab = Lab::default();
    lab.run(CHAIN).await;
    lab.run(&CHAIN.replace("uses = \"thing\"", "uses = \"thing\"\nvalue = \"new\"")).await;
    let (last, id) = (lab.state().await.run.expect("a run"), lab.state().await.pipeline);
    let newest = Newest::of(&lab.store, &id).await.expect("readable");
    assert_eq!((newest.journal.map(|journal| journal.run), newest.missing), (Some(last), None));
    let mut journal = StateStore::journal(&lab.store, "local", last);
    let first_line = journal
        .read()
        .await
        .expect("readable")
        .split_inclusive(|byte| *byte == b'\n')
        .next()
        .map(<[u8]>::len);
    journal.truncate(first_line.expect("a line") as u64).await.expect("cut");
    let damaged = Newest::of(&lab.store, &id).await.unwrap_err().to_string();
    let said = "the journal is damaged: the state tells of what the run did, and nothing of that is in it. Move the journal \
                out of the way";
    assert!(damaged.contains(said), "{damaged}");
    journal.truncate(0).await.expect("emptied");
    let newest = Newest::of(&lab.store, &id).await.expect("readable");
    assert_eq!((newest.journal.map(|journal| journal.run), newest.missing), (None, Some(last)));
}
