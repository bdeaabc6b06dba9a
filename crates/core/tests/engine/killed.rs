//! Runs whose process is killed: at every write to the store, before or after it, also several times.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use object_store::memory::InMemory;
use pipeline_core::{
    Engine, EngineError, Entry, Holder, Journal, JournalError, JournalFile, ObjectStateStore, RunReport,
    StateLock, StateStore, StoreError, Wait,
};
use pipeline_sdk::{Event, Mode, Redactor, RunCommand, RunId, RunOutcome, async_trait, json};
use proptest::prelude::*;
use tokio::sync::Notify;

use crate::disk::{Disk, OnDisk};
use crate::random::{Case, cases, text};
use crate::world::{Fault, Lab, PAIR};

/// Counts the writes that are left, and tells when there are none.
#[derive(Clone)]
struct Power {
    left: Arc<AtomicI64>,
    /// Whether the last write arrives before the end, or is lost with it.
    arrives: bool,
    out: Arc<Notify>,
}

impl Power {
    fn for_writes(writes: i64, arrives: bool) -> Self {
        Self { left: Arc::new(AtomicI64::new(writes)), arrives, out: Arc::new(Notify::new()) }
    }

    /// Whether the next write arrives, and whether the process lives to see it.
    fn write(&self) -> (bool, bool) {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        (left > 1 || (left == 1 && self.arrives), left > 1)
    }

