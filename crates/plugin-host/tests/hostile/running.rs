//! What a plugin does while it is called.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_plugin_host::{Options, Plugins, Trust};
use pipeline_sdk::{Event, Inputs, Isolation, PluginSource, Progress, ProgressSink, RunOutcome, StageName};

use crate::lab::{Lab, compile, compile_file, relay};
use crate::panicking::context_heard_by;

/// Where a library runs.
const BOTH: [&str; 2] = ["none", "process"];

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_keeps_to_the_contract_works() {
    for way in ["GOOD", "TWICE", "PRINTS", "FOREIGN_ID"] {
        for isolation in BOTH {
            let lab = Lab::new(way, isolation);
            let report = lab.run().await;
            assert_eq!(report.outcome, RunOutcome::Succeeded, "{way} {isolation}: {report:?}");
            assert_eq!(lab.calls(), ["apply"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_the_first_version_works() {
    for isolation in BOTH {
        let folder = tempfile::tempdir().expect("a folder");
        compile_file(folder.path(), "tests/frozen/v1/plugin.c", "-DNDEBUG");
        let mut lab = Lab::with(folder, isolation);
        lab.inputs = "";
        let report = lab.run().await;
        assert_eq!(report.outcome, RunOutcome::Succeeded, "{report:?}");
        assert_eq!(lab.run().await.outcome, RunOutcome::Unchanged);
        assert_eq!(lab.state().await.stages.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_ends_the_run_with_an_error_and_a_rollback() {
    let cases = [
        ("GARBAGE", "what is no message"),
        ("WRONG_RESULT", "its result cannot be read"),
        ("HUGE_MESSAGE", "a message of more than 16 MiB"),
    ];
    for (way, wanted) in cases {
        for isolation in BOTH {
            let lab = Lab::new(way, isolation);
            let report = lab.run().await;
            assert_eq!(report.outcome, RunOutcome::RolledBack, "{way} {isolation}: {report:?}");
            let error = report.error.expect("an error");
            assert!(error.contains(wanted), "{way} {isolation}: {error}");
            assert_eq!(lab.calls(), ["apply", "rollback"], "{way} {isolation}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_process_of_its_own_is_an_error_and_the_run_rolls_back() {
    for (way, wanted) in [("EXITS", "exit status: 7"), ("CRASHES", "signal: 11")] {
        let lab = Lab::new(way, "process");
        let report = lab.run().await;
        assert_eq!(report.outcome, RunOutcome::RolledBack, "{way}: {report:?}");
        let error = report.error.expect("an error");
        assert!(error.contains(wanted), "{way}: {error}");
        assert_eq!(lab.calls(), ["apply", "rollback"], "a new process undoes it");
    }
}

#[tokio::test]
async fn what_does_not_end_is_given_up_after_its_timeout_and_its_grace() {
    for way in ["NEVER", "BLOCKS", "SAYS_PROMPT"] {
        for isolation in BOTH {
            let lab = Lab::new(way, isolation).with_timeout("1s");
            let report = lab.run().await;
            assert_eq!(report.outcome, RunOutcome::RolledBack, "{way} {isolation}: {report:?}");
            assert!(report.error.expect("an error").contains("timeout"), "{way} {isolation}");
            // A library that is stuck is opened a second time, to undo what it did.
            assert_eq!(lab.calls(), ["apply", "rollback"], "{way} {isolation}");
        }
    }
}

#[tokio::test]
async fn what_is_completed_too_late_changes_nothing() {
    // A process was ended long before.
    let lab = Lab::new("LATE", "none").with_timeout("1s");
    let report = lab.run().await;
    assert_eq!(report.outcome, RunOutcome::RolledBack, "{report:?}");
    let state = lab.state().await;
    while lab.calls().len() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lab.calls(), ["apply", "rollback", "late"]);
    assert_eq!(lab.state().await, state, "neither its result nor its intent is written down");
}

#[tokio::test]
async fn the_first_of_two_results_counts() {
    for isolation in BOTH {
        let lab = Lab::new("TWICE", isolation);
        let report = lab.run().await;
        assert_eq!(report.outcome, RunOutcome::Succeeded, "{isolation}: {report:?}");
        let state = format!("{:?}", lab.state().await);
        assert!(state.contains("done") && !state.contains("again"), "{isolation}: {state}");
    }
}

/// What a stage has said.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl ProgressSink for Said {
    fn progress(&self, _: &StageName, progress: Progress) {
        self.0.lock().expect("what was said").push(progress.message);
    }
}

#[tokio::test]
async fn a_library_that_is_not_as_prompt_as_it_says_holds_nobody_up_and_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    compile(folder.path(), "HESITATES");
    let options = Options { directory: folder.path().to_owned(), trust: Trust::FirstUse, program: relay() };
    let plugins = Plugins::new(options);
    let kind = plugins.stage("./hostile.so", Isolation::None).expect("a stage");
    let said = Arc::new(Said::default());
    let plan = kind.stage.plan(&context_heard_by(said.clone()), &Inputs::default()).await.expect("a plan");
    for run in 0..20 {
        let context = context_heard_by(said.clone());
        let applied = kind.stage.apply(&context, &plan);
        let mut ticks = 0;
        let ticking = async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                ticks += 1;
            }
        };
        tokio::select! {
            applied = applied => assert!(applied.is_ok(), "{run}: {applied:?}"),
            () = ticking => {}
        }
        // It took 150 ms.
        assert!(ticks > 3, "{run}: nothing else went on");
    }
    let said = said.0.lock().expect("what was said");
    assert_eq!(said.iter().filter(|line| line.contains("it is prompt")).count(), 1, "{said:?}");
}

#[tokio::test]
async fn a_library_that_was_prompt_for_long_holds_nobody_up_when_it_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    compile(folder.path(), "TIRES");
    let options = Options { directory: folder.path().to_owned(), trust: Trust::FirstUse, program: relay() };
    let plugins = Plugins::new(options);
    let kind = plugins.stage("./hostile.so", Isolation::None).expect("a stage");
    let context = context_heard_by(Arc::new(Said::default()));
    let plan = kind.stage.plan(&context, &Inputs::default()).await.expect("a plan");
    for _ in 0..20 {
        kind.stage.apply(&context, &plan).await.expect("it works");
    }
    let stops = tokio::time::timeout(Duration::from_millis(500), kind.stage.apply(&context, &plan)).await;
    assert!(stops.is_err(), "{stops:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_is_ignored_ends_the_run_after_the_grace() {
    for isolation in BOTH {
        let lab = Lab::new("NEVER", isolation);
        let cancel = lab.cancel.clone();
        let asked = async {
            while lab.calls().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cancel.request("a test");
        };
        let (report, ()) = tokio::join!(lab.run(), asked);
        assert_eq!(report.outcome, RunOutcome::Cancelled, "{isolation}: {report:?}");
        assert_eq!(lab.calls(), ["apply", "rollback"], "{isolation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_that_the_plan_did_not_show() {
    for isolation in BOTH {
        let lab = Lab::new("OVERSTEPS", isolation);
        let report = lab.run().await;
        assert_ne!(report.outcome, RunOutcome::Succeeded, "{isolation}");
        let error = report.error.expect("an error");
        assert!(error.contains("test:thing another, which its plan did not show"), "{isolation}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_leaked_comes_out_redacted() {
    let lab = Lab::new("LEAKS", "none");
    let report = lab.run().await;
    assert_eq!(report.outcome, RunOutcome::Succeeded, "{report:?}");
    let state = lab.state().await;
    let text = format!("{state:?}");
    assert!(!text.contains("hush-hush-hush"), "{text}");
    let events = lab.events.lock().expect("events");
    let said = events.iter().find_map(|record| match &record.event {
        Event::StageProgress { progress, .. } => Some(progress.message.clone()),
        _ => None,
    });
    assert_eq!(said.expect("it said it"), "the secret is [redacted]");
}
