//! Commands that only look: `pipeline check`, `outputs`, `stages`.

use std::io::{self, Write};

use pipeline_core::{Pipeline, State};
use pipeline_plugin_host::is_plugin;
use pipeline_sdk::Value;

use crate::arguments::{FileOptions, OutputsOptions, StagesOptions};
use crate::exit::Exit;
use crate::host;
use crate::manifest;
use crate::run::{self, CommandError, finish};
use crate::state;

/// `pipeline check`: reads the file and says which stages it has, without calling anything.
pub(crate) fn check(options: &FileOptions) -> Exit {
    finish(try_check(options), options.json)
}

fn try_check(options: &FileOptions) -> Result<Exit, CommandError> {
    let pipeline = run::load(options)?;
    for amiss in pipeline.warnings() {
        eprintln!("warning: {amiss}");
    }
    let mut out = io::stdout().lock();
    if options.json {
        let stages: Vec<_> = pipeline.stages().map(|(name, kind)| describe(&pipeline, name, kind)).collect();
        writeln!(out, "{}", Value::Array(stages))?;
        return Ok(Exit::Succeeded);
    }
    writeln!(out, "{} is valid: {}", options.file.display(), pipeline.id().canonical())?;
    let width = pipeline.stages().map(|(name, _)| name.as_str().len()).max().unwrap_or(0);
    for (name, kind) in pipeline.stages() {
        let needs: Vec<_> = pipeline.needs(name).into_iter().map(|need| need.as_str()).collect();
        let after = if needs.is_empty() { String::new() } else { format!("  after {}", needs.join(", ")) };
        writeln!(out, "  {name:width$}  {kind:12}{after}")?;
    }
    Ok(Exit::Succeeded)
}

fn describe(pipeline: &Pipeline, name: &pipeline_sdk::StageName, kind: &str) -> Value {
    let needs: Vec<_> = pipeline.needs(name).into_iter().map(|need| need.as_str()).collect();
    serde_json::json!({ "name": name, "uses": kind, "needs": needs })
}

/// `pipeline outputs`: what the last run left for others, from the state.
pub(crate) async fn outputs(options: &OutputsOptions) -> Exit {
    finish(try_outputs(options).await, options.file.json)
}

async fn try_outputs(options: &OutputsOptions) -> Result<Exit, CommandError> {
    let pipeline = run::load_where(&options.file)?;
    let store = state::open(&pipeline).await?;
    let Some(state) = State::peek(store.as_ref(), pipeline.id()).await? else {
        let place = store.place(&pipeline.id().environment);
        eprintln!("there are no outputs: no run has saved anything in {place}");
        return Ok(Exit::Failed);
    };
    match write_outputs(&mut io::stdout().lock(), &state, options) {
        // Whoever reads the first lines only has what they want.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Succeeded),
        written => Ok(written?),
    }
}

fn write_outputs(out: &mut dyn Write, state: &State, options: &OutputsOptions) -> io::Result<Exit> {
    if let Some(wanted) = &options.name {
        let (stage, key) = wanted.split_once('.').unwrap_or((wanted, ""));
        let record = state.stages.iter().find(|(name, _)| name.as_str() == stage);
        let Some(value) = record.and_then(|(_, record)| record.outputs.values.get(key)) else {
            eprintln!("there is no output `{wanted}`: `pipeline outputs` lists them");
            return Ok(Exit::Usage);
        };
        // A text goes out bare, for `$(pipeline outputs dns.url)`.
        match value {
            Value::String(text) if !options.file.json => writeln!(out, "{text}")?,
            other => writeln!(out, "{other}")?,
        }
        return Ok(Exit::Succeeded);
    }
    if options.file.json {
        let all: serde_json::Map<_, _> = state
            .stages
            .iter()
            .map(|(name, record)| (name.to_string(), serde_json::json!(record.outputs.values)))
            .collect();
        writeln!(out, "{}", Value::Object(all))?;
        return Ok(Exit::Succeeded);
    }
    for (name, record) in &state.stages {
        for (key, value) in &record.outputs.values {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(out, "{name}.{key} = {value}")?;
        }
    }
    Ok(Exit::Succeeded)
}

/// `pipeline stages`: what `uses` can name, and what each takes and gives.
pub(crate) fn stages(options: &StagesOptions) -> Exit {
    match try_stages(options) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed
        }
    }
}

fn try_stages(options: &StagesOptions) -> io::Result<Exit> {
    if let Some(plugin) = options.kind.as_deref().filter(|kind| is_plugin(kind)) {
        return crate::plugin::describe(plugin);
    }
    let registry = host::manifests();
    let kinds = || {
        let stages = registry.stages().map(|kind| ("stage", &kind.manifest));
        stages.chain(registry.notifiers().map(|kind| ("notifier", &kind.manifest)))
    };
    let mut out = io::stdout().lock();
    match &options.kind {
        None => {
            for (role, manifest) in kinds() {
                writeln!(out, "{:12} {role:9} {}", manifest.kind, manifest.summary)?;
            }
            Ok(Exit::Succeeded)
        }
        Some(kind) => match kinds().find(|(_, manifest)| manifest.kind == *kind) {
            Some((_, kind)) if options.markdown => {
                manifest::write_markdown(&mut out, kind).map(|()| Exit::Succeeded)
            }
            Some((_, kind)) => manifest::write_text(&mut out, kind).map(|()| Exit::Succeeded),
            None => {
                let known = kinds().map(|(_, manifest)| manifest.kind.as_ref());
                let help = pipeline_core::suggestion("kinds", kind, known);
                eprintln!("error: there is no kind `{kind}`\nhelp: {help}");
                Ok(Exit::Usage)
            }
        },
    }
}
