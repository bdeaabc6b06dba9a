//! What plugins cost: one call after the other, and many stages in one run.
//!
//! `plugins calls PLUGIN` measures the plugin `echo` in that file, `plugins stages COUNT PLUGIN` runs it COUNT
//! times in one run. Both print JSON.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline_core::{Cancellation, Engine, LoadOptions, LocalStore, Pipeline, Wait};
use pipeline_plugin_host::{Options, Plugins, Trust};
use pipeline_sdk::wire::{CallContext, Message, MessageType, Outgoing, Reply, RollbackCall};
use pipeline_sdk::{
    Action, CancellationToken, Context, ContextParts, Done, Inputs, Isolation, Mode, NullSink, PipelineId,
    PluginSource, Registry, ResourceId, RunCommand, RunId, RunOutcome, StageName, Value, json,
};

/// The allocator of the `pipeline` program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The length of the message, in bytes.
const MESSAGE: usize = 1024;

/// How long calls are counted.
const WHILE: Duration = Duration::from_secs(2);

/// How many calls are open at once where they do not wait for each other.
const AT_ONCE: usize = 64;

fn plugins(isolation: &str) -> (Arc<Plugins>, Isolation) {
    let folder = PathBuf::from(".");
    let program = std::env::current_exe().map(|path| path.with_file_name("relay")).unwrap_or_default();
    let isolation = if isolation == "process" { Isolation::Process } else { Isolation::None };
    (Arc::new(Plugins::new(Options { directory: folder, trust: Trust::FirstUse, program })), isolation)
}

fn context() -> Result<Context, Box<dyn Error>> {
    Ok(Context::from(ContextParts {
        stage: StageName::new("echo")?,
        run: RunId::generate(),
        pipeline: PipelineId { name: "bench".to_owned(), environment: "local".to_owned() },
        directory: PathBuf::from("/"),
        mode: Mode::Converge,
        prior: None,
        cancel: CancellationToken::new(),
        sink: Arc::new(NullSink),
        recorder: Arc::new(NullSink),
        services: None,
        inputs: None,
    }))
}

async fn calls(plugin: &str, isolation: &str) -> Result<Value, Box<dyn Error>> {
    let (plugins, isolation) = plugins(isolation);
    let kind = plugins.stage(plugin, isolation)?;
    let context = context()?;
    let text = json!("x".repeat(MESSAGE));
    let done = [Done {
        resource: ResourceId::new("test:echo", "echo"),
        action: Action::Update,
        before: Some(text.clone()),
        after: None,
    }];
    let inputs = Inputs([("text".to_owned(), text)].into_iter().collect());
    // Warm.
    for _ in 0..1_000 {
        kind.stage.plan(&context, &inputs).await?;
    }
    let (begun, mut count) = (Instant::now(), 0u32);
    while begun.elapsed() < WHILE {
        kind.stage.plan(&context, &inputs).await?;
        count += 1;
    }
    let both = begun.elapsed().as_secs_f64() * 1e6 / f64::from(count);
    let (begun, mut count) = (Instant::now(), 0u32);
    while begun.elapsed() < WHILE {
        kind.stage.rollback(&context, &done).await?;
        count += 1;
    }
    let one = begun.elapsed().as_secs_f64() * 1e6 / f64::from(count);
    let json = json_alone(&context, &done)?;
    let (begun, mut many) = (Instant::now(), 0u32);
    while begun.elapsed() < WHILE {
        let batch = (0..AT_ONCE).map(|_| kind.stage.plan(&context, &inputs));
        for plan in futures::future::join_all(batch).await {
            plan?;
            many += 1;
        }
    }
    let together = begun.elapsed().as_secs_f64() * 1e6 / f64::from(many);
    Ok(json!({ "us": one, "us_json": json, "us_both_ways": both, "us_at_once": together }))
}

/// What writing and reading the messages of one `rollback` takes, without any plugin.
fn json_alone(context: &Context, done: &[Done]) -> Result<f64, Box<dyn Error>> {
    let (begun, mut count) = (Instant::now(), 0u32);
    while begun.elapsed() < WHILE {
        let call = RollbackCall {
            kind: Cow::Borrowed("echo"),
            context: CallContext {
                stage: Cow::Borrowed(context.stage()),
                run: context.run(),
                pipeline: Cow::Borrowed(context.pipeline()),
                directory: Cow::Borrowed(Path::new("/")),
                mode: context.mode(),
                prior: None,
                idempotency_key: context.idempotency_key(""),
            },
            inputs: Inputs::default(),
            done: Cow::Borrowed(done),
        };
        let sent = Outgoing { message: MessageType::Rollback, id: 1, body: &call }.encode()?;
        let message: Message<'_> = serde_json::from_slice(&sent)?;
        black_box(serde_json::from_str::<RollbackCall<'_>>(message.body.get())?);
        let answer = Outgoing { message: MessageType::Result, id: 1, body: &Reply::Ok(()) }.encode()?;
        let message: Message<'_> = serde_json::from_slice(&answer)?;
        black_box(serde_json::from_str::<Reply<()>>(message.body.get())?);
        count += 1;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

async fn stages(count: usize, plugin: &str) -> Result<Value, Box<dyn Error>> {
    let (plugins, _) = plugins("none");
    let mut registry = Registry::default();
    registry.set_plugins(plugins);
    let mut text = String::from("[pipeline]\nname = \"many\"\nparallelism = 1000\n");
    for number in 0..count {
        writeln!(text, "[stages.s{number}]\nuses = \"{plugin}\"\ntext = \"{number}\"")?;
    }
    let began = Instant::now();
    let options = LoadOptions {
        registry: registry.clone(),
        cloud_schema: json!({ "type": "object" }).into(),
        ..LoadOptions::default()
    };
    let pipeline = Pipeline::parse(&text, Path::new("pipeline.toml"), &options)?;
    let store = Arc::new(LocalStore::beside(Path::new(".")));
    let engine = Engine::new(pipeline, registry, store, Arc::new(|_| ()));
    let mut run = engine.begin(RunCommand::Run, "nowhere", Cancellation::new(), Wait::never()).await?;
    let plan = run.plan(Mode::Converge).await?;
    let report = run.apply(plan).await;
    if report.outcome != RunOutcome::Succeeded || report.changes != count {
        return Err(format!("it ended as {:?}: {:?}", report.outcome, report.error).into());
    }
    Ok(json!({ "ms": began.elapsed().as_secs_f64() * 1000.0 }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let measured = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["calls", plugin, isolation] => calls(plugin, isolation).await?,
        ["stages", count, plugin] => stages(count.parse()?, plugin).await?,
        _ => return Err("say `calls PLUGIN none|process` or `stages COUNT PLUGIN`".into()),
    };
    println!("{measured}");
    Ok(())
}
