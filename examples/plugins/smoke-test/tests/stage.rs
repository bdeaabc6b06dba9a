//! The stage through its contract, against a server on this machine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use pipeline_plugin::{
    Action, CancellationToken, Context, ContextParts, Inputs, Mode, NullSink, Outputs, PipelineId, Prior,
    Progress, ProgressSink, RunId, Stage, StageError, StageName, StagePlan, Value, json,
};

/// Answers with 503 as long as it is not up.
#[derive(Clone, Default)]
struct App {
    calls: Arc<Mutex<Vec<HeaderMap>>>,
    starts_after: usize,
    pause: Duration,
}

impl App {
    /// The port it listens on.
    async fn start(&self) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        port
    }

    fn calls(&self) -> Vec<HeaderMap> {
        self.calls.lock().expect("not poisoned").clone()
    }
}

async fn answer(State(app): State<App>, headers: HeaderMap) -> (StatusCode, &'static str) {
    let calls = {
        let mut calls = app.calls.lock().expect("not poisoned");
        calls.push(headers);
        calls.len()
    };
    tokio::time::sleep(app.pause).await;
    match calls > app.starts_after {
        true => (StatusCode::OK, "hello from version 2"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl ProgressSink for Notes {
    fn progress(&self, _: &StageName, progress: Progress) {
        self.0.lock().expect("not poisoned").push(progress.message);
    }
}

/// Calls the stage as an engine does.
struct Caller {
    mode: Mode,
    prior: Option<Outputs>,
    cancel: CancellationToken,
    notes: Arc<Notes>,
}

impl Caller {
    fn new() -> Self {
        let (cancel, notes) = (CancellationToken::new(), Arc::default());
        Self { mode: Mode::Converge, prior: None, cancel, notes }
    }

    fn after(outputs: &Outputs) -> Self {
        Self { prior: Some(outputs.clone()), ..Self::new() }
    }

    fn context(&self) -> Context {
        Context::from(ContextParts {
            stage: StageName::new("smoke").expect("a name"),
            run: RunId::generate(),
            pipeline: PipelineId { name: "hello".into(), environment: "staging".into() },
            directory: PathBuf::from("."),
            mode: self.mode,
            prior: self.prior.clone().map(|outputs| Prior { outputs }),
            cancel: self.cancel.clone(),
            sink: self.notes.clone(),
            recorder: Arc::new(NullSink),
            services: None,
            inputs: None,
        })
    }

    async fn plan(&self, inputs: &Value) -> Result<StagePlan, StageError> {
        let inputs: Inputs = serde_json::from_value(inputs.clone()).expect("an object");
        stage().plan(&self.context(), &inputs).await
    }

    async fn run(&self, inputs: &Value) -> Result<Outputs, StageError> {
        let plan = self.plan(inputs).await?;
        stage().apply(&self.context(), &plan).await.map_err(|error| error.error)
    }
}

fn stage() -> Arc<dyn Stage> {
    smoke_test::kind().stage
}

#[tokio::test]
async fn it_calls_until_the_answer_is_right() {
    let app = App { starts_after: 2, ..App::default() };
    let url = format!("http://127.0.0.1:{}/health", app.start().await);
    let caller = Caller::new();
    let inputs = json!({
        "url": url, "contains": "version 2", "interval_seconds": 0, "headers": { "X-Probe": "sesame" },
    });
    let outputs = caller.run(&inputs).await.expect("right in the end");
    assert_eq!(outputs.values["status"], 200);
    assert!(outputs.values["elapsed_ms"].is_u64());
    assert!(!json!(outputs).to_string().contains("sesame"));
    assert_eq!(app.calls().len(), 3);
    assert_eq!(app.calls()[2]["x-probe"], "sesame");
    let notes = caller.notes.0.lock().expect("not poisoned").clone();
    assert_eq!(notes[0], "attempt 1 of 30: it answered 503 Service Unavailable, not 200 OK");
    assert!(notes.len() == 3 && notes[2].starts_with("attempt 3: it answered 200 OK after "), "{notes:?}");
}

#[tokio::test]
async fn it_fails_with_the_last_answer_and_what_to_do() {
    let app = App::default();
    let url = format!("http://127.0.0.1:{}/", app.start().await);
    for (wanted, wrong) in [
        (json!({ "status": 301 }), "it answered 200 OK, not 301 Moved Permanently"),
        (json!({ "contains": "version 3" }), "it answered 200 OK without the text `version 3`"),
    ] {
        let mut inputs = json!({ "url": url, "attempts": 2, "interval_seconds": 0 });
        inputs.as_object_mut().expect("an object").extend(wanted.as_object().expect("one").clone());
        let error = Caller::new().run(&inputs).await.expect_err("never right");
        assert_eq!(error.to_string(), format!("{url} was called 2 times and was never as expected: {wrong}"));
        assert!(error.help().is_some_and(|help| help.contains("`attempts`")));
    }
    let nobody = json!({ "url": "http://127.0.0.1:9/", "attempts": 1 });
    let error = Caller::new().run(&nobody).await.expect_err("nobody listens").to_string();
    assert!(error.contains("it does not answer: Connection refused"), "{error}");
}

#[tokio::test]
async fn a_slow_answer_is_a_wrong_one() {
    let app = App { pause: Duration::from_secs(5), ..App::default() };
    let url = format!("http://127.0.0.1:{}/", app.start().await);
    let inputs = json!({ "url": url, "attempts": 1, "timeout_seconds": 1 });
    let error = Caller::new().run(&inputs).await.expect_err("too slow").to_string();
    assert!(error.ends_with("it did not answer within 1 s"), "{error}");
}

#[tokio::test]
async fn a_cancellation_ends_it_at_once() {
    let app = App { starts_after: usize::MAX, ..App::default() };
    let url = format!("http://127.0.0.1:{}/", app.start().await);
    let caller = Caller::new();
    let cancel = caller.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    let begin = Instant::now();
    let inputs = json!({ "url": url, "interval_seconds": 3600 });
    let error = caller.run(&inputs).await.expect_err("cancelled");
    assert!(matches!(error, StageError::Cancelled), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_name_that_nobody_knows_can_be_told() {
    let app = App::default();
    let port = app.start().await;
    let url = format!("http://hello-staging.pipeline.test:{port}/");
    let resolve = format!("hello-staging.pipeline.test:{port}:127.0.0.1");
    let inputs = json!({ "url": url, "resolve": resolve, "attempts": 1 });
    Caller::new().run(&inputs).await.expect("found");
    assert_eq!(app.calls()[0]["host"], format!("hello-staging.pipeline.test:{port}"));
}

#[tokio::test]
async fn it_is_planned_again_only_for_another_version_or_test() {
    let app = App::default();
    let url = format!("http://127.0.0.1:{}/", app.start().await);
    let inputs = json!({ "url": url, "version": "1", "headers": { "X-Probe": "a" } });
    let plan = Caller::new().plan(&inputs).await.expect("a plan");
    assert_eq!((plan.changes.len(), plan.changes[0].action), (1, Action::Run));
    assert_eq!(plan.changes[0].resource.to_string(), "http:check hello-staging");
    let outputs = Caller::new().run(&inputs).await.expect("right");

    let again = Caller::after(&outputs).plan(&inputs).await.expect("a plan");
    assert!(again.is_empty());
    assert_eq!(again.outputs, outputs);
    let patient = json!({ "url": url, "version": "1", "headers": { "X-Probe": "b" }, "attempts": 99 });
    assert!(Caller::after(&outputs).plan(&patient).await.expect("a plan").is_empty());

    let other = json!({ "url": url, "version": "2", "headers": { "X-Probe": "a" } });
    let plan = Caller::after(&outputs).plan(&other).await.expect("a plan");
    let changed = &plan.changes[0].attributes;
    assert_eq!(changed.len(), 1);
    assert_eq!(
        (&*changed[0].path, &changed[0].before, &changed[0].after),
        ("version", &json!("1"), &json!("2"))
    );
}

#[tokio::test]
async fn unknown_inputs_are_planned_and_not_tested() {
    let unknown = |output: &str| json!({ "$unknown": format!("stages.deploy.{output}") });
    let inputs = json!({ "url": unknown("url"), "version": unknown("task_definition"), "resolve": null });
    let caller = Caller::new();
    let plan = caller.plan(&inputs).await.expect("a plan");
    assert_eq!(plan.outputs.values["checked"]["version"], unknown("task_definition"));
    let error = stage().apply(&caller.context(), &plan).await.expect_err("too early").to_string();
    assert_eq!(error, "the plan was made before all inputs were known");
}

#[tokio::test]
async fn there_is_nothing_to_remove_and_nothing_drifts() {
    let prior = Outputs {
        values: [("checked".to_owned(), json!({ "url": "http://old/" }))].into_iter().collect(),
        ..Outputs::default()
    };
    for (mode, outputs) in [(Mode::Destroy, Outputs::default()), (Mode::Refresh, prior.clone())] {
        let caller = Caller { mode, ..Caller::after(&prior) };
        let plan = caller.plan(&json!({ "url": "http://127.0.0.1:9/" })).await.expect("a plan");
        assert!(plan.is_empty());
        assert_eq!(plan.outputs, outputs);
    }
}

#[tokio::test]
async fn wrong_inputs_show_in_the_plan() {
    for (inputs, field) in [
        (json!({}), "`inputs`"),
        (json!({ "url": "hello" }), "`url`"),
        (json!({ "url": "http://a/", "status": 42 }), "`status`"),
        (json!({ "url": "http://a/", "resolve": "a:80" }), "`resolve`"),
        (json!({ "url": "http://a/", "resolve": "b:80:127.0.0.1" }), "`resolve`"),
        (json!({ "url": "http://a/", "headers": { "x y": "" } }), "`headers.x y`"),
    ] {
        let error = Caller::new().plan(&inputs).await.expect_err("wrong").to_string();
        assert!(error.starts_with(field), "{error}");
    }
}
