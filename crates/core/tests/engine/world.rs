//! A world in memory, the stages that change it, and a pipeline on top.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::{Cancellation, Engine, EngineError, EventSink, LoadOptions, MemoryStore, NotifyLimits};
use pipeline_core::{Pipeline, Plan, RunReport, State, StateStore};
use pipeline_sdk::{
    Action, ApplyError, Change, Context, Done, Event, EventRecord, Inputs, Manifest, Mode, NotifierKind,
    Outputs, Recorded, Registry, ResourceId, RunCommand, Stage, StageError, StageKind, StagePlan, Unknown,
    Value, async_trait, json,
};
use tokio::sync::Notify;

/// Two stages, one after the other.
pub(crate) const PAIR: &str = "[stages.a]\nuses = \"thing\"\n[stages.b]\nuses = \"thing\"\nneeds = [\"a\"]\n";

/// How a stage misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    Plan,
    PlanPanic,
    /// Before anything was done.
    Early,
    /// The side effect happened and its result was not recorded.
    Late,
    /// As `Late`, and it cannot be undone.
    Stuck,
    /// It works and cannot be undone.
    NoUndo,
    Panic,
    /// Waits until it is cancelled.
    UntilCancelled,
    /// The cloud undoes it by itself.
    UndoneByCloud,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) things: BTreeMap<String, Value>,
    pub(crate) faults: HashMap<String, Fault>,
    /// What happened, such as `plan a`, `apply a`, `undo a`.
    pub(crate) log: Vec<String>,
    /// How many calls run now, and the most that ever did.
    pub(crate) running: (usize, usize),
    pub(crate) delay: Duration,
}

/// Everything a test needs.
#[derive(Clone, Default)]
pub(crate) struct Lab {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) store: MemoryStore,
    pub(crate) events: Arc<Mutex<Vec<EventRecord>>>,
    pub(crate) cancel: Cancellation,
    /// Told whenever a stage begins to apply.
    pub(crate) applying: Arc<Notify>,
    pub(crate) notifier: Option<NotifierKind>,
    pub(crate) env: BTreeMap<String, String>,
}

impl Lab {
    pub(crate) fn fault(&self, stage: &str, fault: Fault) {
        self.world.lock().unwrap().faults.insert(stage.to_owned(), fault);
    }

    pub(crate) fn things(&self) -> BTreeMap<String, Value> {
        self.world.lock().unwrap().things.clone()
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.world.lock().unwrap().log)
    }

    /// The calls of one sort, such as `apply`.
    pub(crate) fn take_calls(&self, sort: &str) -> Vec<String> {
        let calls = self.take_log();
        calls.iter().filter_map(|line| Some(line.strip_prefix(sort)?.trim().to_owned())).collect()
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        self.events.lock().unwrap().drain(..).map(|record| record.event).collect()
    }

    pub(crate) async fn state(&self) -> State {
        let bytes = self.store.peek("local").await.unwrap().expect("saved");
        State::decode(&bytes).unwrap()
    }

    pub(crate) fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let stage = Arc::new(Thing(self.clone()));
        let mut inputs = Value::clone(&manifest().inputs);
        inputs["properties"]["value"] = json!({ "x-deployment": true });
        let deploys = Manifest { kind: "deploy".to_owned(), inputs: inputs.into(), ..manifest() };
        registry.add_stage(StageKind { manifest: deploys, stage: stage.clone() });
        registry.add_stage(StageKind { manifest: manifest(), stage });
        if let Some(notifier) = &self.notifier {
            registry.add_notifier(notifier.clone());
        }
        registry
    }

    pub(crate) fn pipeline(&self, stages: &str) -> Pipeline {
        let text = if stages.contains("[pipeline]") {
            stages.to_owned()
        } else {
            format!("[pipeline]\nname = \"hello\"\n{stages}")
        };
        let options = LoadOptions {
            registry: self.registry(),
            cloud_schema: json!({ "type": "object" }).into(),
            env: self.env.clone(),
            ..LoadOptions::default()
        };
        Pipeline::parse(&text, Path::new("pipeline.toml"), &options)
            .unwrap_or_else(|errors| panic!("{:?}", errors.errors()))
    }

    pub(crate) fn engine(&self, stages: &str) -> Engine {
        let events = self.events.clone();
        let sink: EventSink = Arc::new(move |record| events.lock().unwrap().push(record));
        let limits = NotifyLimits {
            attempt: Duration::from_millis(200),
            attempts: 3,
            backoff: Duration::from_millis(1),
            flush: Duration::from_millis(100),
        };
        Engine::new(self.pipeline(stages), self.registry(), Arc::new(self.store.clone()), sink)
            .with_notify_limits(limits)
    }

    pub(crate) async fn plan(&self, stages: &str, mode: Mode) -> Result<Plan, EngineError> {
        let mut run = self
            .engine(stages)
            .begin(RunCommand::Plan, "test", self.cancel.clone(), pipeline_core::Wait::never())
            .await?;
        let plan = run.plan(mode).await;
        run.close(plan.as_ref().ok()).await;
        plan
    }

    /// Applies a plan that was saved.
    pub(crate) async fn apply(&self, stages: &str, saved: &Plan) -> Result<RunReport, EngineError> {
        let engine = self.engine(stages);
        let wait = pipeline_core::Wait::never();
        let mut run = engine.begin_saved(saved, "test", self.cancel.clone(), wait).await?;
        let plan = run.plan_again(saved).await?;
        Ok(run.apply(plan).await)
    }

    pub(crate) async fn run(&self, stages: &str) -> RunReport {
        self.run_after(stages, Mode::Converge, || ()).await
    }

    pub(crate) async fn destroy(&self, stages: &str) -> RunReport {
        self.run_after(stages, Mode::Destroy, || ()).await
    }

    /// Runs, with `between` after the plan was made.
    pub(crate) async fn run_after(&self, stages: &str, mode: Mode, between: impl FnOnce()) -> RunReport {
        let engine = self.engine(stages);
        let mut run = engine
            .begin(RunCommand::Run, "test", self.cancel.clone(), pipeline_core::Wait::never())
            .await
            .unwrap();
        let plan = run.plan(mode).await.unwrap_or_else(|error| panic!("{error:?}"));
        between();
        run.apply(plan).await
    }
}

