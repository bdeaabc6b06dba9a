//! The notifier through its contract, against a receiver on this machine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use pipeline_sdk::{
    Event, EventRecord, Inputs, Notifier, NotifyError, PipelineId, Progress, ProgressLevel, RunCommand,
    RunId, RunOutcome, StageName, StageOutcome, Value, json,
};
use sha2::Sha256;

/// A status and a header.
type Answer = (u16, Option<(&'static str, &'static str)>);

#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/events?token=hushhush", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        url
    }

    fn will_answer(&self, answer: Answer) {
        self.answers.lock().expect("not poisoned").push_back(answer);
    }

    fn requests(&self) -> Vec<(HeaderMap, Bytes)> {
        std::mem::take(&mut *self.got.lock().expect("not poisoned"))
    }

    fn bodies(&self) -> Vec<Value> {
        let json = |(_, body): &(_, Bytes)| serde_json::from_slice(body).expect("JSON");
        self.requests().iter().map(json).collect()
    }

    fn names(&self) -> Vec<String> {
        self.bodies().iter().map(|body| body["event"].as_str().expect("a name").to_owned()).collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap) {
    receiver.got.lock().expect("not poisoned").push((headers, body));
    let (status, header) = receiver.answers.lock().expect("not poisoned").pop_front().unwrap_or((204, None));
    let headers =
        header.map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
    (StatusCode::from_u16(status).expect("a status"), headers.into_iter().collect())
}

fn create(inputs: Value) -> Result<Arc<dyn Notifier>, String> {
    let Value::Object(inputs) = inputs else { panic!("not an object") };
    let created = (notify_webhook::kind().create)(&Inputs(inputs.into_iter().collect()));
    created.map_err(|error| error.to_string())
}

fn notifier(inputs: Value) -> Arc<dyn Notifier> {
    create(inputs).expect("inputs are right")
}

/// One event of each name, and progress of each level.
fn story() -> Vec<EventRecord> {
    let stage = || StageName::new("deploy").expect("a name");
    let progress = |level| Event::StageProgress {
        stage: stage(),
        progress: Progress { level, ..Progress::note("half of the traffic is shifted") },
    };
    let events = [
        started(),
        Event::StagePlanned { stage: stage(), changes: vec![] },
        Event::Planned { changes: 3 },
        Event::StageStarted { stage: stage() },
        progress(ProgressLevel::Note),
        progress(ProgressLevel::Milestone),
        progress(ProgressLevel::Warning),
        Event::ResourceChanged {
            stage: stage(),
            resource: pipeline_sdk::ResourceId::new("ecs:service", "hello-staging"),
            action: pipeline_sdk::Action::Update,
        },
        Event::Warning { message: "the notifier `slack` does not answer".into() },
        Event::CancelRequested { cause: "SIGINT".into() },
        Event::StageFinished {
            stage: stage(),
            outcome: StageOutcome::Failed,
            elapsed_ms: 61_000,
            error: Some("no healthy target".into()),
            help: None,
        },
        Event::RollbackStarted { cause: "deploy: no healthy target".into() },
        finished(),
    ];
    (0..).zip(events).map(|(seq, event)| record(seq, event)).collect()
}

fn started() -> Event {
    Event::RunStarted {
        pipeline: PipelineId { name: "hello".into(), environment: "staging".into() },
        command: RunCommand::Run,
        target: "eu-central-1".into(),
        link: None,
        stages: vec![StageName::new("deploy").expect("a name")],
    }
}

fn finished() -> Event {
    Event::RunFinished { outcome: RunOutcome::RolledBack, elapsed_ms: 95_000, error: None, left_over: vec![] }
}

fn record(seq: u64, event: Event) -> EventRecord {
    let run = RunId::parse("01890a5d-ac96-774b-bcce-b302099a8057").expect("an id");
    EventRecord { run, seq, at: Timestamp::from_second(1_700_000_000).expect("a time"), event }
}

async fn tell(inputs: Value) -> Receiver {
    let receiver = Receiver::default();
    let Value::Object(mut inputs) = inputs else { panic!("not an object") };
    inputs.insert("url".to_owned(), receiver.start().await.into());
    let webhook = notifier(Value::Object(inputs));
    for event in story() {
        webhook.notify(&event).await.expect("delivered");
    }
    receiver
}

#[tokio::test]
async fn bodies_are_the_events_and_whose_they_are() {
    let receiver = tell(json!({ "events": ["run_started", "stage_finished"] })).await;
    insta::assert_json_snapshot!(receiver.bodies());
}

#[tokio::test]
async fn details_are_left_out_unless_asked_for() {
    let names = tell(json!({})).await.names();
    let told = [
        "run_started",
        "stage_progress",
        "stage_progress",
        "warning",
        "cancel_requested",
        "stage_finished",
        "rollback_started",
        "run_finished",
    ];
    assert_eq!(names, told);
}

#[tokio::test]
async fn every_event_can_be_asked_for_by_its_name() {
    let names: Vec<String> = story().iter().map(|record| record.event.name().to_owned()).collect();
    assert_eq!(tell(json!({ "events": names })).await.names(), names);
    let receiver = tell(json!({ "events": ["stage_progress"] })).await;
    assert_eq!(receiver.names().len(), 3);
}

#[tokio::test]
async fn an_event_of_an_unknown_run_does_not_say_whose_it_is() {
    let receiver = Receiver::default();
    let webhook = notifier(json!({ "url": receiver.start().await }));
    webhook.notify(&record(0, started())).await.expect("delivered");
    let other = EventRecord { run: RunId::generate(), ..record(1, finished()) };
    webhook.notify(&other).await.expect("delivered");
    let bodies = receiver.bodies();
    assert_eq!((bodies.len(), bodies[1].get("pipeline")), (2, None));
}

