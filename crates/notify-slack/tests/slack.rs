//! The notifier through its contract, against a webhook on this machine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use pipeline_sdk::{
    Event, EventRecord, Inputs, Link, Notifier, NotifyError, PipelineId, Progress, ProgressLevel, RunCommand,
    RunId, RunOutcome, StageName, TrafficShare, Value, json,
};

/// A status, a body, and the seconds to wait.
type Answer = (u16, &'static str, &'static str);

#[derive(Clone, Default)]
struct Channel {
    got: Arc<Mutex<Vec<Value>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Channel {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/services/T0/B0/hushhush", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        url
    }

    fn messages(&self) -> Vec<Value> {
        std::mem::take(&mut *self.got.lock().expect("not poisoned"))
    }
}

async fn take(State(channel): State<Channel>, body: Bytes) -> (StatusCode, HeaderMap, &'static str) {
    let (status, text, wait) =
        channel.answers.lock().expect("not poisoned").pop_front().unwrap_or((200, "ok", ""));
    if status == 200 {
        channel.got.lock().expect("not poisoned").push(serde_json::from_slice(&body).expect("JSON"));
    }
    let mut headers = HeaderMap::new();
    if !wait.is_empty() {
        headers.insert("retry-after", wait.parse().expect("a header"));
    }
    (StatusCode::from_u16(status).expect("a status"), headers, text)
}

fn notifier(inputs: Value) -> Arc<dyn Notifier> {
    let Value::Object(inputs) = inputs else { panic!("not an object") };
    (notify_slack::kind().create)(&Inputs(inputs.into_iter().collect())).expect("inputs are right")
}

/// The events of one run.
struct Run {
    id: RunId,
    seq: u64,
}

impl Run {
    fn new() -> Self {
        Self { id: RunId::parse("01890a5d-ac96-774b-bcce-b302099a8057").expect("an id"), seq: 0 }
    }

    fn event(&mut self, event: Event) -> EventRecord {
        let seq = self.seq;
        self.seq += 1;
        let at = Timestamp::from_second(1_700_000_000 + i64::try_from(seq).expect("small")).expect("a time");
        EventRecord { run: self.id, seq, at, event }
    }

    fn started(&mut self, command: RunCommand) -> EventRecord {
        self.event(Event::RunStarted {
            pipeline: PipelineId { name: "hello".into(), environment: "staging".into() },
            command,
            target: "eu-central-1 (embedded cloud)".into(),
            link: None,
            stages: vec![],
        })
    }

    fn finished(&mut self, outcome: RunOutcome, error: Option<&str>, left_over: Vec<String>) -> EventRecord {
        self.event(Event::RunFinished {
            outcome,
            elapsed_ms: 95_000,
            error: error.map(str::to_owned),
            left_over,
        })
    }

    fn progress(
        &mut self,
        level: ProgressLevel,
        message: &str,
        link: Option<Link>,
        traffic: Vec<TrafficShare>,
    ) -> EventRecord {
        let stage = StageName::new("deploy").expect("a name");
        let progress = Progress { level, message: message.into(), link, traffic };
        self.event(Event::StageProgress { stage, progress })
    }
}

fn console() -> Link {
    Link {
        label: "Open d-ABC in CodeDeploy".into(),
        url: "https://eu-central-1.console.aws.amazon.com/codesuite/codedeploy/deployments/d-ABC".into(),
    }
}

/// Every moment of a run, in order.
fn story(run: &mut Run) -> Vec<EventRecord> {
    vec![
        run.started(RunCommand::Run),
        run.event(Event::Planned { changes: 3 }),
        run.progress(ProgressLevel::Note, "not told", None, vec![]),
        run.progress(
            ProgressLevel::Milestone,
            "deployment d-ABC shifts traffic",
            Some(console()),
            vec![
                TrafficShare { label: "original".into(), percent: 90.0 },
                TrafficShare { label: "replacement".into(), percent: 10.0 },
            ],
        ),
        run.event(Event::CancelRequested { cause: "SIGINT".into() }),
        run.event(Event::RollbackStarted { cause: "health checks of <replacement> failed & more".into() }),
        run.finished(RunOutcome::RolledBack, Some("deploy: d-ABC failed"), vec![]),
    ]
}

#[tokio::test]
async fn a_run_is_told_from_start_to_end() {
    let channel = Channel::default();
    let slack = notifier(json!({ "webhook": channel.start().await, "mention": "@here" }));
    for event in story(&mut Run::new()) {
        slack.notify(&event).await.expect("delivered");
    }
    insta::assert_json_snapshot!(channel.messages());
}

