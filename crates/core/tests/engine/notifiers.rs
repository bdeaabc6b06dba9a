//! Notifiers hear everything in order and can harm nobody.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipeline_sdk::{
    Event, EventRecord, Manifest, Notifier, NotifierKind, NotifyError, RunOutcome, StageError, async_trait,
    json,
};

use crate::world::Lab;

const TEXT: &str = "[stages.a]\nuses = \"thing\"\n[notify.test]\nuses = \"test\"\n";

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Flaky,
    Dead,
    Slow,
    Panicking,
    DeadAfter(u32),
}

struct Test {
    manner: Manner,
    calls: AtomicU32,
    heard: Arc<Mutex<Vec<u64>>>,
}

#[async_trait]
impl Notifier for Test {
    async fn notify(&self, event: &EventRecord) -> Result<(), NotifyError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.manner {
            Manner::Slow => std::future::pending().await,
            Manner::Panicking => panic!("a defect"),
            Manner::Dead => Err(NotifyError { message: "404".to_owned(), retryable: false }),
            Manner::DeadAfter(calls) if call < calls => Ok(()),
            Manner::DeadAfter(_) => Err(NotifyError { message: "404".to_owned(), retryable: false }),
            Manner::Flaky if call.is_multiple_of(2) => {
                Err(NotifyError { message: "503".to_owned(), retryable: true })
            }
            Manner::Flaky => {
                self.heard.lock().unwrap().push(event.seq);
                Ok(())
            }
        }
    }
}

fn lab(manner: Manner) -> (Lab, Arc<Mutex<Vec<u64>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let for_notifier = heard.clone();
    let manifest = Manifest {
        kind: "test".to_owned(),
        summary: "test".to_owned(),
        inputs: json!({ "type": "object" }).into(),
        ..Manifest::default()
    };
    let create = Arc::new(move |_: &_| {
        let notifier = Test { manner, calls: AtomicU32::new(0), heard: for_notifier.clone() };
        Ok(Arc::new(notifier) as Arc<dyn Notifier>)
    });
    (Lab { notifier: Some(NotifierKind { manifest, create }), ..Lab::default() }, heard)
}

#[tokio::test]
async fn what_fails_is_tried_again_and_the_order_stays() {
    let (lab, heard) = lab(Manner::Flaky);
    assert_eq!(lab.run(TEXT).await.outcome, RunOutcome::Succeeded);
    let events = lab.events.lock().unwrap().len() as u64;
    assert_eq!(*heard.lock().unwrap(), (0..events).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dead_slow_or_panicking_notifier_harms_nobody() {
    for manner in [Manner::Dead, Manner::Slow, Manner::Panicking] {
        let (lab, _) = lab(manner);
        let begin = Instant::now();
        assert_eq!(lab.run(TEXT).await.outcome, RunOutcome::Succeeded);
        assert!(begin.elapsed() < Duration::from_secs(5), "the wait at the end is bounded");
    }
}

#[tokio::test]
async fn a_dead_notifier_is_reported_once() {
    let (lab, _) = lab(Manner::Dead);
    lab.world.lock().unwrap().delay = Duration::from_millis(20);
    lab.run(TEXT).await;
    let warnings = |event: &Event| matches!(event, Event::Warning { message } if message.contains("`test`"));
    assert_eq!(lab.take_events().iter().filter(|event| warnings(event)).count(), 1);
}

/// One that cannot be made is as one that is dead, unless it is required or the file is wrong about it.
#[tokio::test]
async fn a_notifier_that_cannot_be_made_harms_nobody() {
    type Cause = fn() -> StageError;
    let (away, wrong): (Cause, Cause) =
        (|| StageError::failed("nobody is there"), || StageError::input("url", "is no URL"));
    let required = format!("{TEXT}required = true\n");
    for (text, cause, runs) in [(TEXT, away, true), (&required, away, false), (TEXT, wrong, false)] {
        let (mut lab, _) = lab(Manner::Dead);
        let kind = lab.notifier.as_mut().unwrap();
        kind.create = Arc::new(move |_: &_| Err(cause()));
        let tried = try_run(&lab, text).await;
        assert_eq!(tried.is_ok(), runs, "{tried:?}");
        let warned = |event: &Event| matches!(event, Event::Warning { message } if message.contains("nobody is there"));
        assert_eq!(lab.take_events().iter().filter(|event| warned(event)).count(), usize::from(runs));
    }
}

#[tokio::test]
async fn looking_at_a_plan_tells_nobody() {
    let (lab, heard) = lab(Manner::Flaky);
    lab.plan(TEXT, pipeline_sdk::Mode::Converge).await.unwrap();
    assert!(heard.lock().unwrap().is_empty());
}

/// Runs; what it says if it changed nothing. Whether it is while planning or after that depends on when the
/// notifier is found to be dead.
async fn try_run(lab: &Lab, text: &str) -> Result<(), String> {
    let engine = lab.engine(text);
    let wait = pipeline_core::Wait::never();
    let begun = engine.begin(pipeline_sdk::RunCommand::Run, "test", lab.cancel.clone(), wait).await;
    let mut run = begun.map_err(|error| error.to_string())?;
    let plan = run.plan(pipeline_sdk::Mode::Converge).await.map_err(|error| error.to_string())?;
    let report = run.apply(plan).await;
    if report.outcome == RunOutcome::Failed { Err(report.error.unwrap_or_default()) } else { Ok(()) }
}

#[tokio::test]
async fn nothing_is_changed_that_a_required_notifier_does_not_hear_of() {
    let text = format!("{TEXT}required = true\n");
    let (lab, _) = lab(Manner::Dead);
    let error = try_run(&lab, &text).await.unwrap_err();
    assert!(error.contains("the required notifier `test`"), "{error}");
    assert!(lab.world.lock().unwrap().things.is_empty());
    let (lab, heard) = self::lab(Manner::Flaky);
    assert_eq!(lab.run(&text).await.outcome, RunOutcome::Succeeded);
    assert!(!heard.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_a_required_notifier_can_be_stopped() {
    let text = format!("{TEXT}required = true\n");
    let (lab, _) = lab(Manner::Slow);
    let report = tokio::join!(lab.run(&text), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lab.cancel.request("SIGINT");
    })
    .0;
    assert_eq!((report.outcome, report.changes), (RunOutcome::Cancelled, 0));
    assert!(lab.take_events().iter().any(|event| matches!(event, Event::CancelRequested { .. })));
    assert!(lab.world.lock().unwrap().things.is_empty());
}

#[tokio::test]
async fn a_run_ends_and_is_undone_when_a_required_notifier_misses_something() {
    let text = format!("{TEXT}required = true\n");
    // It takes what comes before the first change, and nothing after it.
    let (lab, _) = lab(Manner::DeadAfter(3));
    lab.fault("a", crate::world::Fault::UntilCancelled);
    let report = lab.run(&text).await;
    assert_eq!(report.outcome, RunOutcome::Cancelled);
    assert!(lab.world.lock().unwrap().things.is_empty());
}