    async fn end(&self) {
        self.out.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl Disk for Power {
    async fn save(&self, lock: &dyn StateLock, state: Vec<u8>) -> Result<(), StoreError> {
        let (arrives, lives) = self.write();
        if arrives {
            lock.save(state).await?;
        }
        if !lives {
            self.end().await;
        }
        Ok(())
    }

    async fn append(&self, journal: &mut dyn JournalFile, batch: Bytes) -> Result<(), JournalError> {
        let (arrives, lives) = self.write();
        if arrives {
            journal.append(batch).await?;
        } else if batch.len().is_multiple_of(3) {
            // A part of a line is what a process that ends while it writes may leave.
            journal.append(batch.slice(..batch.len() / 2)).await?;
        }
        if !lives {
            self.end().await;
        }
        Ok(())
    }
}

impl Lab {
    fn mortal(&self, stages: &str, power: &Power) -> Engine {
        let store = Arc::new(OnDisk(self.store.clone(), power.clone()));
        let events = self.events.clone();
        let sink: pipeline_core::EventSink = Arc::new(move |record| events.lock().unwrap().push(record));
        Engine::new(self.pipeline(stages), self.registry(), store, sink)
    }

    /// What a command came to; nothing if its process was killed.
    async fn until_killed(
        &self,
        stages: &str,
        mode: Mode,
        power: &Power,
    ) -> Option<Result<RunReport, EngineError>> {
        let engine = self.mortal(stages, power);
        let command = if mode == Mode::Destroy { RunCommand::Destroy } else { RunCommand::Run };
        let work = async {
            let mut run = engine.begin(command, "test", self.cancel.clone(), Wait::never()).await?;
            let plan = run.plan(mode).await?;
            Ok(run.apply(plan).await)
        };
        tokio::select! {
            biased;
            () = power.out.notified() => {
                // The lock of a process ends with it.
                self.store.break_lock("local").await.unwrap();
                None
            }
            report = work => Some(report),
        }
    }

    async fn rollback(&self, stages: &str) -> Result<RunReport, EngineError> {
        let engine = self.engine(stages);
        let undoing = engine.begin_rollback("test", self.cancel.clone(), Wait::never()).await?;
        Ok(undoing.apply().await)
    }
}

/// A run is killed once or twice, and then somebody lets one go on in peace.
async fn check(case: Case, kills: Vec<(i64, bool)>, by_hand: bool) -> Result<(), TestCaseError> {
    let lab = Lab::default();
    if case.existed {
        lab.run(&text(&case, "old")).await;
    }
    let before = lab.things();
    let records = if case.existed { lab.state().await.stages } else { Default::default() };
    for (i, fault) in case.faults.iter().enumerate() {
        // What cannot be undone is another matter.
        let fault = if matches!(fault, Fault::Stuck | Fault::NoUndo) { Fault::Late } else { *fault };
        lab.fault(&format!("s{i}"), fault);
    }
    let fails = case.faults.iter().any(|fault| *fault != Fault::None);
    for (writes, arrives) in kills {
        match lab.until_killed(&text(&case, "new"), Mode::Converge, &Power::for_writes(writes, arrives)).await
        {
            None => {}
            Some(Ok(_)) => break,
            Some(Err(error)) => prop_assert!(false, "{error}"),
        }
    }
    let mut undone = by_hand;
    if by_hand {
        match lab.rollback(&text(&case, "new")).await {
            Ok(report) => prop_assert_eq!(report.outcome, RunOutcome::Succeeded, "{:?}", report),
            Err(error) => prop_assert!(matches!(error, EngineError::NothingToUndo(_)), "{error}"),
        }
    } else {
        let report = lab.run(&text(&case, "new")).await;
        // What failed after its work was done, and was killed before it could say so, is done.
        undone = fails && matches!(report.outcome, RunOutcome::RolledBack | RunOutcome::Failed);
        let good = matches!(report.outcome, RunOutcome::Succeeded | RunOutcome::Unchanged);
        prop_assert!(good || undone, "{:?}", report);
    }
    if by_hand && case.existed && lab.things().is_empty() {
        // The run had done nothing, or undone it: so the one before it was the last.
        return Ok(());
    }
    if undone {
        prop_assert_eq!(lab.things(), before);
        if lab.store.saves() > 0 {
            prop_assert_eq!(lab.state().await.stages, records);
        }
    } else {
        prop_assert!(
            lab.things().values().all(|value| value.as_str().is_some_and(|text| text.starts_with("new")))
        );
        prop_assert_eq!(lab.things().len(), case.edges.len());
        let undisturbed = Lab::default();
        if case.existed {
            undisturbed.run(&text(&case, "old")).await;
        }
        undisturbed.run(&text(&case, "new")).await;
        prop_assert_eq!(lab.state().await.stages, undisturbed.state().await.stages);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn a_run_that_is_killed_is_finished_or_undone_by_the_next(
        case in cases(),
        kills in prop::collection::vec((1i64..40, any::<bool>()), 1..3),
        by_hand in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(case, kills, by_hand))?;
    }
}

#[tokio::test]
async fn a_removal_that_is_killed_anywhere_goes_on() {
    for writes in 1.. {
        let lab = Lab::default();
        lab.run(PAIR).await;
        let power = Power::for_writes(writes, writes % 2 == 0);
        if let Some(report) = lab.until_killed(PAIR, Mode::Destroy, &power).await {
            assert_eq!(report.unwrap().outcome, RunOutcome::Succeeded);
            assert!(writes > 5, "it was killed now and then");
            return;
        }
        let rest = lab.destroy(PAIR).await;
        assert!(matches!(rest.outcome, RunOutcome::Succeeded | RunOutcome::Unchanged), "{rest:?}");
        assert!(lab.things().is_empty() && lab.state().await.stages.is_empty());
    }
}

/// `PAIR`, whose stages get `value`.
fn with(value: &str) -> String {
    PAIR.replace("\"thing\"\n", &format!("\"thing\"\nvalue = \"{value}\"\n"))
}

/// A run of `stages` was killed when it had given `a` its value; `before` was run first, and `b` would fail.
async fn killed_after_a(before: Option<&str>, stages: &str, value: &str) -> Lab {
    for writes in 1.. {
        let lab = Lab::default();
        if let Some(before) = before {
            lab.run(before).await;
        }
        lab.fault("b", Fault::Panic);
        assert!(lab.until_killed(stages, Mode::Converge, &Power::for_writes(writes, true)).await.is_none());
        if lab.things().get("a") == Some(&json!(value)) {
            return lab;
        }
    }
    unreachable!("it makes `a` first")
}

/// A run of `PAIR` was killed when it had made `a`; `b` would fail.
async fn half_done() -> Lab {
    killed_after_a(None, PAIR, "default").await
}

/// Whoever takes over may find that nothing can be planned, and has not looked after anything then.
#[tokio::test]
async fn a_run_that_takes_over_and_cannot_plan_leaves_it_to_the_next() {
    let lab = half_done().await;
    lab.fault("b", Fault::Plan);
    let begun = lab.engine(PAIR).begin(RunCommand::Run, "test", lab.cancel.clone(), Wait::never()).await;
    assert!(begun.unwrap().plan(Mode::Converge).await.is_err());
    assert_eq!(lab.rollback(PAIR).await.unwrap().outcome, RunOutcome::Succeeded);
    assert!(lab.things().is_empty());
    let nothing = lab.rollback(PAIR).await.unwrap_err();
    assert!(matches!(nothing, EngineError::NothingToUndo(_)), "{nothing}");
}

/// A run of `PAIR` was killed in the middle, and nothing would have failed.
async fn cut_off() -> Lab {
    let lab = half_done().await;
    lab.fault("b", Fault::None);
    lab.take_log();
    lab
}

#[tokio::test]
async fn a_plan_from_before_a_run_was_cut_off_is_refused_and_nothing_is_done() {
    let old = Lab::default().plan(PAIR, Mode::Converge).await.unwrap();
    let lab = cut_off().await;
    let saves = lab.store.saves();
    let stale = lab.apply(PAIR, &old).await.unwrap_err().to_string();
    assert_eq!(stale, "the environment was changed since the plan was made; make a new plan");
    assert_eq!((lab.store.saves(), lab.take_log().len()), (saves, 0));
}

#[tokio::test]
async fn a_plan_from_after_a_run_was_cut_off_takes_it_over() {
    let lab = cut_off().await;
    let plan = lab.plan(PAIR, Mode::Converge).await.unwrap();
    let report = lab.apply(PAIR, &plan).await.unwrap();
    assert_eq!((report.outcome, lab.things().len()), (RunOutcome::Succeeded, 2));
    assert_eq!(lab.rollback(PAIR).await.unwrap().outcome, RunOutcome::Succeeded);
    assert!(lab.things().is_empty(), "both runs are undone");
}

/// A plan does not say that another run has to be undone first, so nobody has agreed to that.
#[tokio::test]
async fn a_plan_that_would_wait_for_a_rollback_is_refused_and_nothing_is_undone() {
    let lab = killed_after_wish().await;
    let begun = lab.engine(PAIR).begin(RunCommand::Plan, "test", lab.cancel.clone(), Wait::never()).await;
    assert!(begun.unwrap().can_be_saved().is_err(), "a plan that nobody can apply is not worth a file");
    let plan = lab.plan(PAIR, Mode::Converge).await.unwrap();
    let warned = "undoes it first, and may have something else to do then than this plan shows";
    let mut warnings = lab.take_events().into_iter().filter_map(|event| match event {
        Event::Warning { message } => Some(message),
        _ => None,
    });
    assert!(warnings.next_back().unwrap_or_default().ends_with(warned));
    lab.take_log();
    let stale = lab.apply(PAIR, &plan).await.unwrap_err().to_string();
    let why = " was cut off and has to be undone first, by `pipeline rollback`; make a new plan";
    assert!(stale.starts_with("run ") && stale.ends_with(why), "{stale}");
    assert!(lab.take_log().is_empty() && lab.things().contains_key("a"));
    assert_eq!(lab.rollback(PAIR).await.unwrap().outcome, RunOutcome::Succeeded);
    let plan = lab.plan(PAIR, Mode::Converge).await.unwrap();
    assert_eq!(lab.apply(PAIR, &plan).await.unwrap().outcome, RunOutcome::Succeeded);
}

/// Whoever takes over may be killed before it has written that it did.
#[tokio::test]
async fn a_run_that_did_not_come_to_begin_hides_no_earlier_one() {
    let lab = half_done().await;
    let run = RunId::generate();
    let journal =
        Journal::create(StateStore::journal(&lab.store, "local", run), run, Redactor::default()).unwrap();
    journal.append(Entry::Fence { epoch: 9, holder: Holder::this_process(run) }).await.unwrap();
    drop(journal);
    assert_eq!(lab.run(PAIR).await.outcome, RunOutcome::RolledBack);
    assert!(lab.things().is_empty(), "what the first run did is undone too");
}

/// Seen from another region or account, everything seems to be gone: undoing would succeed and leave it there.
#[tokio::test]
async fn what_is_in_another_place_is_not_touched_from_here() {
    let elsewhere = async |lab: &Lab| {
        let (engine, cancel) = (lab.engine(PAIR), lab.cancel.clone());
        let mut refused = Vec::new();
        for command in [RunCommand::Plan, RunCommand::Run, RunCommand::Destroy] {
            refused.push(engine.begin(command, "elsewhere", cancel.clone(), Wait::never()).await.err());
        }
        refused.push(engine.begin_rollback("elsewhere", cancel, Wait::never()).await.err());
        refused
    };
    let done = Lab::default();
    done.run(PAIR).await;
    for lab in [cut_off().await, done] {
        let things = lab.things();
        lab.take_log();
        for refused in elsewhere(&lab).await {
            let refused = refused.expect("refused").to_string();
            let said = "what `local` has is in another place (test) than the one that [cloud] and the credentials name \
                        (elsewhere), so nothing of it can be changed from here";
            assert!(refused.starts_with(said), "{refused}");
        }
        assert_eq!((lab.things(), lab.take_log().len()), (things, 0));
        assert_eq!(lab.rollback(PAIR).await.unwrap().outcome, RunOutcome::Succeeded);
        assert!(elsewhere(&lab).await[1].is_none(), "nothing is anywhere, so any place will do");
    }
}

#[tokio::test]
async fn a_rollback_by_hand_undoes_one_run_after_the_other() {
    let lab = Lab::default();
    lab.run(&with("1")).await;
    let first = (lab.things(), lab.state().await.stages);
    lab.run(&with("2")).await;
    lab.run(&with("2")).await;
    assert_eq!(lab.rollback(&with("2")).await.unwrap().outcome, RunOutcome::Succeeded);
    assert_eq!((lab.things(), lab.state().await.stages), first);
    assert_eq!(lab.rollback(&with("2")).await.unwrap().outcome, RunOutcome::Succeeded);
    assert!(lab.things().is_empty() && lab.state().await.stages.is_empty());
    let nothing = lab.rollback(&with("2")).await.unwrap_err();
    assert!(matches!(nothing, EngineError::NothingToUndo(_)), "{nothing}");
}

/// A run that waits for its user has no journal yet, in which another one could keep it from going on.
#[tokio::test]
async fn a_run_whose_lock_was_broken_before_its_first_change_changes_nothing() {
    let lab = Lab::default();
    let store = Arc::new(ObjectStateStore::new(Arc::new(InMemory::new()), "team"));
    let engine = Engine::new(lab.pipeline(PAIR), lab.registry(), store.clone(), Arc::new(|_| ()));
    let begun = engine.begin(RunCommand::Run, "test", lab.cancel.clone(), Wait::never()).await;
    let mut run = begun.unwrap();
    let plan = run.plan(Mode::Converge).await.unwrap();
    store.break_lock("local").await.unwrap().expect("it was held");
    let report = run.apply(plan).await;
    assert!(report.error.as_ref().unwrap().contains("the lock of the environment was lost"), "{report:?}");
    assert!(lab.things().is_empty());
}

/// Whoever moves a damaged journal away gives up what is older, for good: undoing that would leave out what the missing
/// run did to it.
#[tokio::test]
async fn nothing_older_than_a_missing_journal_is_undone_after_later_runs_either() {
    let lab = Lab::default();
    for value in ["1", "2"] {
        lab.run(&with(value)).await;
    }
    let missing = lab.state().await.run.unwrap();
    let mut journal = StateStore::journal(&lab.store, "local", missing);
    journal.read().await.unwrap();
    journal.truncate(0).await.unwrap();
    let refused = async |value: &str| {
        let refused = lab.rollback(&with(value)).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("the journal of run {missing} is missing")), "{refused}");
    };
    refused("2").await;
    lab.run(&with("3")).await;
    assert_eq!(lab.rollback(&with("3")).await.unwrap().outcome, RunOutcome::Succeeded);
    refused("2").await;
    lab.fault("b", Fault::Early);
    assert_eq!(lab.run(&with("4")).await.outcome, RunOutcome::RolledBack);
    refused("4").await;
    assert!(lab.things().values().eq([&json!("2"), &json!("2")]), "{:?}", lab.things());
}