fn manifest() -> Manifest {
    Manifest {
        kind: "thing".to_owned(),
        summary: "a thing".to_owned(),
        inputs: json!({ "type": "object", "properties": {
            "value": true,
            "size": { "type": ["integer", "null"], "minimum": 1 },
            "token": { "type": "string", "x-secret": true },
        }})
        .into(),
        outputs: json!({ "type": "object", "properties": {
            "id": { "type": "string" }, "value": true,
        }, "required": ["id"] })
        .into(),
        ..Manifest::default()
    }
}

/// A stage with one resource, which has the stage's name and holds `value`.
struct Thing(Lab);

impl Thing {
    async fn enter(&self, what: &str, name: &str) -> Fault {
        let (fault, delay) = {
            let mut world = self.0.world.lock().unwrap();
            world.log.push(format!("{what} {name}"));
            world.running.0 += 1;
            world.running.1 = world.running.1.max(world.running.0);
            (world.faults.get(name).copied().unwrap_or_default(), world.delay)
        };
        tokio::time::sleep(delay).await;
        self.0.world.lock().unwrap().running.0 -= 1;
        fault
    }

    fn get(&self, name: &str) -> Option<Value> {
        self.0.world.lock().unwrap().things.get(name).cloned()
    }

    fn set(&self, name: &str, value: Option<Value>) {
        let things = &mut self.0.world.lock().unwrap().things;
        match value {
            Some(value) => things.insert(name.to_owned(), value),
            None => things.remove(name),
        };
    }
}

fn resource(name: &str) -> ResourceId {
    ResourceId::new("test:thing", name)
}

fn outputs(name: &str, value: Value, exists: bool) -> Outputs {
    let id = if exists {
        json!(format!("id-{name}"))
    } else {
        Unknown::new(format!("test:thing.{name}.id")).to_value()
    };
    let attributes = json!({});
    Outputs {
        values: [("id".to_owned(), id), ("value".to_owned(), value)].into_iter().collect(),
        resources: vec![Recorded { id: resource(name), attributes }],
    }
}

#[async_trait]
impl Stage for Thing {
    async fn plan(&self, cx: &Context, inputs: &Inputs) -> Result<StagePlan, StageError> {
        let name = cx.stage().as_str();
        match self.enter("plan", name).await {
            Fault::Plan => return Err(StageError::failed("cannot be planned").with_help("try harder")),
            Fault::PlanPanic => panic!("while planning"),
            _ => {}
        }
        let wanted = inputs.0.get("value").cloned().unwrap_or(json!("default"));
        let action = match (cx.mode(), self.get(name)) {
            (Mode::Destroy, None) => None,
            (Mode::Destroy, Some(_)) => Some(Action::Delete),
            (_, None) => Some(Action::Create),
            (_, Some(now)) => (now != wanted).then_some(Action::Update),
        };
        let change = action.map(|action| Change {
            resource: resource(name),
            action,
            attributes: Vec::new(),
            reason: None,
            irreversible: None,
        });
        let outputs = match cx.mode() {
            Mode::Destroy => Outputs::default(),
            _ => outputs(name, wanted.clone(), self.get(name).is_some()),
        };
        Ok(StagePlan { changes: change.into_iter().collect(), outputs, detail: wanted })
    }

    async fn apply(&self, cx: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
        let name = cx.stage().as_str();
        self.0.applying.notify_one();
        let fault = self.enter("apply", name).await;
        match fault {
            Fault::Early => return Err(StageError::failed("refused").with_help("ask again").into()),
            Fault::UndoneByCloud => {
                return Err(StageError::RolledBack { message: "unhealthy".to_owned(), help: None }.into());
            }
            Fault::UntilCancelled => {
                cx.cancel().cancelled().await;
                return Err(StageError::Cancelled.into());
            }
            _ => {}
        }
        let action = plan.changes[0].action;
        let intent = cx.intent(resource(name), action, self.get(name)).await?;
        let wanted = (cx.mode() != Mode::Destroy).then(|| plan.detail.clone());
        self.set(name, wanted.clone());
        match fault {
            Fault::Late | Fault::Stuck => {
                let so_far = outputs(name, plan.detail.clone(), true);
                return Err(ApplyError { error: StageError::failed("broke halfway"), so_far });
            }
            Fault::Panic => panic!("halfway"),
            _ => {}
        }
        cx.done(intent, json!({})).await?;
        Ok(wanted.map(|value| outputs(name, value, true)).unwrap_or_default())
    }

    async fn rollback(&self, cx: &Context, done: &[Done]) -> Result<(), StageError> {
        let name = cx.stage().as_str();
        assert!(!cx.cancel().is_cancelled(), "undoing is not cancelled");
        let only_removed = done.iter().all(|done| done.action == Action::Delete);
        assert!(only_removed || cx.mode() == Mode::Converge, "what is still there is no removal: {done:?}");
        if matches!(self.enter("undo", name).await, Fault::Stuck | Fault::NoUndo) {
            return Err(StageError::failed("cannot be undone"));
        }
        for done in done.iter().rev() {
            self.set(name, done.before.clone());
        }
        Ok(())
    }
}
