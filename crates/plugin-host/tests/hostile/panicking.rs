//! A plugin in Rust that panics: an error of the call, after which it can be called again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use pipeline_plugin_host::{Options, Plugins, Trust};
use pipeline_sdk::{
    Action, CancellationToken, Context, ContextParts, Done, Event, EventRecord, Inputs, Isolation, Mode,
    NullSink, PipelineId, PluginSource, ProgressSink, ResourceId, RunId, StageKind, StageName, StagePlan,
    json,
};

use crate::lab::{built, relay};

const BOTH: [Isolation; 2] = [Isolation::None, Isolation::Process];

fn plugins(folder: &Path) -> Plugins {
    Plugins::new(Options { directory: folder.to_owned(), trust: Trust::FirstUse, program: relay() })
}

/// The examples are libraries that are built with the tests.
fn library(name: &str) -> PathBuf {
    let library = built().join(format!("examples/lib{name}.so"));
    assert!(library.exists(), "{}: `cargo test` without `--test` builds it", library.display());
    library
}

pub(crate) fn context() -> Context {
    context_heard_by(Arc::new(NullSink))
}

pub(crate) fn context_heard_by(sink: Arc<dyn ProgressSink>) -> Context {
    Context::from(ContextParts {
        stage: StageName::new("it").expect("a name"),
        run: RunId::generate(),
        pipeline: PipelineId { name: "app".to_owned(), environment: "test".to_owned() },
        directory: PathBuf::from("/"),
        mode: Mode::Converge,
        prior: None,
        cancel: CancellationToken::new(),
        sink,
        recorder: Arc::new(NullSink),
        services: None,
        inputs: None,
    })
}

fn inputs(function: &str) -> Inputs {
    Inputs([("function".to_owned(), json!(function))].into_iter().collect())
}

/// What each method of the stage says if the one that is called `function` panics.
async fn answers(kind: &StageKind, function: &str) -> [(&'static str, Result<(), String>); 3] {
    let (cx, stage) = (context(), &kind.stage);
    let plan = StagePlan { detail: json!(function), ..StagePlan::default() };
    let resource = ResourceId::new("test:thing", "one");
    let done = Done { resource, action: Action::Create, before: Some(json!(function)), after: None };
    let planned = stage.plan(&cx, &inputs(function)).await;
    let applied = stage.apply(&cx, &plan).await;
    let undone = stage.rollback(&cx, &[done]).await;
    [
        ("plan", planned.map(drop).map_err(|error| error.to_string())),
        ("apply", applied.map(drop).map_err(|error| error.error.to_string())),
        ("rollback", undone.map_err(|error| error.to_string())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_stage_is_an_error_of_that_call_alone() {
    for isolation in BOTH {
        let folder = tempfile::tempdir().expect("a folder");
        let plugins = plugins(folder.path());
        let uses = format!("{}#stage", library("panics").display());
        let kind = plugins.stage(&uses, isolation).expect("a stage");
        for panics in ["plan", "apply", "rollback", "nothing"] {
            for (method, answer) in answers(&kind, panics).await {
                let wanted = format!("it panicked: in {method}");
                match answer {
                    Err(error) if method == panics => {
                        assert!(error.contains(&wanted), "{isolation:?}: {error}")
                    }
                    other => {
                        assert_eq!((other, method == panics), (Ok(()), false), "{isolation:?}: {method}")
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_notifier_is_an_error_of_that_call_alone() {
    for isolation in BOTH {
        let folder = tempfile::tempdir().expect("a folder");
        let plugins = plugins(folder.path());
        let uses = format!("{}#notifier", library("panics").display());
        let kind = plugins.notifier(&uses, isolation).expect("a notifier");
        let error = (kind.create)(&inputs("create")).err().expect("an error").to_string();
        assert!(error.contains("it panicked: in create"), "{isolation:?}: {error}");

        let event = Event::StageStarted { stage: StageName::new("it").expect("a name") };
        let record = EventRecord { run: RunId::generate(), seq: 0, at: Timestamp::now(), event };
        let panicking = (kind.create)(&inputs("notify")).expect("it opens");
        let sound = (kind.create)(&inputs("nothing")).expect("it opens");
        for _ in 0..2 {
            let error = panicking.notify(&record).await.expect_err("an error").message;
            assert!(error.contains("it panicked: in notify"), "{isolation:?}: {error}");
            sound.notify(&record).await.unwrap_or_else(|error| panic!("{isolation:?}: {}", error.message));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_panics_before_it_says_what_it_is_is_refused() {
    for isolation in BOTH {
        let folder = tempfile::tempdir().expect("a folder");
        let plugins = plugins(folder.path());
        let uses = library("panics_at_once").display().to_string();
        let refused = plugins.stage(&uses, isolation).err().expect("an error").to_string();
        assert!(refused.contains("it refused to open"), "{isolation:?}: {refused}");
    }
}