#[tokio::test]
async fn endings_differ() {
    let channel = Channel::default();
    let slack =
        notifier(json!({ "webhook": channel.start().await, "project": "Shop & Co", "channel": "#deploys" }));
    let mut headlines = Vec::new();
    for (outcome, error, left_over) in [
        (RunOutcome::Succeeded, None, vec![]),
        (RunOutcome::Unchanged, None, vec![]),
        (RunOutcome::Failed, Some("no credentials"), vec![]),
        (RunOutcome::Cancelled, None, vec![]),
        (
            RunOutcome::Stuck,
            Some("deploy failed"),
            vec!["delete the target group `hello-staging-green`".to_owned()],
        ),
    ] {
        let mut run = Run::new();
        run.id = RunId::generate();
        slack.notify(&run.started(RunCommand::Run)).await.expect("delivered");
        slack.notify(&run.finished(outcome, error, left_over)).await.expect("delivered");
        for message in channel.messages() {
            assert_eq!(message["channel"], "#deploys");
            let blocks = &message["attachments"][0]["blocks"];
            headlines.push(format!(
                "{} | {} | {}",
                message["text"], blocks[0]["text"]["text"], blocks[1]["text"]["text"]
            ));
        }
    }
    insta::assert_snapshot!(headlines.join("\n"));
}

#[tokio::test]
async fn a_plan_and_a_run_without_changes_are_not_told() {
    let channel = Channel::default();
    let slack = notifier(json!({ "webhook": channel.start().await }));
    let mut run = Run::new();
    for event in [
        run.started(RunCommand::Plan),
        run.event(Event::Planned { changes: 3 }),
        run.finished(RunOutcome::Succeeded, None, vec![]),
    ] {
        slack.notify(&event).await.expect("delivered");
    }
    assert_eq!(channel.messages(), Vec::<Value>::new());
}

#[tokio::test]
async fn the_start_has_a_button_to_where_the_run_works() {
    let channel = Channel::default();
    let slack = notifier(json!({ "webhook": channel.start().await }));
    let mut run = Run::new();
    let mut started = run.started(RunCommand::Run);
    let Event::RunStarted { link, .. } = &mut started.event else { unreachable!("it is the start") };
    *link = Some(Link { label: "Open the console".into(), url: "https://console.test/deployments".into() });
    for event in [started, run.event(Event::Planned { changes: 3 })] {
        slack.notify(&event).await.expect("delivered");
    }
    let told = channel.messages()[0].to_string();
    assert!(
        told.contains("\"url\":\"https://console.test/deployments\"") && told.contains("Open the console"),
        "{told}"
    );
}

#[tokio::test]
async fn only_what_was_asked_for_is_told() {
    let channel = Channel::default();
    let slack = notifier(json!({ "webhook": channel.start().await, "events": ["rollback", "stop"] }));
    for event in story(&mut Run::new()) {
        slack.notify(&event).await.expect("delivered");
    }
    assert_eq!(channel.messages().len(), 3);
}

async fn refused(answer: Answer) -> (NotifyError, Channel, Arc<dyn Notifier>, EventRecord) {
    let channel = Channel::default();
    let slack = notifier(json!({ "webhook": channel.start().await }));
    let mut run = Run::new();
    slack.notify(&run.started(RunCommand::Run)).await.expect("nothing to send");
    let event = run.finished(RunOutcome::Failed, Some("x"), vec![]);
    channel.answers.lock().expect("not poisoned").push_back(answer);
    (slack.notify(&event).await.expect_err("refused"), channel, slack, event)
}

#[tokio::test]
async fn a_busy_slack_is_tried_again_with_the_same_message() {
    let (error, channel, slack, event) = refused((429, "rate_limited", "0")).await;
    assert!(error.retryable);
    slack.notify(&event).await.expect("delivered");
    assert_eq!(channel.messages().len(), 1);
    assert!(refused((503, "", "")).await.0.retryable);
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_keeps_the_secret() {
    let (error, ..) = refused((404, "no_service", "")).await;
    assert!(!error.retryable);
    assert_eq!(
        error.message,
        "Slack refused the message (404 Not Found, no_service): the webhook was disabled or removed: \
         make a new one and set it"
    );
    let slack = notifier(json!({ "webhook": "http://127.0.0.1:9/services/hushhush" }));
    let mut run = Run::new();
    slack.notify(&run.started(RunCommand::Run)).await.expect("nothing to send");
    let error =
        slack.notify(&run.finished(RunOutcome::Failed, None, vec![])).await.expect_err("nobody listens");
    assert!(error.retryable && error.message.starts_with("cannot reach Slack"), "{error}");
    assert!(!error.message.contains("hushhush"), "{error}");
}

#[test]
fn wrong_inputs_are_named_without_the_secret() {
    for (webhook, field) in [(json!("hushhush"), "webhook"), (json!(1), "webhook")] {
        let inputs = Inputs([("webhook".to_owned(), webhook)].into_iter().collect());
        let error = (notify_slack::kind().create)(&inputs).err().expect("wrong").to_string();
        assert!(error.starts_with(&format!("`{field}`: ")) && !error.contains("hushhush"), "{error}");
    }
}

#[test]
fn the_webhook_is_marked_as_a_secret() {
    let manifest = notify_slack::kind().manifest;
    assert_eq!(manifest.inputs["properties"]["webhook"]["x-secret"], true);
    assert_eq!(manifest.inputs["properties"]["webhook"]["type"], "string");
    assert_eq!(manifest.inputs["required"], json!(["webhook"]));
}
