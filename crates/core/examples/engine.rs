//! How fast the engine is without any cloud, as one line of JSON for `cargo xtask bench engine`:
//! `engine stages COUNT` or `engine journal WRITERS`. What is written goes below the current folder.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline_core::{Cancellation, Engine, LoadOptions, LocalStore, Pipeline, Wait, measure_rate};
use pipeline_sdk::{
    Action, ApplyError, Change, Context, Done, Inputs, Manifest, Mode, Outputs, Registry, ResourceId,
    RunCommand, RunOutcome, Stage, StageError, StageKind, StagePlan, async_trait, json,
};

/// The allocator of the `pipeline` program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many layers the stages are in.
const LAYERS: usize = 50;

/// A flush of a quick disk among those that servers in clouds have: gp3 volumes of AWS take a single-digit number of
/// milliseconds (docs.aws.amazon.com/AWSEC2/latest/WindowsGuide/general-purpose.html).
const SLOW_FLUSH: Duration = Duration::from_millis(1);

/// A stage that has something to do and does nothing.
struct Nothing;

#[async_trait]
impl Stage for Nothing {
    async fn plan(&self, cx: &Context, _inputs: &Inputs) -> Result<StagePlan, StageError> {
        let resource = ResourceId::new("test:nothing", cx.stage().as_str());
        let change = Change {
            resource,
            action: Action::Create,
            attributes: Vec::new(),
            reason: None,
            irreversible: None,
        };
        Ok(StagePlan { changes: vec![change], outputs: outputs(cx), ..StagePlan::default() })
    }

    async fn apply(&self, cx: &Context, _plan: &StagePlan) -> Result<Outputs, ApplyError> {
        Ok(outputs(cx))
    }

    async fn rollback(&self, _cx: &Context, _done: &[Done]) -> Result<(), StageError> {
        Ok(())
    }
}

fn outputs(cx: &Context) -> Outputs {
    let id = ("id".to_owned(), json!(cx.stage().as_str()));
    Outputs { values: [id].into_iter().collect(), resources: Vec::new() }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    let manifest = Manifest {
        kind: "nothing".to_owned(),
        summary: "does nothing".to_owned(),
        inputs: json!({ "type": "object", "properties": { "first": {}, "second": {} } }).into(),
        outputs:
            json!({ "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] })
                .into(),
        ..Manifest::default()
    };
    registry.add_stage(StageKind { manifest, stage: Arc::new(Nothing) });
    registry
}

/// `count` stages in layers, each of which refers to two of the layer before.
fn file(count: usize) -> String {
    let width = count.div_ceil(LAYERS);
    let mut text = String::from("[pipeline]\nname = \"many\"\nparallelism = 1000\n");
    for number in 0..count {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[stages.s{number}]\nuses = \"nothing\"");
        if number >= width {
            let layer = number / width * width - width;
            let of = |step: usize| layer + (number + step) % width;
            let _ = writeln!(text, "first = \"${{{{ stages.s{}.id }}}}\"", of(0));
            let _ = writeln!(text, "second = \"${{{{ stages.s{}.id }}}}\"", of(1));
        }
    }
    text
}

async fn stages(count: usize) -> Result<serde_json::Value, Box<dyn Error>> {
    let text = file(count);
    let began = Instant::now();
    let options = LoadOptions {
        registry: registry(),
        cloud_schema: json!({ "type": "object" }).into(),
        ..LoadOptions::default()
    };
    let pipeline = Pipeline::parse(&text, Path::new("pipeline.toml"), &options)?;
    let load = began.elapsed();
    let store = Arc::new(LocalStore::beside(Path::new(".")));
    let engine = Engine::new(pipeline, registry(), store, Arc::new(|_| ()));
    let began = Instant::now();
    let mut run = engine.begin(RunCommand::Run, "nowhere", Cancellation::new(), Wait::never()).await?;
    let plan = run.plan(Mode::Converge).await?;
    let plan_took = began.elapsed();
    let report = run.apply(plan).await;
    let both = began.elapsed();
    if report.outcome != RunOutcome::Succeeded || report.changes != count {
        return Err(format!(
            "it ended as {:?} with {} changes: {:?}",
            report.outcome, report.changes, report.error
        )
        .into());
    }
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(
        json!({ "load_ms": ms(load), "plan_ms": ms(plan_took), "both_ms": ms(both), "peak_mb": peak_megabytes() }),
    )
}

/// The most memory that this process had at once, where the system says so.
fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

async fn journal(writers: u32) -> Result<serde_json::Value, Box<dyn Error>> {
    let rate = measure_rate(Path::new("."), writers, Duration::from_secs(4), Duration::ZERO).await?;
    let slow = measure_rate(Path::new("."), writers, Duration::from_secs(4), SLOW_FLUSH).await?;
    Ok(json!({
        "slow_flushes": slow.flushes,
        "share_of_slow": slow.share(),
        "flushes": rate.flushes,
        "long_flushes": rate.long_flushes,
        "records": rate.records,
        "share": rate.share(),
        "share_of_long": rate.share_of_long(),
    }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let measured = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stages", count] => stages(count.parse()?).await?,
        ["journal", writers] => journal(writers.parse()?).await?,
        _ => return Err("say `stages COUNT` or `journal WRITERS`".into()),
    };
    println!("{measured}");
    Ok(())
}