#[tokio::test]
async fn a_stage_that_left_the_file_after_a_run_was_cut_off_comes_back_as_it_was() {
    let lab = killed_after_a(Some(&with("1")), &with("2"), "2").await;
    lab.fault("b", Fault::None);
    let without = "[stages.b]\nuses = \"thing\"\nvalue = \"3\"\n";
    assert_eq!(lab.run(without).await.outcome, RunOutcome::Succeeded);
    assert_eq!(lab.things().into_iter().collect::<Vec<_>>(), [("b".to_owned(), json!("3"))]);
    assert_eq!(lab.rollback(without).await.unwrap().outcome, RunOutcome::Succeeded);
    assert!(lab.things().values().eq([&json!("1"), &json!("1")]), "{:?}", lab.things());
}

#[tokio::test]
async fn a_rollback_that_gets_stuck_can_be_repeated() {
    let lab = Lab::default();
    lab.run(PAIR).await;
    lab.fault("a", Fault::NoUndo);
    let stuck = lab.rollback(PAIR).await.unwrap();
    assert_eq!((stuck.outcome, stuck.left_over.len()), (RunOutcome::Stuck, 1));
    assert_eq!(lab.things().keys().collect::<Vec<_>>(), ["a"]);
    lab.fault("a", Fault::None);
    assert_eq!(lab.rollback(PAIR).await.unwrap().outcome, RunOutcome::Succeeded);
    assert!(lab.things().is_empty() && lab.state().await.stages.is_empty());
}