#[tokio::test]
async fn headers_say_what_was_set_and_which_delivery_it_is() {
    let headers = json!({ "Authorization": "Bearer sesame", "Content-Type": "application/cloudevents+json" });
    let receiver = tell(json!({ "events": ["run_finished"], "headers": headers })).await;
    let requests = receiver.requests();
    let header = |name: &str| requests[0].0.get(name).map(|value| value.to_str().expect("text"));
    assert_eq!(header("authorization"), Some("Bearer sesame"));
    assert_eq!(header("content-type"), Some("application/cloudevents+json"));
    assert_eq!(header("x-pipeline-delivery"), Some("01890a5d-ac96-774b-bcce-b302099a8057/12"));
    assert_eq!(header("x-pipeline-signature"), None);
    assert!(header("user-agent").expect("one").starts_with("pipeline/"));
    let plain = tell(json!({ "events": ["run_finished"] })).await.requests();
    assert_eq!(plain[0].0["content-type"], "application/json");
}

#[tokio::test]
async fn a_receiver_can_check_the_signature() {
    let requests = tell(json!({ "secret": "open sesame" })).await.requests();
    assert_eq!(requests.len(), 8);
    for (headers, body) in requests {
        let signed = [headers["x-pipeline-timestamp"].as_bytes(), b".", &body].concat();
        let expected = Hmac::<Sha256>::new_from_slice(b"open sesame").expect("a key").chain_update(signed);
        let code = expected.finalize().into_bytes();
        assert_eq!(headers["x-pipeline-signature"], format!("sha256={code:x}"));
    }
}

async fn refused(answer: Answer) -> (NotifyError, Receiver, Arc<dyn Notifier>) {
    let receiver = Receiver::default();
    receiver.will_answer(answer);
    let webhook = notifier(json!({ "url": receiver.start().await, "headers": { "X-Token": "sesame" } }));
    let error = webhook.notify(&record(7, finished())).await.expect_err("refused");
    for secret in ["hushhush", "127.0.0.1", "sesame"] {
        assert!(!error.message.contains(secret), "{error}");
    }
    (error, receiver, webhook)
}

#[tokio::test]
async fn what_is_tried_again_is_the_same_delivery() {
    let (error, receiver, webhook) = refused((429, None)).await;
    assert!(error.retryable);
    webhook.notify(&record(7, finished())).await.expect("delivered");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].0["x-pipeline-delivery"], requests[1].0["x-pipeline-delivery"]);
    assert_eq!(requests[0].1, requests[1].1);
}

#[tokio::test]
async fn only_what_may_pass_is_tried_again() {
    for status in [429, 500, 502, 503] {
        assert!(refused((status, None)).await.0.retryable, "{status}");
    }
    for status in [301, 400, 401, 404, 410] {
        assert!(!refused((status, None)).await.0.retryable, "{status}");
    }
    let (error, ..) = refused((404, None)).await;
    assert_eq!(error.message, "the webhook answered 404 Not Found: check `url`");
}

#[tokio::test]
async fn a_busy_receiver_is_left_alone_for_as_long_as_it_wants() {
    let begin = Instant::now();
    refused((503, Some(("retry-after", "1")))).await;
    assert!(begin.elapsed() >= Duration::from_secs(1));
    let begin = Instant::now();
    refused((429, Some(("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")))).await;
    refused((404, Some(("retry-after", "3600")))).await;
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Receiver::default();
    let place: &'static str = other.start().await.leak();
    let (error, ..) = refused((307, Some(("location", place)))).await;
    assert!(error.message.contains("redirects are not followed"), "{error}");
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn an_unreachable_receiver_is_not_named() {
    for host in ["127.0.0.1:9", "no-such-host.invalid"] {
        let webhook = notifier(json!({ "url": format!("http://{host}/events?token=hushhush") }));
        let error = webhook.notify(&record(0, started())).await.expect_err("nobody listens");
        assert!(error.retryable && error.message.starts_with("cannot reach the webhook: "), "{error}");
        for secret in ["hushhush", "127.0.0.1", "no-such-host"] {
            assert!(!error.message.contains(secret), "{error}");
        }
    }
}

#[test]
fn wrong_inputs_are_named_without_secrets() {
    let url = "https://example.com/hushhush";
    for (inputs, field) in [
        (json!({ "url": "hushhush" }), "url"),
        (json!({ "url": "file:///hushhush" }), "url"),
        (json!({ "url": url, "secret": "" }), "secret"),
        (json!({ "url": url, "events": ["run_begun"] }), "events[0]"),
        (json!({ "url": url, "headers": { "X-Token": "hush\nhush" } }), "headers.X-Token"),
        (json!({ "url": url, "headers": { "X Token": "hushhush" } }), "headers.X Token"),
        (json!({ "url": url, "headers": { "X-Pipeline-Delivery": "1" } }), "headers.X-Pipeline-Delivery"),
    ] {
        let error = create(inputs).err().expect("wrong");
        assert!(error.starts_with(&format!("`{field}`: ")) && !error.contains("hush"), "{error}");
    }
}

#[test]
fn everything_that_could_be_a_secret_is_marked_as_one() {
    let schema = notify_webhook::kind().manifest.inputs;
    let properties = &schema["properties"];
    assert_eq!(properties["url"]["x-secret"], true);
    assert_eq!(properties["secret"]["x-secret"], true);
    let values = &properties["headers"]["additionalProperties"];
    assert_eq!((&values["x-secret"], &values["type"]), (&json!(true), &json!("string")));
    assert_eq!(schema["required"], json!(["url"]));
}
