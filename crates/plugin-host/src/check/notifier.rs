//! What the engine relies on in a notifier.

use std::time::Duration;

use pipeline_sdk::{
    Action, Event, EventRecord, Inputs, Manifest, Notifier, NotifierKind, PipelineId, Progress, ResourceId,
    RunCommand, RunId, RunOutcome, StageName, StageOutcome,
};
use tokio::time::timeout;

use super::{Check, Outcome, is_defect};

/// How long the engine waits for one delivery.
const DELIVERY: Duration = Duration::from_secs(10);

/// Tries one notifier.
pub(super) async fn check(kind: &NotifierKind, manifest: &Manifest, inputs: &Inputs) -> Vec<Check> {
    let named = |what, outcome| Check { kind: manifest.kind.clone(), what, outcome };
    let required = manifest.inputs.get("required").and_then(|fields| fields.as_array());
    let mut checks = Vec::new();
    if required.is_some_and(|fields| !fields.is_empty()) {
        let outcome = match (kind.create)(&Inputs::default()) {
            Ok(_) => Outcome::Failed("it opens without inputs that it says are required".to_owned()),
            Err(error) if is_defect(&error.to_string()) => {
                Outcome::Failed(format!("it should say what is wrong, and says: {error}"))
            }
            Err(_) => Outcome::Passed(String::new()),
        };
        checks.push(named("wrong inputs", outcome));
    }
    match (kind.create)(inputs) {
        Ok(notifier) => checks.push(named("every event", deliver(&*notifier).await)),
        Err(error) => checks.push(named("opens", Outcome::Failed(error.to_string()))),
    }
    checks
}

/// Delivers a run, each event twice: the engine repeats what it did not hear to be taken.
async fn deliver(notifier: &dyn Notifier) -> Outcome {
    let (mut taken, mut refused) = (false, None);
    for record in story() {
        for _ in 0..2 {
            match timeout(DELIVERY, notifier.notify(&record)).await {
                Ok(Ok(())) => taken = true,
                Ok(Err(error)) if error.message.trim().is_empty() => {
                    return Outcome::Failed(format!("its error for `{}` says nothing", record.event.name()));
                }
                Ok(Err(error)) if is_defect(&error.message) => {
                    return Outcome::Failed(format!("`{}`: {}", record.event.name(), error.message));
                }
                Ok(Err(error)) => refused = Some(error.message),
                Err(_) => {
                    return Outcome::Failed(format!(
                        "`{}` was not taken within {DELIVERY:?}",
                        record.event.name()
                    ));
                }
            }
        }
    }
    match refused {
        Some(error) if !taken => Outcome::Failed(format!(
            "it takes no event: {error}; with the inputs of an example there may be nobody to tell, with \
             `--inputs FILE` there can be"
        )),
        Some(error) => Outcome::Passed(format!("with these inputs it says: {error}")),
        None => Outcome::Passed(String::new()),
    }
}

/// One event of each kind, in an order in which they could come.
fn story() -> Vec<EventRecord> {
    let Ok(stage) = StageName::new("check") else { return Vec::new() };
    let resource = ResourceId::new("test:thing", "check");
    let pipeline = PipelineId { name: "check".to_owned(), environment: "local".to_owned() };
    let events = vec![
        Event::RunStarted {
            pipeline,
            command: RunCommand::Run,
            target: "a check".to_owned(),
            link: None,
            stages: vec![stage.clone()],
        },
        Event::StagePlanned { stage: stage.clone(), changes: Vec::new() },
        Event::Planned { changes: 1 },
        Event::StageStarted { stage: stage.clone() },
        Event::StageProgress {
            stage: stage.clone(),
            progress: Progress::note("a note: \"quoted\" \u{1F680}"),
        },
        Event::ResourceChanged { stage: stage.clone(), resource, action: Action::Create },
        Event::Warning { message: "a warning".to_owned() },
        Event::CancelRequested { cause: "a check".to_owned() },
        Event::RollbackStarted { cause: "a check".to_owned() },
        Event::StageFinished {
            stage,
            outcome: StageOutcome::Failed,
            elapsed_ms: 1,
            error: Some("an error\nof two lines".to_owned()),
            help: None,
        },
        Event::RunFinished {
            outcome: RunOutcome::RolledBack,
            elapsed_ms: 2,
            error: Some("an error".to_owned()),
            left_over: Vec::new(),
        },
    ];
    let run = RunId::generate();
    let record = |(seq, event)| EventRecord { run, seq, at: jiff::Timestamp::now(), event };
    (0..).zip(events).map(record).collect()
}
