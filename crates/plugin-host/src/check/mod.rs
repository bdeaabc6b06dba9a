//! The conformance suite: what the engine relies on, tried on one plugin.
//!
//! The plugin is really called, with inputs that it gives itself as an example (the first of `examples` in the
//! schema of its inputs) or that its author gives. Its stages work in a folder that is empty at first.

mod notifier;
mod probe;
mod stage;
mod unknown;

use std::path::Path;
use std::sync::Arc;

use pipeline_sdk::{HostServices, Inputs, Isolation, Manifest, PluginSource, Value};

use crate::file::PluginError;
use crate::plugins::{Options, Plugins, Trust};

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be. The text is worth reading, or empty.
    Passed(String),
    /// It is not; why, and what it should be.
    Failed(String),
    /// It could not be tried; why.
    Skipped(String),
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The kind that was checked; empty for the plugin as a whole.
    pub kind: String,
    /// What was checked.
    pub what: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// Checks the plugin in `file`. `inputs` take the place of the plugin's own example; of a plugin with several
/// kinds they are an object of inputs by kind. What it asks its host for comes from `services`.
///
/// # Errors
/// It cannot be loaded: nothing else could be checked.
pub async fn check(
    file: &Path,
    program: &Path,
    isolation: Isolation,
    inputs: Option<&Value>,
    services: Arc<dyn HostServices>,
) -> Result<Vec<Check>, PluginError> {
    let uses = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let uses = uses.to_string_lossy().into_owned();
    let folder = tempfile::tempdir().map_err(|error| {
        PluginError::new(&uses, format!("there is no folder to check it in: {error}"), "check TMPDIR")
    })?;
    let options =
        Options { directory: folder.path().to_owned(), trust: Trust::Asked, program: program.to_owned() };
    let plugins = Plugins::new(options);
    plugins.set_services(services);
    let welcome = plugins.welcome(&uses, isolation)?;
    let samples = Samples { inputs, alone: welcome.stages.len() + welcome.notifiers.len() == 1 };
    let mut checks = vec![Check {
        kind: String::new(),
        what: "handshake",
        outcome: Outcome::Passed(format!("{} {}", welcome.name, welcome.version).trim().to_owned()),
    }];
    for manifest in &welcome.stages {
        checks.push(describes_itself(manifest));
        let kind = plugins.stage(&format!("{uses}#{}", manifest.kind), isolation);
        match (kind, samples.of(manifest)) {
            (Ok(kind), Some(inputs)) => {
                let place = folder.path().to_owned();
                let probe = stage::StageProbe::new(&kind.stage, manifest, inputs, place);
                checks.extend(probe.check().await);
            }
            (Ok(_), None) => checks.push(without_sample(manifest)),
            (Err(error), _) => checks.push(failed(manifest, "its kind", error.to_string())),
        }
    }
    for manifest in &welcome.notifiers {
        checks.push(describes_itself(manifest));
        let kind = plugins.notifier(&format!("{uses}#{}", manifest.kind), isolation);
        match (kind, samples.of(manifest)) {
            (Ok(kind), Some(inputs)) => checks.extend(notifier::check(&kind, manifest, &inputs).await),
            (Ok(_), None) => checks.push(without_sample(manifest)),
            (Err(error), _) => checks.push(failed(manifest, "its kind", error.to_string())),
        }
    }
    Ok(checks)
}

/// Whether an error says that the plugin fell over, and not what is wrong.
fn is_defect(message: &str) -> bool {
    [
        "it panicked",
        "it ended before",
        "it sent what is no message",
        "its result cannot be read",
        "it did not answer",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

fn failed(manifest: &Manifest, what: &'static str, why: String) -> Check {
    Check { kind: manifest.kind.clone(), what, outcome: Outcome::Failed(why) }
}

fn without_sample(manifest: &Manifest) -> Check {
    let why = "there are no inputs to try: give the schema of its inputs `examples`, or `--inputs FILE`";
    Check { kind: manifest.kind.clone(), what: "behaviour", outcome: Outcome::Skipped(why.to_owned()) }
}

/// What kinds are called with.
struct Samples<'a> {
    inputs: Option<&'a Value>,
    /// Whether the plugin has one kind, so that `inputs` are its inputs.
    alone: bool,
}

impl Samples<'_> {
    fn of(&self, manifest: &Manifest) -> Option<Inputs> {
        let given =
            self.inputs.and_then(|inputs| if self.alone { Some(inputs) } else { inputs.get(&manifest.kind) });
        let own = || manifest.inputs.get("examples").and_then(|examples| examples.get(0));
        serde_json::from_value(given.or_else(own)?.clone()).ok()
    }
}

/// People read what a kind says of itself, and the engine checks files by it.
fn describes_itself(manifest: &Manifest) -> Check {
    let mut missing = Vec::new();
    if manifest.summary.is_empty() {
        missing.push("it has no summary".to_owned());
    }
    if manifest.inputs.get("additionalProperties") != Some(&Value::Bool(false)) {
        missing.push(
            "its inputs take unknown keys (`additionalProperties` is not false): a slip of the pen in \
                      `pipeline.toml` would not be found"
                .to_owned(),
        );
    }
    let properties = manifest.inputs.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if property.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
            missing.push(format!("the input `{name}` has no description"));
        }
    }
    let outcome = match missing.is_empty() {
        true => Outcome::Passed(String::new()),
        false => Outcome::Failed(missing.join("; ")),
    };
    Check { kind: manifest.kind.clone(), what: "describes itself", outcome }
}