/// Which of several side effects a stage had undone before it failed, it does not tell.
#[tokio::test]
async fn what_may_have_been_undone_is_not_said_to_be_left() {
    let lab = half_done().await;
    lab.fault("a", Fault::NoUndo);
    lab.fault("b", Fault::Early);
    let stuck = lab.run(&with("new")).await;
    assert_eq!(stuck.outcome, RunOutcome::Stuck);
    insta::assert_snapshot!(stuck.left_over.join("\n"), @r"
    stage `a`: test:thing a was changed and may not be undone: cannot be undone; the next run puts it right
    stage `a`: test:thing a was created and may not be undone: cannot be undone; delete it by hand if it is not wanted
    ");
}

#[tokio::test]
async fn what_was_removed_is_not_brought_back_by_a_rollback() {
    let lab = Lab::default();
    lab.run(PAIR).await;
    lab.destroy(PAIR).await;
    let error = lab.rollback(PAIR).await.unwrap_err().to_string();
    assert!(error.contains("removed everything; `pipeline run` makes it again"), "{error}");
}

/// A run of `PAIR` was told to stop while `b` was being applied, and killed with nothing written but that wish.
async fn killed_after_wish() -> Lab {
    let lab = Lab::default();
    lab.fault("b", Fault::UntilCancelled);
    let power = Power::for_writes(1000, true);
    let (cancel, applying) = (lab.cancel.clone(), lab.applying.clone());
    let wish = async {
        applying.notified().await;
        applying.notified().await;
        // Everything but the wish itself is lost.
        power.left.store(2, Ordering::SeqCst);
        cancel.request("SIGINT");
        std::future::pending::<()>().await
    };
    tokio::select! {
        end = lab.until_killed(PAIR, Mode::Converge, &power) => assert!(end.is_none(), "{end:?}"),
        () = wish => unreachable!(),
    }
    assert!(lab.things().contains_key("a"), "it was killed before it was undone");
    lab.fault("b", Fault::None);
    lab.take_log();
    Lab { cancel: Default::default(), ..lab.clone() }
}

#[tokio::test]
async fn a_run_that_is_told_to_stop_and_killed_is_undone_by_the_next() {
    let lab = killed_after_wish().await;
    assert_eq!(lab.run(PAIR).await.outcome, RunOutcome::Succeeded);
    assert_eq!(lab.take_calls("undo"), ["a"]);
    assert_eq!(lab.things()["b"], json!("default"));
}
